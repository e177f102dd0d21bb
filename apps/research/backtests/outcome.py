"""What came of a run, as columns: decisions, fills with what each cost, trades from flat to flat, buy-and-hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from apps.engine.fills import HALF_SPREAD
from apps.engine.portfolio import fee_nb
from apps.engine.values import E8, Array1d, Bars, IntArray1d
from apps.research.backtests.history import History
from apps.research.backtests.request import FILL_SETTINGS, BacktestRequest, Ruleset
from apps.research.backtests.simulation import Simulated

NO_STEP = -1
TRADE_COLUMNS = (
    *("trade_entry_step", "trade_exit_step", "trade_side", "trade_lots", "trade_entry_e8", "trade_exit_e8"),
    *("trade_profit_e8", "trade_fees_e8", "trade_arm", "trade_fills"),
)


class Market(NamedTuple):
    """Open and close in ticks at every step of the grid; a missing bar repeats the close before it, open 0."""

    open_ticks: IntArray1d
    close_ticks: IntArray1d


def market_of(history: History, interval_ms: int) -> Market:
    """The bars on the grid of the run."""
    n = (history.end_ms - history.first_ms) // interval_ms
    at = (history.bars.open_time_ms - history.first_ms) // interval_ms
    opens, closes = np.zeros(n, np.int64), np.zeros(n, np.int64)
    opens[at] = history.bars.open_e8 // history.filters.tick_e8
    closes[at] = history.bars.close_e8 // history.filters.tick_e8
    seen = np.zeros(n, np.int64)
    seen[at] = at
    return Market(opens, closes[np.maximum.accumulate(seen)])


def decision_columns(run: Simulated, first_index: int) -> dict[str, Any]:
    """Of every decision: the step of its bar, the arm, the regime, and how it ended."""
    rows = run.decisions
    return {
        "decision_step": rows["bar_index"] - first_index,
        "decision_arm": rows["arm"].astype(np.int8),
        "decision_regime": run.regime.astype(np.int8),
        "decision_status": rows["status"].astype(np.int8),
        "decision_reason": rows["reason"].astype(np.int8),
    }


def fill_columns(run: Simulated, first_index: int, market: Market, rules: Ruleset, fills: str) -> dict[str, Any]:
    """Of every fill: step, side, lots, prices, position after it, and its cost in fee, half-spread and impact.

    Impact is what the price is worse than the open by, less the half-spread; it holds the rounding to the tick.
    """
    kept = run.decisions["filled_lots"] > 0
    rows, terms = run.decisions[kept], rules.terms
    step = rows["bar_index"] - first_index + 1
    lots, notional, opened = rows["filled_lots"], rows["notional_e8"], market.open_ticks[step]
    worth = lots * opened * terms.unit_e8
    slippage = rows["side"] * (notional - worth)
    half = np.rint(worth * (FILL_SETTINGS[fills] * HALF_SPREAD)).astype(np.int64)
    half = np.minimum(half, slippage)
    fee = _fees_in_quote(rows, rules) if terms.is_fee_in_base else rows["fee_e8"]
    return {
        "fill_step": step,
        "fill_side": rows["side"].astype(np.int8),
        "fill_lots": lots.copy(),
        "fill_notional_e8": notional.copy(),
        "fill_open_ticks": opened,
        "fill_after_lots": rows["position_after_lots"].copy(),
        "fill_arm": rows["arm"].astype(np.int8),
        "fill_fee_e8": np.asarray(fee, np.int64).copy(),
        "fill_half_spread_e8": half,
        "fill_impact_e8": slippage - half,
    }


def _fees_in_quote(rows: Any, rules: Ruleset) -> IntArray1d:
    """Fees of buys, charged in base, at the price of their fill, rounded down."""
    lots_e8 = rows["filled_lots"] * rules.filters.step_e8
    fees = [
        int(fee) * int(notional) // int(held) if side > 0 else int(fee)
        for fee, notional, held, side in zip(rows["fee_e8"], rows["notional_e8"], lots_e8, rows["side"], strict=True)
    ]
    return np.array(fees, np.int64)


class _Trip:
    """A round trip that is being gone through."""

    def __init__(self, step: int, side: int, arm: int) -> None:
        self.step, self.side, self.arm = step, side, arm
        self.entry_lots = self.entry_e8 = self.exit_e8 = self.fees_e8 = self.fills = 0

    def take(self, side: int, lots: int, notional: int, fee: int) -> None:
        if side == self.side:
            self.entry_lots += lots
            self.entry_e8 += notional
        else:
            self.exit_e8 += notional
        self.fees_e8 += fee
        self.fills += 1

    def row(self, exit_step: int) -> tuple[int, ...]:
        profit = self.side * (self.exit_e8 - self.entry_e8) - self.fees_e8
        return (
            *(self.step, exit_step, self.side, self.entry_lots, self.entry_e8, self.exit_e8),
            *(profit, self.fees_e8, self.arm, self.fills),
        )


def trade_columns(fills: dict[str, Any], last_worth_e8: int) -> dict[str, Any]:
    """Trades from flat to flat. One that is open at the end exits at NO_STEP for `last_worth_e8`, its worth then."""
    rows, trip, held = [], None, 0
    names = ("step", "side", "lots", "notional_e8", "fee_e8", "after_lots", "arm")
    for row in zip(*(fills[f"fill_{name}"].tolist() for name in names), strict=True):
        step, side, lots, notional, fee, after, arm = row
        if trip is not None and held * after < 0:
            # Through zero: the fill is shared by lots between the trade it ends and the one it begins.
            ended, fee_ended = notional * abs(held) // lots, fee * abs(held) // lots
            trip.take(side, abs(held), ended, fee_ended)
            rows.append(trip.row(step))
            lots, notional, fee, trip = lots - abs(held), notional - ended, fee - fee_ended, None
        if trip is None:
            trip = _Trip(step, side, arm)
        trip.take(side, lots, notional, fee)
        held = after
        if after == 0:
            rows.append(trip.row(step))
            trip = None
    if trip is not None:
        trip.exit_e8 += abs(last_worth_e8)
        rows.append(trip.row(NO_STEP))
    table = np.array(rows, np.int64).reshape(-1, len(TRADE_COLUMNS))
    return {name: np.ascontiguousarray(table[:, column]) for column, name in enumerate(TRADE_COLUMNS)}


def held_lots(fills: dict[str, Any], n: int) -> IntArray1d:
    """Lots held at the close of every step."""
    change = np.zeros(n, np.int64)
    change[fills["fill_step"]] = np.diff(fills["fill_after_lots"], prepend=0)
    return np.cumsum(change)


def buy_and_hold(market: Market, request: BacktestRequest, rules: Ruleset) -> IntArray1d:
    """All cash into whole lots at the first open, with fee and half-spread but without impact and cap on volume."""
    terms = rules.terms
    rate = 1.0 + FILL_SETTINGS[request.fills] * HALF_SPREAD
    price = int(np.ceil(int(market.open_ticks[0]) * rate))
    lot = price * terms.unit_e8
    lots = request.cash_e8 * 10_000 // (lot * (10_000 + terms.fee_bps))
    notional = lots * lot
    rest = request.cash_e8 - notional - int(fee_nb(notional, terms.fee_bps))
    worth = lots * market.close_ticks.astype(object) * terms.unit_e8 + rest
    return np.array(np.minimum(worth, 2**62), np.int64)


def quote_of(counts: IntArray1d) -> Array1d:
    """Counts of 1e-8 as floats."""
    return np.asarray(counts / E8, np.float64)


def bars_digest_columns(bars: Bars) -> dict[str, IntArray1d]:
    """The columns that name a block of bars by content."""
    return dict(zip(Bars._fields, bars, strict=True))
