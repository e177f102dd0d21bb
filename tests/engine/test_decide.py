"""One decision from end to end: how each can end, and what it does to cash, position and equity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apps.engine.decide import decide
from apps.engine.decision import (
    ARM_LOC,
    GATE_WARM_UP,
    N_ARMS,
    ArrivalRecord,
)
from apps.engine.desk import UNKNOWN_DATA, UNKNOWN_MARK, UNKNOWN_STATE
from apps.engine.gate import GATE_GUARDS, N_GUARDS
from apps.engine.reasons import Reason, Status, Verdict
from tests.engine.decided import ends, flatten, outcome
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
