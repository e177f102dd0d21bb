"""How numbers read on screen."""

from __future__ import annotations

from typing import Any

import pytest
from django.template import Context, Template

E8 = 100_000_000
NARROW = "\u202f"
TS_MS = 1_767_625_387_123


def shown(text: str, **context: Any) -> str:
    return Template("{% load desk %}" + text).render(Context(context))


@pytest.mark.parametrize(
    ("filter_text", "value", "expected"),
    [
        ("e8", 0, "0"),
        ("e8", 123_456_789_012, "1,234.56789012"),
        ("e8", 150_000_000, "1.5"),
        ("e8", -1, "−0.00000001"),
        ("e8", 9_223_372_036_854_775_807, "92,233,720,368.54775807"),
        ("e8:2", 100_500_000, "1.01"),
        ("e8:0", 28_828_837_440_000, "288,288"),
        ("e8:2", -100_000, "0.00"),
        ("e8", None, "—"),
        ("e8", "12", "—"),
        ("e8", float("nan"), "—"),
        ("price", 9_240_000_000_000, "92,400.00"),
        ("price", 812, "0.00000812"),
        ("price", None, "—"),
        ("money", 123_450_000_000, "1,234.50 USDT"),
        ("money:'EUR'", -E8, "−1.00 EUR"),
        ("signed_money", 4_312_000_000, "+43.12 USDT"),
        ("signed_money", -4_312_000_000, "−43.12 USDT"),
        ("signed_money", 0, "0.00 USDT"),
        ("signed_money", 400_000, "0.00 USDT"),
        ("signed_money", None, "—"),
        ("bps", 12, "12 bps"),
        ("bps", 1234.5, "1,234.5 bps"),
        ("signed_bps", -3, "−3 bps"),
        ("percent", 0.0125, f"1.25{NARROW}%"),
        ("percent:0", 0.81, f"81{NARROW}%"),
        ("signed_percent", 0.0125, f"+1.25{NARROW}%"),
        ("signed_percent:1", -0.5, f"−50.0{NARROW}%"),
        ("signed_percent", -0.000001, f"0.00{NARROW}%"),
        ("number", 1234.567, "1,234.57"),
        ("number:0", float("inf"), "—"),
        ("signed_number:3", 0.5, "+0.500"),
        ("age", 0, "0 s"),
        ("age", 4_900, "4 s"),
        ("age", 125_000, "2 min"),
        ("age", 3 * 3_600_000, "3 h"),
        ("age", 5 * 86_400_000, "5 d"),
        ("age", -20, "0 s"),
        ("age", None, "—"),
        ("time_short", TS_MS, "15:03:07"),
        ("date_time", TS_MS, "2026-01-05 15:03:07"),
        ("time_short", None, "—"),
        ("hash_short", "9f2ab14c77deadbeef", "9f2ab14c77"),
        ("hash_short", None, "—"),
        ("tone", 3, "up"),
        ("tone", -0.1, "down"),
        ("tone", 0, "flat"),
        ("tone", None, "flat"),
        ("tone", "BUY", "up"),
        ("tone", "sell", "down"),
    ],
)
def test_a_value_reads(filter_text: str, value: Any, expected: str) -> None:
    assert shown("{{ value|" + filter_text + " }}", value=value) == expected


def test_a_delta_carries_arrow_sign_and_color() -> None:
    assert shown("{% delta value value|signed_money %}", value=-E8) == (
        '<span class="delta down"><span class="arrow" aria-hidden="true">▼</span> −1.00 USDT</span>'
    )


def test_a_time_carries_its_whole_instant() -> None:
    iso = "2026-01-05T15:03:07.123Z"
    assert shown("{% when ts %}", ts=TS_MS) == f'<time datetime="{iso}" title="{iso}">15:03:07</time>'
    assert ">2026-01-05 15:03:07</time>" in shown('{% when ts "date" %}', ts=TS_MS)
    assert shown("{% when ts %}", ts=None) == "—"


def test_a_sparkline_spans_its_box_and_takes_the_color_of_its_direction() -> None:
    html = shown('{% sparkline values "Equity" 10 22 %}', values=[1.0, 3.0, 2.0])
    assert 'class="spark up"' in html and 'aria-label="Equity"' in html
    assert 'points="0.0,20.5 5.0,1.5 10.0,11.0"' in html


@pytest.mark.parametrize("values", [[], [1.0], [None, 2.0], [float("nan"), 1.0]])
def test_a_sparkline_needs_two_values(values: list[float]) -> None:
    assert shown('{% sparkline values "Equity" %}', values=values) == "—"


def test_a_sparkline_skips_what_is_not_a_number() -> None:
    assert 'class="spark down"' in shown('{% sparkline values "E" %}', values=[None, 3.0, 2.0, None])


@pytest.mark.parametrize(
    ("share", "level", "width"),
    [(0.5, "good", "50.0"), (0.8, "warn", "80.0"), (7, "bad", "100.0"), (None, "good", "0.0")],
)
def test_a_meter_turns_with_its_share(share: float | None, level: str, width: str) -> None:
    html = shown('{% meter share "Cap" %}', share=share)
    assert f'class="meter {level}"' in html and f'class="fill" width="{width}"' in html


def test_the_equity_chart_carries_ascending_seconds_and_gaps() -> None:
    rows = [(3_000, 2 * E8, None), (1_000, E8, E8), (1_900, 5 * E8, 4 * E8)]
    html = shown('{% equity_chart rows "Equity" %}', rows=rows)
    assert 'data-chart="equity" data-points="[[1,5.0,4.0],[3,2.0,null]]"' in html


def test_attributes_of_tags_are_escaped() -> None:
    html = shown("{% price_chart symbol '1m' 'Candles' %}{% live symbol 'last' '1' %}", symbol='"><b>')
    assert "<b>" not in html and html.count("&quot;&gt;&lt;b&gt;") == 2


def test_json_is_indented_whether_value_or_text() -> None:
    assert (
        shown("{% autoescape off %}{{ value|pretty_json }}{% endautoescape %}", value={"a": "é"}) == '{\n  "a": "é"\n}'
    )
    assert shown("{{ value|pretty_json }}", value="[1]") == "[\n  1\n]"
