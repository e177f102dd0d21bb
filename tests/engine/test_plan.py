"""From posterior to order by hand: switching costs, the target, and what is worth sending."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.engine.decide import decide
from apps.engine.decision import ARM_H, ARM_LOC, ARM_SIGNAL, GATE_INACTIVE, N_ARMS, workspace
from apps.engine.plan import judged_ticks_nb, score_inputs_nb, switch_cost_nb
from apps.engine.reasons import Reason, Status
from apps.engine.student import student_quantile_nb
from tests.support.engine import (
    ASK,
    CASH_E8,
    FULL_LOTS,
    MARK,
    build_arms,
    build_desk,
    build_inputs,
    build_limits,
    build_record,
    build_terms,
    holding,
)

BASE_E8 = CASH_E8 // 2
HALF_LOTS = FULL_LOTS // 2


def costs(position_lots: int, arms: np.ndarray, gates: np.ndarray | None = None) -> tuple[int, float, np.ndarray]:
    """(admissible arms, cost of going to cash, cost of each arm) with a full size of 62,500 quote."""
    w = workspace()
    gates = np.zeros(N_ARMS, np.int64) if gates is None else gates
    desk, terms = build_desk(position_lots=position_lots), build_terms()
    n, cash = score_inputs_nb(build_record(), arms, gates, desk, terms, BASE_E8, w)
    return n, cash, w.costs.copy()


def test_a_switch_costs_fee_spread_and_impact_in_units_of_risk() -> None:
    """From flat to all of 62,500: 10 bps + 2 bps + 0.1 x 0.004 x sqrt(0.0625) = 13 bps, over 0.004 x sqrt(4)."""
    n, cash, by_arm = costs(0, build_arms())
    assert n == N_ARMS and cash == 0.0
    assert by_arm[0] == pytest.approx(0.0013 / 0.008, rel=1e-12)
    assert by_arm[1:].tolist() == [0.0] * (N_ARMS - 1), "who would stay flat pays nothing"


def test_the_cost_is_that_of_the_difference_to_what_is_held() -> None:
    """52,083 lots are 31,249.80 quote: 0.4999968 of the full size. Impact of half: 0.0004 x sqrt(0.03125)."""
    held = HALF_LOTS * 0.6 / 62_500.0
    up, down = 1.0 - held, held
    rates = [0.0012 + 0.0004 * math.sqrt(turnover * 0.0625) for turnover in (up, down)]
    _, cash, by_arm = costs(HALF_LOTS, build_arms())
    assert by_arm[0] == pytest.approx(rates[0] * up / 0.008, rel=1e-9)
    assert by_arm[1] == pytest.approx(rates[1] * down / 0.008, rel=1e-9)
    assert cash == pytest.approx(rates[1] * down / 0.008, rel=1e-9), "to cash is the way out"


def test_a_short_pays_for_the_way_through_zero() -> None:
    _, _, by_arm = costs(-HALF_LOTS, build_arms())
    turnover = 1.0 + HALF_LOTS * 0.6 / 62_500.0
    assert by_arm[0] == pytest.approx((0.0012 + 0.0004 * math.sqrt(turnover * 0.0625)) * turnover / 0.008, rel=1e-9)


def test_a_wider_arm_is_smaller_so_the_same_position_weighs_more() -> None:
    """width = 2 t(0.9, 200) sqrt(h); the full size shrinks with its sigmoid and the held fraction grows."""
    arms = build_arms()
    arms[ARM_H, 0] = 0.09
    width = 2.0 * student_quantile_nb(0.9, 200.0) * 0.3
    full = 500_000.0 * 0.25 / (1.0 + math.exp(width))
    turnover = abs(1.0 - HALF_LOTS * 0.6 / full)
    rate = 0.0012 + 0.0004 * math.sqrt(turnover * full / 1e6)
    _, cash, by_arm = costs(HALF_LOTS, arms)
    assert by_arm[0] == pytest.approx(rate * turnover / 0.008, rel=1e-9)
    assert cash == pytest.approx(costs(HALF_LOTS, build_arms())[1], rel=1e-12), "cash is judged by the largest arm"


def test_arms_behind_a_gate_cost_nothing_and_do_not_count() -> None:
    gates = np.full(N_ARMS, GATE_INACTIVE)
    gates[0] = 0
    n, _, by_arm = costs(0, np.vstack([np.ones(N_ARMS), build_arms()[1:]]), gates)
    assert n == 1 and by_arm[0] > 0.0 and not by_arm[1:].any()


def test_costs_are_per_fee_and_horizon() -> None:
    record = build_record()
    once = switch_cost_nb(1.0, 0.0, 62_500.0, record, 10, 0.008)
    assert switch_cost_nb(1.0, 0.0, 62_500.0, record, 20, 0.008) - once == pytest.approx(0.001 / 0.008, rel=1e-9)
    assert switch_cost_nb(1.0, 0.0, 62_500.0, record, 10, 0.004) == pytest.approx(2.0 * once, rel=1e-12)
    assert switch_cost_nb(0.7, 0.7, 62_500.0, record, 10, 0.008) == 0.0


def test_switching_costs_decide_between_equals() -> None:
    """Two arms expect the same; the one that wants what is held already is chosen."""
    arms = build_arms()
    arms[ARM_LOC, 1], arms[ARM_SIGNAL, 1] = 5.0, 0.5
    assert decide(build_inputs(arms=arms, desk=holding(FULL_LOTS))).ints.arm == 0
    assert decide(build_inputs(arms=arms, desk=holding(HALF_LOTS))).ints.arm == 1


def test_a_reward_below_its_cost_is_left_for_cash() -> None:
    """The switch costs 0.1625: an arm that expects 0.16 is not worth it, one that expects 0.17 is."""
    chosen = []
    for reward in (0.16, 0.17):
        arms = build_arms()
        arms[ARM_LOC] = -1.0
        arms[ARM_LOC, 0] = reward
        chosen.append(decide(build_inputs(arms=arms)).ints.arm)
    assert chosen == [N_ARMS, 0]


@pytest.mark.parametrize(
    ("signal", "weight", "equity", "lots"),
    [
        (1.0, 250_000_000, CASH_E8, 104_166),  # 62,500 / 0.6 = 104,166.67
        (0.5, 250_000_000, CASH_E8, 52_083),
        (1.0, 125_000_000, CASH_E8, 52_083),
        (1.0, 250_000_000, CASH_E8 // 2, 52_083),
        (-1.0, 250_000_000, CASH_E8, -104_166),
        (1e-9, 250_000_000, CASH_E8, 0),
    ],
)
def test_the_target_is_base_sigmoid_weight_and_signal(signal: float, weight: int, equity: int, lots: int) -> None:
    desk = build_desk(equity_e8=equity, high_water_e8=equity)
    inputs = build_inputs(arms=build_arms(signal=signal), desk=desk, terms=build_terms(weight_e9=weight))
    ints = decide(inputs).ints
    assert (ints.base_e8, ints.target_lots) == (equity // 2, lots)


def test_base_is_capped_at_equity() -> None:
    """Volatility of 0.002 a bar is 0.2 a year: all of equity, and a calmer market gets no more."""
    for sigma in (0.002, 0.001):
        assert decide(build_inputs(view=build_record(sigma_bar=sigma))).ints.base_e8 == CASH_E8


def send(position: int, *, last_signal: float = 1.0, signal: float = 1.0, band: int = 2_000, **limits: int) -> Reason:
    """What becomes of the difference between a position and the full size."""
    terms = build_terms(last_signal=last_signal, rebalance_band_bps=band)
    inputs = build_inputs(
        arms=build_arms(signal=signal), desk=holding(position), terms=terms, limits=build_limits(**limits)
    )
    return Reason(decide(inputs).ints.reason)


def test_the_band_is_a_fifth_of_the_target() -> None:
    """A fifth of 104,166 is 20,833.2: a difference of 20,833 waits, one of 20,834 is sent."""
    assert send(FULL_LOTS - 20_833) == Reason.WITHIN_BAND
    assert send(FULL_LOTS - 20_834) == Reason.NONE
    assert send(FULL_LOTS + 20_833) == Reason.WITHIN_BAND
    assert send(FULL_LOTS + 20_834) == Reason.NONE
    assert send(FULL_LOTS - 20_833, band=1_000) == Reason.NONE


def test_a_changed_signal_or_sign_forces_an_order() -> None:
    assert send(FULL_LOTS - 100, last_signal=0.9) == Reason.NONE
    assert send(0) == Reason.NONE
    assert send(-5_000) == Reason.NONE
    assert send(100, signal=0.0, last_signal=0.0) == Reason.NONE, "out of the market is a change of sign"


def test_a_difference_below_the_exchange_s_minimum_waits() -> None:
    """Bought at the ask, eight lots are 4.80 quote and nine 5.40."""
    assert send(FULL_LOTS - 8, last_signal=0.9) == Reason.BELOW_MINIMUM
    assert send(FULL_LOTS - 9, last_signal=0.9) == Reason.NONE
    assert send(FULL_LOTS - 499, last_signal=0.9, min_lots=500) == Reason.BELOW_MINIMUM
    assert send(8, signal=0.0) == Reason.BELOW_MINIMUM, "dust stays"


def test_orders_are_floored_to_the_market_s_step() -> None:
    ints = decide(build_inputs(limits=build_limits(lot_multiple=1_000))).ints
    assert (ints.requested_lots, ints.sent_lots, ints.status) == (FULL_LOTS, 104_000, Status.FILLED)
    none = decide(build_inputs(limits=build_limits(lot_multiple=0))).ints
    assert none.sent_lots == FULL_LOTS, "a rule of zero is no rule"
    assert send(FULL_LOTS - 999, last_signal=0.9, lot_multiple=1_000) == Reason.BELOW_MINIMUM


def test_a_buy_is_judged_at_the_worse_of_mark_and_ask() -> None:
    assert judged_ticks_nb(1, MARK, ASK) == ASK and judged_ticks_nb(1, MARK, 0) == MARK
    assert judged_ticks_nb(-1, MARK, ASK) == MARK


def test_size_never_rises_with_width() -> None:
    lots = [decide(build_inputs(arms=build_arms(h=h))).ints.target_lots for h in np.linspace(0.0, 4.0, 60)]
    assert lots == sorted(lots, reverse=True) and lots[0] == FULL_LOTS > lots[-1]
