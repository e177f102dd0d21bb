"""The page of a comparison: one file with its style and drawings, and no address outside itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.conf import settings

from apps.dashboard.detail import Cell, Table
from apps.dashboard.formats import date_time, number, percent, tone
from apps.research.backtests.outcome import quote_of
from apps.research.divergence.document import arm_names, cents_of, money_text
from apps.research.divergence.ladder import CAUSES
from apps.research.divergence.result import Difference, Divergence
from apps.research.divergence.words import outcome_words
from apps.research.report.charts import Chart, line_chart
from apps.research.report.lists import shown_of
from apps.research.report.standalone import standalone_page

SHOWN = 500
MEANINGS = {
    "data": "A bar came late, was doubted or revised, or the price was too old.",
    "configuration": "Limits, flags, settings, policies, the exchange's rules or the version were others.",
    "risk": "A guard, a breaker or the trading state decided otherwise.",
    "latency": "The price moved between the close and the order's arrival, or no decision came in time.",
    "fill": "The displayed book gave another price or quantity than the bar model.",
    "person": "Somebody placed, flattened, asked the router, or started the desk.",
}


def divergence_page(found: Divergence, symbol: str = "") -> str:
    """The whole page as text."""
    span, kept = found.span, [one for one in found.differences if symbol in {"", one.symbol}]
    total = sum(money for _, money in found.by_cause(symbol).values())
    context = {
        "title": f"Live against backtest{', ' + symbol if symbol else ''}",
        "window": f"{date_time(span.first_ms)[:16]} to {date_time(span.end_ms)[:16]} UTC",
        "verdict": _verdict(total, len(kept)),
        "tiles": _tiles(found, total, len(kept)),
        "chart": _chart(found),
        "causes": _causes(found, symbol),
        "differences": _differences(kept),
        "differences_note": shown_of(SHOWN, len(kept), "differences, the oldest first"),
        "data": _data(found, symbol),
    }
    return standalone_page("research/divergence.html", context, has_script=True)


def _verdict(total: int, n: int) -> Cell:
    if not n:
        return Cell("No difference: every decision and every fill is the same.", tone="up")
    better = "more" if total > 0 else "less"
    return Cell(f"Live ended with {money_text(abs(total))} {better} than the backtest.", tone=tone(cents_of(total)))


def _tiles(found: Divergence, total: int, n: int) -> list[dict[str, Any]]:
    same = found.n_same / found.n_live if found.n_live else 0.0
    return [
        {"label": "Live equity", "value": Cell(money_text(found.live_e16))},
        {"label": "Backtest equity", "value": Cell(money_text(found.backtest_e16))},
        {"label": "Difference", "value": Cell(money_text(total), tone=tone(cents_of(total)))},
        {"label": "Live decisions", "value": Cell(f"{found.n_live:,}"), "beside": f"{percent(same, 1)} the same"},
        {"label": "Backtest decisions", "value": Cell(f"{found.n_backtest:,}")},
        {"label": "Differences", "value": Cell(f"{n:,}")},
    ]


def _chart(found: Divergence) -> Chart:
    """Both curves at every close; where live has no point the one before goes on."""
    span, length = found.span, settings.INTERVAL_MS
    mine, at = np.array(found.backtest_curve, np.int64), found.start_e16 // 10**8
    theirs = []
    for k in range(mine.shape[0]):
        at = found.live_curve.get(span.start_ms + k * length, at)
        theirs.append(at)
    curves = [
        ("Live", "desk", quote_of(np.array(theirs, np.int64))),
        ("Backtest", "hold", quote_of(mine)),
    ]
    text = "Worth of the whole account at every close, all symbols together."
    return line_chart("equity", "Equity", text, curves, _money, (span.first_ms, span.end_ms))


def _causes(found: Divergence, symbol: str) -> Table:
    by_cause = found.by_cause(symbol)
    rows: list[list[Cell | str]] = []
    for cause in CAUSES:
        n, money = by_cause.get(cause, (0, 0))
        rows.append([cause, f"{n:,}", Cell(money_text(money), tone=tone(cents_of(money))), MEANINGS[cause]])
    total = sum(money for _, money in by_cause.values())
    rows.append(["together", f"{sum(n for n, _ in by_cause.values()):,}", money_text(total), ""])
    return Table(("Cause", "First of>", "Money>", "What it is"), rows)


def _differences(kept: list[Difference]) -> Table:
    names = arm_names()
    rows: list[list[Cell | str]] = []
    for one in kept[:SHOWN]:
        money = sum(one.money_e16.values())
        rows.append(
            [
                Cell(date_time(one.ts_ms)[:19], mono=True),
                one.symbol,
                one.cause,
                one.detail + (f", since {one.follows}" if one.follows else ""),
                outcome_words(one.live, names) if one.side != "backtest" else "no decision",
                outcome_words(one.backtest, names) if one.side != "live" else "none",
                Cell(money_text(money), tone=tone(cents_of(money))),
                Cell(one.audit_id, mono=True),
            ]
        )
    headings = ("Time", "Symbol", "Cause", "Why", "Live", "Backtest", "Money>", "Record")
    return Table(headings, rows, empty="Nothing differs.")


def _data(found: Divergence, symbol: str) -> Table:
    rows: list[list[Cell | str]] = [
        [date_time(event.open_time_ms)[:16], name, event.kind, event.text]
        for name, events in found.facts.events.items()
        for event in events[-SHOWN:]
        if symbol in {"", name}
    ]
    return Table(("Bar", "Symbol", "Kind", "What happened"), rows, empty="No bar was late or doubted.")


def _money(value: float) -> str:
    return number(value, 0 if abs(value) >= 1_000 else 2)
