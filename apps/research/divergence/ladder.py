"""From the backtest's inputs to the live ones, one kind at a time: the step that changes the outcome is its cause.

Every step asks the same kernel: what would have been decided and filled, had only this too been as it was live?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from apps.engine.decision import FILL_BARS, ArrivalRecord, DecisionInputs
from apps.engine.desk import UNKNOWN_DATA, UNKNOWN_FILTERS, UNKNOWN_MARK, UNKNOWN_STATE, UNKNOWN_VIEW, DeskRecord
from apps.engine.values import E8, Filters
from apps.research.divergence.baseline import Taken

DATA, CONFIGURATION, RISK, LATENCY, FILL, PERSON = "data", "configuration", "risk", "latency", "fill", "person"
CAUSES = (DATA, CONFIGURATION, RISK, LATENCY, FILL, PERSON)
CARRIED = "carried"

# The inputs that each step takes over from the live decision.
DATA_FIELDS = ("data_age_ms", "view_age_ms")
DATA_BITS = UNKNOWN_MARK | UNKNOWN_DATA | UNKNOWN_VIEW
CARRIED_FIELDS = (
    *("cash_e8", "position_lots", "dust_e8", "open_buy_lots", "open_sell_lots", "locked_cash_e8"),
    *("own_bid_ticks", "own_ask_ticks"),
)
RISK_FIELDS = (
    *("trading_state", "breaker_until_ms", "day_index", "day_start_e8", "is_day_latched", "peak_e8"),
    *("is_hard_latched", "orders_last_minute", "same_buys", "same_sells", "is_repeat_latched", "since_exit_ms"),
    *("closed_trades", "closed_profit_bps", "since_stop_ms", "stop_exits"),
)
LOTS, TICKS = ("position_lots", "open_buy_lots", "open_sell_lots"), ("mark_ticks", "own_bid_ticks", "own_ask_ticks")


class Holdings(NamedTuple):
    """What both sides hold before a decision, in counts of 1e-8 by symbol."""

    live: Mapping[str, int]
    backtest: Mapping[str, int]


class Step(NamedTuple):
    """The inputs after one more kind of them is as it was live."""

    cause: str
    inputs: DecisionInputs


def ladder(taken: Taken, live: DecisionInputs, holdings: Holdings, *, is_same_engine: bool) -> list[Step]:
    """The steps from the backtest's inputs (left out) to the live ones (the last)."""
    data = _with_data(taken.inputs, live)
    configuration = _with_configuration(data, live)
    carried = _with_account(configuration, live, taken, holdings)
    risk = _with_memory(carried, live)
    return [
        # Other policies or parameters give another view of the same bars.
        Step(DATA if is_same_engine else CONFIGURATION, data),
        Step(CONFIGURATION, configuration),
        Step(CARRIED, carried),
        Step(RISK, risk),
        Step(LATENCY, _with_time(risk, live)),
        Step(FILL, live),
    ]


def _taking(desk: DeskRecord, live: DeskRecord, names: tuple[str, ...], bits: int) -> DeskRecord:
    unknown = (desk.unknown & ~bits) | (live.unknown & bits)
    return desk._replace(unknown=unknown, **{name: getattr(live, name) for name in names})


def _with_data(inputs: DecisionInputs, live: DecisionInputs) -> DecisionInputs:
    """The view, how old it and the price were, and whether the bar to fill at came."""
    arrival = inputs.arrival
    if live.terms.fill_kind == FILL_BARS:
        arrival = _arrival_in(live.arrival, live.filters, inputs.filters)
    return replace(
        inputs, view=live.view, arms=live.arms, gates=live.gates, snapshot=live.snapshot, arrival=arrival,
        desk=_taking(inputs.desk, live.desk, DATA_FIELDS, DATA_BITS),
    )  # fmt: skip


def _with_configuration(inputs: DecisionInputs, live: DecisionInputs) -> DecisionInputs:
    """Limits, flags, settings, router parameters, seed and the exchange's rules."""
    mine, theirs, desk = inputs.filters, live.filters, inputs.desk
    if mine != theirs:
        scaled = {name: _scaled(getattr(desk, name), mine.step_e8, theirs.step_e8) for name in LOTS}
        scaled |= {name: _scaled(getattr(desk, name), mine.tick_e8, theirs.tick_e8) for name in TICKS}
        desk = desk._replace(**scaled)
    terms = live.terms._replace(
        fill_kind=FILL_BARS, slippage_scale=inputs.terms.slippage_scale, last_signal=inputs.terms.last_signal
    )
    return replace(
        inputs, limits=live.limits, params=live.params, filters=theirs, terms=terms, draw=live.draw,
        arrival=_arrival_in(inputs.arrival, mine, theirs),
        desk=_taking(desk, live.desk, ("filters_age_ms",), UNKNOWN_FILTERS),
    )  # fmt: skip


def _scaled(count: int, mine: int, theirs: int) -> int:
    whole = abs(count) * mine // theirs
    return whole if count >= 0 else -whole


def _arrival_in(arrival: ArrivalRecord, mine: Filters, theirs: Filters) -> ArrivalRecord:
    """The bar to fill at in the ticks and lots of another revision."""
    if mine == theirs:
        return arrival
    return arrival._replace(
        open_ticks=arrival.open_ticks * mine.tick_e8 // theirs.tick_e8,
        volume_lots=arrival.volume_lots * mine.step_e8 // theirs.step_e8,
    )


def _with_account(inputs: DecisionInputs, live: DecisionInputs, taken: Taken, holdings: Holdings) -> DecisionInputs:
    """Cash and positions as they were live, still marked at the closes of the bar."""
    equity = inputs.desk.equity_e8 + live.desk.cash_e8 - taken.inputs.desk.cash_e8
    other = inputs.desk.other_notional_e8
    for symbol, close in taken.closes.items():
        worth = holdings.live.get(symbol, 0) * close // E8
        instead = holdings.backtest.get(symbol, 0) * close // E8
        equity += worth - instead
        other += 0 if symbol == live.symbol else abs(worth) - abs(instead)
    was_highest = inputs.desk.high_water_e8 == inputs.desk.equity_e8
    high_water = equity if was_highest else max(equity, inputs.desk.high_water_e8)
    desk = _taking(inputs.desk, live.desk, CARRIED_FIELDS, 0)
    desk = desk._replace(equity_e8=equity, other_notional_e8=max(0, other), high_water_e8=high_water)
    return replace(inputs, desk=desk, terms=inputs.terms._replace(last_signal=live.terms.last_signal))


def _with_memory(inputs: DecisionInputs, live: DecisionInputs) -> DecisionInputs:
    """The trading state, latches and counters: what guards judge by besides the order."""
    desk = _taking(inputs.desk, live.desk, RISK_FIELDS, UNKNOWN_STATE)
    remembered = live.desk.high_water_e8 if live.desk.high_water_e8 > live.desk.equity_e8 else 0
    return replace(inputs, desk=desk._replace(high_water_e8=max(desk.equity_e8, remembered)))


def _with_time(inputs: DecisionInputs, live: DecisionInputs) -> DecisionInputs:
    """The clock and the marks of the arrival; the bar's open moves as the mid did while the order traveled."""
    arrival = inputs.arrival
    if live.terms.fill_kind == FILL_BARS:
        return replace(inputs, desk=live.desk)
    if arrival.open_ticks > 0:
        arrival = arrival._replace(open_ticks=max(1, arrival.open_ticks + moved_ticks(live)))
    return replace(inputs, desk=live.desk, arrival=arrival)


def moved_ticks(live: DecisionInputs) -> int:
    """How far the mid moved from the book that was seen to the one that was met; 0 where one is missing."""
    books = (live.seen_bids, live.seen_asks, live.bids, live.asks)
    if not all(len(side) for side in books):
        return 0
    before, after = (int(bids[0, 0] + asks[0, 0]) for bids, asks in (books[:2], books[2:]))
    return (after - before) // 2
