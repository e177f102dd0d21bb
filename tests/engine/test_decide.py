"""One decision from end to end: how each can end, and what it does to cash, position and equity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.decide import decide, no_view
from apps.engine.decision import (
    ARM_LOC,
    ARM_SIGNAL,
    FILL_BARS,
    GATE_WARM_UP,
    N_ARMS,
    SOURCE_FLATTEN,
    SOURCE_PERSON,
    ArrivalRecord,
    Decision,
)
from apps.engine.desk import UNKNOWN_DATA, UNKNOWN_MARK, UNKNOWN_STATE
from apps.engine.gate import GATE_GUARDS, N_GUARDS
from apps.engine.reasons import Reason, Status, Verdict
from tests.support.engine import (
    ASK,
    BID,
    CASH_E8,
    FULL_LOTS,
    MARK,
    build_arms,
    build_desk,
    build_draw,
    build_inputs,
    build_limits,
    build_record,
    build_terms,
    holding,
    levels,
)


def outcome(decision: Decision) -> tuple[Status, Reason]:
    return Status(decision.ints.status), Reason(decision.ints.reason)


def ends(**changes: Any) -> tuple[Status, Reason]:
    return outcome(decide(build_inputs(**changes)))


def person(lots: int, **changes: Any) -> dict[str, Any]:
    """Inputs of a person's order: no view."""
    record, arms, gates = no_view()
    terms = build_terms(source=SOURCE_PERSON, lots=lots)
    return {"view": record, "arms": arms, "gates": gates, "terms": terms, **changes}


def flatten(lots: int, **desk: int) -> dict[str, Any]:
    """Inputs of a confirmed flatten of what is held."""
    return {**person(0), "terms": build_terms(source=SOURCE_FLATTEN), "desk": holding(lots, **desk)}


# Every way to end.


def test_a_full_order_is_filled_and_accounted_for() -> None:
    """104,166 lots at 60,001: notional 104,166 x 6,000,100 x 10, fee 10 bps of it, rounded up."""
    decision = decide(build_inputs())
    ints, notional = decision.ints, 6_250_064_166_000
    assert outcome(decision) == (Status.FILLED, Reason.NONE)
    assert (ints.side, ints.arm, ints.target_lots, ints.requested_lots) == (1, 0, FULL_LOTS, FULL_LOTS)
    assert (ints.sent_lots, ints.filled_lots, ints.n_fills, ints.judged_ticks) == (FULL_LOTS, FULL_LOTS, 1, ASK)
    assert (ints.notional_e8, ints.fee_e8) == (notional, 6_250_064_166)
    assert ints.cash_after_e8 == CASH_E8 - notional - 6_250_064_166
    assert (ints.position_before_lots, ints.position_after_lots) == (0, FULL_LOTS)
    # Bought 100 ticks above the mark: that and the fee is what equity loses.
    assert ints.equity_after_e8 == CASH_E8 - FULL_LOTS * 100 * 10 - 6_250_064_166
    assert decision.fills == ((ASK, FULL_LOTS, 6_250_064_166),)
    assert decision.floats.signal == 1.0 and decision.floats.propensity == 1.0 and decision.floats.sigmoid == 0.5
    assert decision.probabilities == (1.0, *(0.0,) * N_ARMS)


ENDS = [
    ({"arms": build_arms(signal=0.0)}, Status.NO_TRADE, Reason.NO_CHANGE),
    ({"desk": holding(FULL_LOTS)}, Status.NO_TRADE, Reason.NO_CHANGE),
    ({"desk": holding(FULL_LOTS - 9), "terms": build_terms(last_signal=1.0)}, Status.NO_TRADE, Reason.WITHIN_BAND),
    ({"desk": holding(FULL_LOTS - 8)}, Status.NO_TRADE, Reason.BELOW_MINIMUM),
    ({"view": build_record(context_missing=1)}, Status.NO_TRADE, Reason.CONTEXT_MISSING),
    ({"gates": np.full(N_ARMS, GATE_WARM_UP)}, Status.NO_TRADE, Reason.NO_ADMISSIBLE_ARM),
    ({"terms": build_terms(is_execution_on=0)}, Status.NO_TRADE, Reason.EXECUTION_OFF),
    ({"view": build_record(adv_quote=0.0)}, Status.NO_TRADE, Reason.NUMERIC_FAULT),
    ({"view": build_record(sigma_bar=float("nan"))}, Status.NO_TRADE, Reason.NUMERIC_FAULT),
    ({"desk": build_desk(equity_e8=0)}, Status.NO_TRADE, Reason.NUMERIC_FAULT),
    ({"desk": build_desk(mark_ticks=0)}, Status.NO_TRADE, Reason.NUMERIC_FAULT),
    ({"arms": build_arms(h=float("nan"))}, Status.NO_TRADE, Reason.NUMERIC_FAULT),
    ({"arms": build_arms(signal=1.5)}, Status.NO_TRADE, Reason.NUMERIC_FAULT),
    (flatten(0), Status.NO_TRADE, Reason.NOTHING_TO_FLATTEN),
    ({"desk": build_desk(trading_state=2)}, Status.BLOCKED, Reason.TRADING_HALTED),
    ({"desk": build_desk(trading_state=1)}, Status.BLOCKED, Reason.REDUCE_ONLY),
    ({"desk": build_desk(unknown=UNKNOWN_STATE)}, Status.BLOCKED, Reason.TRADING_HALTED),
    ({"limits": build_limits(max_notional_e8=10**12)}, Status.BLOCKED, Reason.GLOBAL_CAP),
    ({"limits": build_limits(symbol_notional_cap_e8=10**12)}, Status.BLOCKED, Reason.SYMBOL_CAP),
    ({"desk": build_desk(orders_last_minute=6)}, Status.BLOCKED, Reason.ORDER_RATE),
    ({"desk": build_desk(data_age_ms=5_001)}, Status.BLOCKED, Reason.DATA_STALE),
    ({"desk": build_desk(data_age_ms=-1)}, Status.BLOCKED, Reason.DATA_STALE),
    ({"desk": build_desk(view_age_ms=80_001)}, Status.BLOCKED, Reason.NO_MARKET_VIEW),
    ({"desk": build_desk(view_age_ms=-1)}, Status.BLOCKED, Reason.NO_MARKET_VIEW),
    ({"desk": build_desk(cash_e8=10**12)}, Status.BLOCKED, Reason.FREE_BALANCE),
    ({"desk": build_desk(breaker_until_ms=2**60)}, Status.BLOCKED, Reason.DRAWDOWN),
    ({"limits": build_limits(hard_drawdown_bps=900), "desk": build_desk(is_hard_latched=1)}, Status.BLOCKED,
     Reason.HARD_DRAWDOWN),
    ({"desk": build_desk(is_day_latched=1)}, Status.BLOCKED, Reason.DAILY_LOSS),
    ({"desk": build_desk(same_buys=20)}, Status.BLOCKED, Reason.REPEATED_ORDERS),
    ({"arrival": ArrivalRecord(BID, 2 * MARK, 0, 0),
      "limits": build_limits(symbol_notional_cap_e8=10**14, order_cap_e8=0)}, Status.BLOCKED, Reason.PRICE_COLLAR),
    ({"limits": build_limits(order_cap_e8=10**12)}, Status.BLOCKED, Reason.MAX_ORDER),
    ({"desk": build_desk(filters_age_ms=86_400_001)}, Status.BLOCKED, Reason.FILTERS_STALE),
    ({"desk": build_desk(own_ask_ticks=ASK)}, Status.BLOCKED, Reason.SELF_CROSS),
    ({"desk": build_desk(since_exit_ms=5), "limits": build_limits(cooldown_ms=6)}, Status.BLOCKED, Reason.COOLDOWN),
    ({"desk": build_desk(stop_exits=2, since_stop_ms=5),
      "limits": build_limits(stop_guard_trades=2, stop_guard_pause_ms=6)}, Status.BLOCKED, Reason.STOPLOSS_GUARD),
    ({"desk": build_desk(closed_trades=2, closed_profit_bps=-9, since_exit_ms=5),
      "limits": build_limits(low_profit_trades=2, low_profit_bps=0, low_profit_pause_ms=6)}, Status.BLOCKED,
     Reason.LOW_PROFIT),
    ({"desk": build_desk(unknown=UNKNOWN_MARK)}, Status.BLOCKED, Reason.DATA_STALE),
    ({"limits": build_limits(max_order_notional_e8=10**12)}, Status.REJECTED, Reason.FILTER_MIN_NOTIONAL),
    ({"limits": build_limits(max_lots=1_000)}, Status.REJECTED, Reason.FILTER_LOT_SIZE),
    ({"asks": levels((ASK, 5))}, Status.PARTIAL, Reason.BOOK_EXHAUSTED),
    ({"asks": levels()}, Status.EXPIRED, Reason.BOOK_EMPTY),
    (flatten(1_000, data_age_ms=-1), Status.EXPIRED, Reason.DATA_STALE),
    (flatten(1_000, unknown=UNKNOWN_DATA), Status.EXPIRED, Reason.DATA_STALE),
    (flatten(1_000, data_age_ms=6_000), Status.EXPIRED, Reason.DATA_STALE),
    (flatten(1_000), Status.FILLED, Reason.NONE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    ENDS,
    ids=lambda value: value.name.lower() if isinstance(value, Status | Reason) else "",
)
def test_how_a_decision_ends(changes: dict[str, Any], status: Status, reason: Reason) -> None:
    assert ends(**changes) == (status, reason)


def test_every_reason_can_be_reached() -> None:
    """The rest has a test of its own below; the kill switch speaks through the trading state, and
    what open orders say has its tests in test_resting."""
    apart = {Reason.CASH_CHOSEN, Reason.NEXT_BAR_MISSING, Reason.PARTICIPATION_CAP, Reason.KILL_SWITCH}
    apart |= {Reason.WOULD_TAKE, Reason.NOT_WHOLE, Reason.LIMIT_NOT_MET, Reason.CANCELED, Reason.LIST_CANCELED}
    apart |= {Reason.WOULD_TRIGGER, Reason.LIST_PRICES, Reason.FILTER_PRICE, Reason.FILTER_PERCENT_PRICE}
    apart |= {Reason.FILTER_MARKET_LOT_SIZE, Reason.FILTER_PERCENT_PRICE_ALIKE, Reason.FILTER_TRAILING_DELTA}
    apart |= {Reason.FILTER_MAX_NUM_ORDERS, Reason.FILTER_MAX_NUM_ALGO_ORDERS}
    assert {reason for _, _, reason in ENDS} == set(Reason) - apart
    assert {status for _, status, _ in ENDS} == set(Status) - {Status.OPEN}


def test_cash_on_nothing_held_is_no_trade() -> None:
    """Every arm expects a loss, so greedy takes cash."""
    arms = build_arms()
    arms[ARM_LOC] = -1.0
    decision = decide(build_inputs(arms=arms))
    assert outcome(decision) == (Status.NO_TRADE, Reason.CASH_CHOSEN)
    assert (decision.ints.arm, decision.ints.target_lots, decision.findings) == (N_ARMS, 0, ())


def test_cash_on_a_position_sells_it() -> None:
    arms = build_arms()
    arms[ARM_LOC] = -1.0
    decision = decide(build_inputs(arms=arms, desk=holding(5_000)))
    assert outcome(decision) == (Status.FILLED, Reason.NONE)
    assert (decision.ints.side, decision.ints.filled_lots, decision.ints.position_after_lots) == (-1, 5_000, 0)
    assert decision.fills[0][0] == BID


def test_a_decision_without_an_order_leaves_the_account_alone() -> None:
    for changes in ({"view": build_record(context_missing=1)}, {"desk": build_desk(trading_state=2)}):
        ints = decide(build_inputs(**changes)).ints
        assert (ints.sent_lots, ints.filled_lots, ints.n_fills, ints.fee_e8) == (0, 0, 0, 0)
        assert (ints.cash_after_e8, ints.position_after_lots, ints.equity_after_e8) == (CASH_E8, 0, CASH_E8)


def test_every_verdict_is_in_the_record() -> None:
    decision = decide(build_inputs(desk=build_desk(trading_state=2, orders_last_minute=6)))
    verdicts = {guard.name: Verdict(row[0]) for guard, row in zip(GATE_GUARDS, decision.findings, strict=True)}
    assert (verdicts["trading_state"], verdicts["order_rate"]) == (Verdict.HALT, Verdict.DENY)
    assert sum(verdict is not Verdict.ALLOW for verdict in verdicts.values()) == 2
    packed = [decision.ints.verdicts >> (2 * row) & 3 for row in range(N_GUARDS)]
    assert packed == [int(verdict) for verdict in verdicts.values()]


def test_the_attempt_is_in_the_decision() -> None:
    assert decide(build_inputs(draw=build_draw(attempt=7))).ints.attempt == 7


# A person's orders.


def test_a_person_buys_and_sells() -> None:
    bought = decide(build_inputs(**person(1_000)))
    assert outcome(bought) == (Status.FILLED, Reason.NONE) and bought.ints.position_after_lots == 1_000
    sold = decide(build_inputs(**person(-400, desk=holding(1_000))))
    assert outcome(sold) == (Status.FILLED, Reason.NONE) and sold.ints.position_after_lots == 600
    assert sold.ints.arm == -1 and sold.ints.base_e8 == 0


def test_a_person_s_quantity_keeps_to_the_lot() -> None:
    broken = build_terms(source=SOURCE_PERSON, lots=1_000, remainder_e8=1)
    assert ends(**person(0, terms=broken)) == (Status.REJECTED, Reason.FILTER_LOT_SIZE)
    less = build_terms(source=SOURCE_PERSON, lots=0, remainder_e8=999)
    assert ends(**person(0, terms=less)) == (Status.REJECTED, Reason.FILTER_LOT_SIZE)


def test_the_execution_flag_stops_the_router_alone() -> None:
    off = build_terms(source=SOURCE_PERSON, lots=1_000, is_execution_on=0)
    assert ends(**person(0, terms=off)) == (Status.FILLED, Reason.NONE)


def test_an_absurd_quantity_is_refused_without_wrapping() -> None:
    """90 billion coins: lots x ticks x unit is 5.4e23, far beyond int64."""
    limits = build_limits(max_lots=0, max_notional_e8=2**62, symbol_notional_cap_e8=2**62)
    decision = decide(build_inputs(**person(9_000_000_000_000_000, limits=limits)))
    assert outcome(decision)[0] in (Status.REJECTED, Status.BLOCKED)
    verdicts = {guard.name: row[0] for guard, row in zip(GATE_GUARDS, decision.findings, strict=True)}
    assert [verdicts[name] for name in ("symbol_cap", "global_cap", "min_notional", "free_balance")] == [2, 2, 2, 2]


def test_a_flatten_passes_when_halted_reducing_throttled_and_unmarked() -> None:
    desk = {"trading_state": 2, "orders_last_minute": 60, "breaker_until_ms": 2**60, "equity_e8": 1}
    decision = decide(build_inputs(**flatten(1_000, **desk)))
    assert outcome(decision) == (Status.FILLED, Reason.NONE) and decision.ints.position_after_lots == 0
    unmarked = decide(build_inputs(**flatten(-1_000, unknown=UNKNOWN_MARK, trading_state=2)))
    assert outcome(unmarked) == (Status.FILLED, Reason.NONE) and unmarked.ints.side == 1


def test_only_a_flatten_passes_when_halted() -> None:
    desk = holding(1_000, trading_state=2)
    assert ends(**person(-1_000, desk=desk)) == (Status.BLOCKED, Reason.TRADING_HALTED)
    assert ends(**person(-1_000, desk=desk._replace(trading_state=1))) == (Status.FILLED, Reason.NONE)


def test_an_order_through_zero_is_new_risk() -> None:
    desk = holding(1_000, trading_state=1)
    assert ends(**person(-1_001, desk=desk)) == (Status.BLOCKED, Reason.REDUCE_ONLY)


# The router's flag.


def test_with_the_router_off_the_fallback_decides() -> None:
    arms = build_arms(best=0)
    arms[ARM_SIGNAL, 1] = 0.5
    decision = decide(build_inputs(arms=arms, terms=build_terms(is_router_on=0, fallback_arm=1)))
    assert (decision.ints.arm, decision.floats.signal, decision.floats.propensity) == (1, 0.5, 1.0)
    assert decision.ints.target_lots == FULL_LOTS // 2


@pytest.mark.parametrize("fallback", [-1, 1, N_ARMS])
def test_with_the_router_off_and_no_usable_fallback_it_goes_to_cash(fallback: int) -> None:
    gates = np.zeros(N_ARMS, np.int64)
    gates[1] = GATE_WARM_UP
    terms = build_terms(is_router_on=0, fallback_arm=fallback)
    decision = decide(build_inputs(gates=gates, terms=terms, desk=holding(1_000)))
    assert (decision.ints.arm, decision.ints.side, decision.ints.filled_lots) == (N_ARMS, -1, 1_000)


# The breaker.


def test_the_breaker_trips_pauses_and_starts_afresh() -> None:
    """949,900 of 1,000,000 is 501 bps: it trips and names its end, 15 minutes on."""
    low = build_desk(equity_e8=94_990_000_000_000)
    tripped = decide(build_inputs(desk=low)).ints
    assert (tripped.is_tripped, tripped.breaker_until_ms) == (1, low.ts_ms + 900_000)
    assert (tripped.status, tripped.reason) == (Status.BLOCKED, Reason.DRAWDOWN)
    paused = decide(build_inputs(desk=low._replace(ts_ms=low.ts_ms + 899_999, breaker_until_ms=low.ts_ms + 900_000)))
    assert (paused.ints.is_tripped, paused.ints.is_rearmed, paused.ints.reason) == (0, 0, Reason.DRAWDOWN)
    over = decide(build_inputs(desk=low._replace(ts_ms=low.ts_ms + 900_000, breaker_until_ms=low.ts_ms + 900_000)))
    assert (over.ints.is_rearmed, over.ints.is_tripped, over.ints.breaker_until_ms) == (1, 0, 0)
    assert over.ints.high_water_e8 == low.equity_e8, "a window that is not restarted trips again at once"
    assert outcome(over)[0] == Status.FILLED


def test_at_its_limit_the_breaker_holds() -> None:
    ints = decide(build_inputs(desk=build_desk(equity_e8=95 * 10**12))).ints
    assert (ints.is_tripped, ints.status) == (0, Status.FILLED)


def test_a_paused_desk_may_still_go_out() -> None:
    arms = build_arms()
    arms[ARM_LOC] = -1.0
    decision = decide(build_inputs(arms=arms, desk=holding(5_000, equity_e8=9 * 10**13)))
    assert decision.ints.is_tripped == 1 and outcome(decision) == (Status.FILLED, Reason.NONE)


def test_without_a_mark_the_breaker_neither_trips_nor_ends() -> None:
    desk = build_desk(equity_e8=1, unknown=UNKNOWN_MARK)
    assert decide(build_inputs(desk=desk)).ints.is_tripped == 0
    paused = decide(build_inputs(desk=desk._replace(breaker_until_ms=5))).ints
    assert (paused.is_rearmed, paused.breaker_until_ms) == (0, 5)


def test_a_new_high_becomes_the_high_water_mark() -> None:
    ints = decide(build_inputs(desk=build_desk(high_water_e8=CASH_E8 - 5))).ints
    assert ints.high_water_e8 == CASH_E8


# Fills.


def test_a_buy_that_ran_away_is_refused_whole() -> None:
    """Judged at the touch it was affordable; the level behind it is not, and cash never goes below 0."""
    asks = levels((ASK, 10), (ASK * 20, 10**6))
    decision = decide(build_inputs(asks=asks))
    assert outcome(decision) == (Status.EXPIRED, Reason.FREE_BALANCE)
    assert (decision.ints.sent_lots, decision.ints.cash_after_e8, decision.fills) == (FULL_LOTS, CASH_E8, ())


def bars(open_ticks: int, volume_lots: int, **terms: int) -> dict[str, Any]:
    """The same decision, filled at the next bar."""
    return {
        "terms": build_terms(fill_kind=FILL_BARS, **terms),
        "arrival": ArrivalRecord(0, 0, open_ticks, volume_lots),
        "bids": levels(),
        "asks": levels(),
    }


@pytest.mark.parametrize(
    ("open_ticks", "volume", "status", "reason"),
    [
        (MARK, 10 * FULL_LOTS, Status.FILLED, Reason.NONE),
        (MARK, 500_000, Status.PARTIAL, Reason.PARTICIPATION_CAP),
        (MARK, 9, Status.EXPIRED, Reason.PARTICIPATION_CAP),
        (0, 500_000, Status.EXPIRED, Reason.NEXT_BAR_MISSING),
    ],
)
def test_how_an_order_ends_at_the_next_bar(open_ticks: int, volume: int, status: Status, reason: Reason) -> None:
    assert ends(**bars(open_ticks, volume)) == (status, reason)


def test_a_person_s_order_at_the_next_bar_has_no_impact_to_pay_and_says_so() -> None:
    record, arms, gates = no_view()
    given = {**bars(MARK, 10**6, source=SOURCE_PERSON, lots=1_000), "view": record, "arms": arms, "gates": gates}
    assert ends(**given) == (Status.EXPIRED, Reason.NUMERIC_FAULT)
    free = {**given, "terms": build_terms(fill_kind=FILL_BARS, source=SOURCE_PERSON, lots=1_000, slippage_scale=0)}
    assert ends(**free) == (Status.FILLED, Reason.NONE)


@pytest.mark.parametrize(("bps", "lots"), [(0, 0), (100, 1_041), (1_000, 10_416), (2_500, 26_041), (10_000, FULL_LOTS)])
def test_the_rehearsal_is_the_weight_s_share_floored_to_the_lot(bps: int, lots: int) -> None:
    decision = decide(build_inputs(terms=build_terms(rehearsal_bps=bps)))
    ints = decision.ints
    assert (ints.rehearsal_lots, ints.rehearsal_filled_lots) == (lots, lots)
    assert ints.rehearsal_notional_e8 == lots * ASK * 10
    assert ints._replace(rehearsal_lots=0, rehearsal_filled_lots=0, rehearsal_notional_e8=0) == (
        decide(build_inputs()).ints
    ), "the paper book does not depend on the rehearsal"


def test_a_rehearsal_takes_only_what_its_size_reaches() -> None:
    """1,041 lots on a book of 1,000 and more behind: the paper order goes deeper than the rehearsal."""
    asks = levels((ASK, 1_000), (ASK + 100, 10**6))
    ints = decide(build_inputs(asks=asks, terms=build_terms(rehearsal_bps=100))).ints
    assert ints.rehearsal_notional_e8 == (1_000 * ASK + 41 * (ASK + 100)) * 10
    short = decide(build_inputs(asks=levels((ASK, 1_000)), terms=build_terms(rehearsal_bps=100))).ints
    assert (short.rehearsal_lots, short.rehearsal_filled_lots) == (1_041, 1_000)


# Whatever comes in, the books balance.


@settings(max_examples=400, deadline=None)
@given(
    lots=st.integers(-(10**6), 10**6), held=st.integers(-(10**5), 10**5), cash=st.integers(0, 10**14),
    book=st.lists(st.tuples(st.integers(1, 10**8), st.integers(0, 10**6)), min_size=1, max_size=20),
    is_bars=st.booleans(), is_flatten=st.booleans(), bps=st.sampled_from([0, 100, 2_500]),
)  # fmt: skip
def test_books_balance_and_cash_never_goes_below_zero(
    lots: int, held: int, cash: int, book: list[tuple[int, int]], is_bars: bool, is_flatten: bool, bps: int
) -> None:
    other = 7 * 10**12
    desk = build_desk(position_lots=held, cash_e8=cash, equity_e8=cash + held * MARK * 10 + other, high_water_e8=1)
    limits = build_limits(max_notional_e8=2**60, symbol_notional_cap_e8=2**60, max_lots=0)
    terms = build_terms(
        source=SOURCE_FLATTEN if is_flatten else SOURCE_PERSON, lots=lots, rehearsal_bps=bps, slippage_scale=0,
        fill_kind=FILL_BARS if is_bars else 1,
    )  # fmt: skip
    price, shown = book[0]
    arrival = ArrivalRecord(price, price, price, shown)
    rows = levels(*book)
    inputs = build_inputs(desk=desk, limits=limits, terms=terms, arrival=arrival, bids=rows, asks=rows)
    decision = decide(inputs)
    ints = decision.ints
    assert ints.cash_after_e8 >= 0
    assert ints.cash_after_e8 == cash - sum(ints.side * t * n * 10 + fee for t, n, fee in decision.fills)
    assert ints.position_after_lots == held + ints.side * sum(n for _, n, _ in decision.fills)
    assert ints.equity_after_e8 == ints.cash_after_e8 + ints.position_after_lots * MARK * 10 + other
    assert ints.filled_lots <= ints.sent_lots <= ints.requested_lots
    assert (ints.status == Status.FILLED) == (0 < ints.filled_lots == ints.sent_lots)
    assert (ints.reason == Reason.NONE) == (ints.status == Status.FILLED)
    assert ints.rehearsal_filled_lots <= ints.rehearsal_lots == ints.sent_lots * bps // 10_000
