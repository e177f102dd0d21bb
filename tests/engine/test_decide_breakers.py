"""What the rolling breaker does inside one decision."""

from __future__ import annotations

from apps.engine.decide import decide
from apps.engine.decision import (
    ARM_LOC,
)
from apps.engine.desk import UNKNOWN_MARK
from apps.engine.reasons import Reason, Status
from tests.engine.decided import outcome
from tests.support.engine import (
    CASH_E8,
    build_arms,
    build_desk,
    build_inputs,
    holding,
)


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
