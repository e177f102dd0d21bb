"""The lists of a backtest: months, trades, and what of the bars was not traded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from apps.dashboard.detail import Cell, Table
from apps.dashboard.formats import MISSING, bps, date_time, decimal_e8, percent, price, tone
from apps.engine.values import E8
from apps.research.backtests.outcome import NO_STEP
from apps.research.selectors import Backtest

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TRADES_SHOWN, HOLES_SHOWN, DOUBTED_SHOWN = 200, 100, 100


def arm_names(run: Backtest) -> list[str]:
    """The policies in the order of the arms, then cash."""
    return [*sorted(run.parameters["policies"]), "cash"]


def months_table(run: Backtest) -> Table:
    """Return of each UTC month, and of the year beside buy-and-hold's. Months that are cut short count as they are."""
    equity, hold = run.columns[f"equity_{run.fills}_e8"], run.columns["buy_and_hold_e8"]
    ends = _month_ends(run)
    rows: list[Sequence[Cell | str]] = []
    for year in sorted({year for year, _ in ends}):
        own = {month: span for (found, month), span in ends.items() if found == year}
        cells = [_change(run, equity, own[month]) if month in own else Cell("") for month in range(1, 13)]
        whole = (min(span[0] for span in own.values()), max(span[1] for span in own.values()))
        rows.append((str(year), *cells, _change(run, equity, whole), _change(run, hold, whole)))
    return Table(("Year", *(f"{month}>" for month in MONTHS), "Year>", "Buy and hold>"), rows)


def _month_ends(run: Backtest) -> dict[tuple[int, int], tuple[int, int]]:
    """Per (year, month): the step before its first bar (-1 at the start) and its last."""
    n = (run.end_ms - run.first_ms) // run.interval_ms
    edges: dict[tuple[int, int], tuple[int, int]] = {}
    start, moment = 0, datetime.fromtimestamp(run.first_ms / 1000, UTC)
    while start < n:
        year, month = moment.year, moment.month
        moment = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        end = min(n, -(-(int(moment.timestamp()) * 1000 - run.first_ms) // run.interval_ms))
        edges[year, month] = (start - 1, end - 1)
        start = end
    return edges


def _change(run: Backtest, curve: Any, span: tuple[int, int]) -> Cell:
    before = run.parameters["cash_e8"] if span[0] < 0 else int(curve[span[0]])
    if before <= 0:
        return Cell(MISSING)
    change = int(curve[span[1]]) / before - 1.0
    return Cell(percent(change, 1, signed=True), tone=tone(round(change, 3)))


def trades_table(run: Backtest) -> Table:
    """The newest trades first."""
    columns, names = run.columns, arm_names(run)
    n = columns["trade_entry_step"].shape[0]
    kept = range(n - 1, max(-1, n - 1 - TRADES_SHOWN), -1)
    rows = [_trade(run, {name: int(columns[f"trade_{name}"][row]) for name in _TRADE}, names) for row in kept]
    headings = ("Entered", "Left", "Side", "Policy", "Size>", "Entry>", "Exit>", "Profit>", "bps>", "Fees>")
    return Table(headings, rows, empty="The desk did not trade.")


_TRADE = (
    "entry_step", "exit_step", "side", "lots", "entry_e8", "exit_e8", "profit_e8", "fees_e8", "arm",
)  # fmt: skip


def _trade(run: Backtest, trade: dict[str, int], names: Sequence[str]) -> Sequence[Cell | str]:
    filters = run.parameters["filters"]
    quantity = trade["lots"] * filters["step_e8"]
    is_open = trade["exit_step"] == NO_STEP
    tick = filters["tick_e8"]
    entry, left = (trade[name] * E8 // max(1, quantity) // tick * tick for name in ("entry_e8", "exit_e8"))
    profit = trade["profit_e8"]
    return (
        step_time(run, trade["entry_step"]),
        Cell("open at the end", tone="muted") if is_open else step_time(run, trade["exit_step"]),
        "long" if trade["side"] > 0 else "short",
        names[trade["arm"]] if trade["arm"] >= 0 else MISSING,
        decimal_e8(quantity),
        price(entry),
        price(left),
        Cell(decimal_e8(profit, 2), tone=tone(profit)),
        bps(round(1e4 * profit / max(1, trade["entry_e8"]), 1), signed=True).removesuffix(" bps"),
        decimal_e8(trade["fees_e8"], 2),
    )


def step_time(run: Backtest, step: int) -> str:
    """The open of a step's bar, which is when a fill of that step happened."""
    return date_time(run.first_ms + step * run.interval_ms)[:16]


def holes_table(run: Backtest) -> Table:
    """What is missing, longest stretches first."""
    holes = sorted(run.data["holes"], key=lambda hole: (hole[0] - hole[1], hole[0]))[:HOLES_SHOWN]
    rows = [
        (date_time(first)[:16], date_time(end)[:16], f"{(end - first) // run.interval_ms:,}", state)
        for first, end, state in holes
    ]
    return Table(("From", "To", "Bars>", "Why"), rows, empty="No bar is missing.")


def doubted_table(run: Backtest) -> Table:
    """Bars that a quality rule doubted."""
    rows = [
        (date_time(opened)[:16], Cell(reason, mono=True), status)
        for opened, reason, status in run.data["doubted"][:DOUBTED_SHOWN]
    ]
    return Table(("Bar", "Rule", "What became of it"), rows, empty="No bar was doubted.")


def shown_of(shown: int, total: int, what: str) -> str:
    """How many of a list are on the page."""
    return f"All {total:,} {what}." if total <= shown else f"{shown:,} of {total:,} {what}."


def drawdown(curve: Any, cash: int) -> Any:
    """Equity over its peak so far, less 1; the peak starts at the first cash."""
    peak = np.maximum(np.maximum.accumulate(curve), cash)
    return curve / peak - 1.0


def deepest(curve: Any) -> Any:
    """The lowest point of a stretch."""
    return curve.min()
