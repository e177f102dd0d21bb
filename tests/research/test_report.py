"""The page of a backtest: whole by itself, true to the row, safe whatever a file is called."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.research.backtests.history import Window, history_file
from apps.research.backtests.request import request_default
from apps.research.report import charts, lists
from apps.research.report.page import report_page
from apps.research.selectors import Backtest
from apps.research.services import backtest
from tests.support.bars import START_MS, walk_bars
from tests.support.klines import write_klines

DAY_MS = 86_400_000


class Page(HTMLParser):
    """Tags with attributes, and whether they close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "path", "i", "link", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "i"}:
            assert self.open.pop() == tag


@pytest.fixture
def run(compiled: None, desk_db: Path, tmp_path: Path, settings: Any) -> Backtest:
    settings.HORIZON_BARS, settings.SYMBOLS = 5, ("BTCUSDT",)
    settings.SYMBOL_NOTIONAL_CAP = settings.MAX_NOTIONAL = settings.MAX_ORDER_NOTIONAL = 10**6
    path = write_klines(tmp_path / "BTCUSDT-1m-<script>alert(1).csv", walk_bars(1_500, seed=7, sigma=0.003))
    history = history_file(path, symbol="", interval="", window=Window(), now_ms=START_MS + 10**10)
    return backtest(request=request_default("BTCUSDT", "1m"), history=history, ts_ms=1)


def test_it_needs_nothing_from_outside(run: Backtest) -> None:
    text = report_page(run)
    page = Page(text)
    assert page.open == []
    outside = [(tag, attrs) for tag, attrs in page.tags for name in ("src", "href", "srcset", "action", "data")
               if attrs.get(name) and not str(attrs[name]).startswith("#")]  # fmt: skip
    assert outside == [] and not re.search(r"url\(|@import|https?://", text)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*)</script>", text, re.S)
    assert script is not None and policy is not None and "default-src 'none'" in policy
    assert base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode() in policy


def test_a_files_name_is_text(run: Backtest) -> None:
    text = report_page(run)
    assert "&lt;script&gt;alert(1).csv" in text and "<script>alert" not in text


def test_it_says_what_the_row_says(run: Backtest) -> None:
    text = report_page(run)
    for told in (run.run_id, run.inputs_hash, run.result_hash, run.code_version, run.data["bars_hash"]):
        assert told in text
    trades = run.columns["trade_entry_step"].shape[0]
    assert trades > 5 and f"All {trades:,} trades, the newest first." in text
    for section in ("Drawdown", "Regime", "Policy choice", "Returns by month", "The three fill settings",
                    "What trading cost", "Rehearsal", "Gaps", "Quarantine", "Assumptions"):  # fmt: skip
        assert f">{section}<" in text or f">{section}" in text, section


def test_every_drawing_has_a_name_and_every_table_headings(run: Backtest) -> None:
    page = Page(report_page(run))
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(drawings) == 6 and all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    assert all(attrs.get("scope") == "col" for tag, attrs in page.tags if tag == "th")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"] for tag, attrs in page.tags if tag == "a"} <= {f"#{name}" for name in ids}


def test_a_simulated_market_and_a_latch_are_said_first(run: Backtest) -> None:
    counts = {**run.figures["counts"], "hard_latched_ms": [START_MS], "hard_latches": 1}
    other = replace(run, data={**run.data, "sources": ["simulated"]}, figures={**run.figures, "counts": counts})
    text = report_page(other)
    assert "SIMULATED MARKET" in text and "latched at" in text and "latched 1 time here" in text
    assert "SIMULATED MARKET" not in report_page(run) and "latched at" not in report_page(run)


def test_a_run_that_never_traded_has_a_page(run: Backtest, tmp_path: Path) -> None:
    """Too short for anything: every figure that needs a trade is null with its reason."""
    path = write_klines(tmp_path / "BTCUSDT-1m-short.csv", walk_bars(4, seed=7))
    history = history_file(path, symbol="", interval="", window=Window(), now_ms=START_MS + 10**10)
    made = backtest(request=request_default("BTCUSDT", "1m"), history=history, ts_ms=1)
    assert made.figures["desk"]["hit_rate"] == {"value": None, "reason": "no closed trade"}
    text = report_page(made)
    assert "The desk did not trade." in text and "no closed trade" in text
    assert "nan" not in text.lower().replace("finance", "") and Page(text).open == []


def test_long_lists_say_how_much_they_show() -> None:
    assert lists.shown_of(200, 1_234, "trades") == "200 of 1,234 trades."
    assert lists.shown_of(200, 200, "trades") == "All 200 trades."


def test_months_are_calendar_months_of_utc() -> None:
    """From 30 January to 2 March 2024, one bar a day: ends 100, 110 and 99 of a start of 100."""
    first = 1_706_572_800_000  # 2024-01-30T00:00Z
    equity = np.array([101, 100, *[105] * 28, 110, 98, 99]) * 10**8
    run = Backtest(
        *("x", "X", "1d", first, first + 33 * DAY_MS, "router", "base", "", "", "", ""),
        {"cash_e8": 100 * 10**8}, {}, {}, 0, b"",
    )  # fmt: skip
    object.__setattr__(run, "columns", {"equity_base_e8": equity, "buy_and_hold_e8": equity * 2})
    (row,) = lists.months_table(run).cells
    texts = [cell.text for cell in row]
    narrow = "\u202f%"
    assert texts[:5] == ["2024", f"0.0{narrow}", f"+10.0{narrow}", f"\u221210.0{narrow}", ""]
    assert texts[13:] == [f"\u22121.0{narrow}", f"+98.0{narrow}"]


@pytest.mark.parametrize(
    ("low", "high", "steps"),
    [(0.0, 1.0, [0.0, 0.5, 1.0]), (-0.31, 0.0, [-0.4, -0.3, -0.2, -0.1, 0.0]), (5.0, 5.0, [5.0])],
)
def test_ticks_are_round(low: float, high: float, steps: list[float]) -> None:
    assert charts._steps(low, high) == pytest.approx(steps)


def test_a_ribbon_shows_shares() -> None:
    """Four decisions at four steps: two of code 0, then one of 1 and one of 2."""
    codes, at = np.array([0, 0, 1, 2]), np.array([0, 1, 2, 3])
    names = [(0, "zero", "a"), (1, "one", "b"), (2, "two", "c"), (3, "no", "d")]
    drawn = charts.ribbon("n", "t", "x", codes, at, names, 4, (0, 4 * DAY_MS))
    assert [(shape.name, shape.last) for shape in drawn.shapes] == [
        ("zero", "50.0\u202f%"), ("one", "25.0\u202f%"), ("two", "25.0\u202f%")
    ]  # fmt: skip
    assert drawn.shapes[0].path.startswith("M0.0,0.00 250.0,0.00 250.0,0.00 500.0,0.00 500.0,100.00")
    assert [tick.text for tick in drawn.columns][0] == "1970-01-01"


def test_the_deepest_point_survives_thinning() -> None:
    curve = np.zeros(10_000)
    curve[4_321] = -0.5
    assert charts.thinned(curve, lists.deepest).min() == -0.5 and charts.thinned(curve, charts.last_of).shape == (500,)
