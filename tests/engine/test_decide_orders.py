"""Whose order is it? A person's, a flatten, and the router's with its flags off."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.decide import decide
from apps.engine.decision import (
    ARM_SIGNAL,
    GATE_WARM_UP,
    N_ARMS,
    SOURCE_PERSON,
)
from apps.engine.desk import UNKNOWN_MARK
from apps.engine.gate import GATE_GUARDS
from apps.engine.reasons import Reason, Status
from tests.engine.decided import ends, flatten, outcome, person
from tests.support.engine import (
    FULL_LOTS,
    build_arms,
    build_inputs,
    build_limits,
    build_terms,
    holding,
)


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
