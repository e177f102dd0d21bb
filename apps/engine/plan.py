"""From a view to an order: choose an arm, size its target, decide whether the difference is worth sending."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from apps.engine.decision import ARM_A, ARM_B, ARM_H, ARM_LOC, ARM_SIGNAL, FLOATS, INTS, TermsRecord, ViewRecord
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.fills import HALF_SPREAD, impact_rate_nb
from apps.engine.portfolio import notional_nb
from apps.engine.propensity import NO_CHOICE, STATUS_OK, STATUS_SELF_CHECK, choose_nb
from apps.engine.reasons import Reason
from apps.engine.router import RouterParams, decision_probabilities_nb
from apps.engine.sizing import SIZE_ERROR, base_e8_nb, sigmoid_minus_nb, target_lots_nb, widths_nb
from apps.engine.values import Array2d, IntArray1d

_NONE = int(Reason.NONE)
_CASH_CHOSEN = int(Reason.CASH_CHOSEN)
_NO_CHANGE = int(Reason.NO_CHANGE)
_WITHIN_BAND = int(Reason.WITHIN_BAND)
_BELOW_MINIMUM = int(Reason.BELOW_MINIMUM)
_CONTEXT_MISSING = int(Reason.CONTEXT_MISSING)
_NO_ADMISSIBLE_ARM = int(Reason.NO_ADMISSIBLE_ARM)
_NUMERIC_FAULT = int(Reason.NUMERIC_FAULT)


@njit(cache=True, error_model="numpy", nogil=True)
def switch_cost_nb(signal: float, held: float, full_size: float, view: ViewRecord, fee_bps: int, scale: float) -> float:
    """Cost of moving from `held` to `signal` (fractions of the arm's full size), in reward-sd (quant: 2.2)."""
    turnover = abs(signal - held)
    if turnover == 0.0:
        return 0.0
    rate = fee_bps * 1e-4 + HALF_SPREAD
    rate += impact_rate_nb(view.sigma_bar, int(turnover * full_size * 1e8), view.adv_quote)
    return rate * turnover / scale


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def score_inputs_nb(
    view: ViewRecord, arms: Array2d, gates: IntArray1d, desk: DeskRecord, terms: TermsRecord, base_e8: int, w: Any
) -> tuple[int, float]:
    """Widths, sigmoids and switching costs per arm; (number of admissible arms, cost of going to cash).

    The number is -1 when a width cannot be formed.
    """
    scale = view.sigma_bar * math.sqrt(terms.horizon_bars)
    position = desk.position_lots * desk.mark_ticks * terms.unit_e8 * 1e-8
    weight = terms.weight_e9 * 1e-9
    n_admissible, largest = 0, 0.0
    if widths_nb(arms[ARM_H], arms[ARM_A], w.widths) != STATUS_OK:
        return -1, 0.0
    for k in range(gates.shape[0]):
        w.sigmoids[k] = sigmoid_minus_nb(w.widths[k])
        full_size = base_e8 * 1e-8 * w.sigmoids[k] * weight
        w.admissible[k] = 1 if gates[k] == 0 and full_size > 0.0 else 0
        w.costs[k] = 0.0
        if w.admissible[k] == 1:
            n_admissible += 1
            largest = max(largest, full_size)
            held = position / full_size
            w.costs[k] = switch_cost_nb(arms[ARM_SIGNAL, k], held, full_size, view, terms.fee_bps, scale)
    cash_cost = 0.0
    if n_admissible > 0:
        cash_cost = switch_cost_nb(0.0, position / largest, largest, view, terms.fee_bps, scale)
    return n_admissible, cash_cost


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def choose_arm_nb(
    arms: Array2d, terms: TermsRecord, params: RouterParams, cash_cost: float, u: float, w: Any
) -> tuple[int, int]:
    """(chosen arm, status). With the router off, the fallback policy where admissible, else cash."""
    n_arms = w.admissible.shape[0]
    if terms.is_router_on == 0:
        for k in range(n_arms + 1):
            w.p[k] = 0.0
        fallback = terms.fallback_arm
        chosen = fallback if 0 <= fallback < n_arms and w.admissible[fallback] == 1 else n_arms
        w.p[chosen] = 1.0
        return chosen, 0
    status = decision_probabilities_nb(
        arms[ARM_LOC], arms[ARM_H], arms[ARM_A], arms[ARM_B], w.costs, cash_cost, w.admissible, 1,
        params, w.nodes, w.scores, w.scales, w.p,
    )  # fmt: skip
    if status != 0:
        return n_arms, status
    chosen = choose_nb(w.p, u)
    return (n_arms, STATUS_SELF_CHECK) if chosen == NO_CHOICE else (chosen, 0)


@njit(cache=True, error_model="numpy", nogil=True)
def is_worth_sending_nb(
    lots: int, judged_ticks: int, target_lots: int, signal: float, desk: DeskRecord, limits: LimitRecord, terms: Any
) -> int:
    """The reason not to send this difference, or NONE. `lots` is above 0 and already floored to the lot."""
    if lots < max(1, limits.min_lots) or notional_nb(lots, judged_ticks, terms.unit_e8) < limits.min_notional_e8:
        return _BELOW_MINIMUM
    held = desk.position_lots
    is_same_sign = (target_lots > 0) == (held > 0) and (target_lots < 0) == (held < 0)
    if not is_same_sign or signal != terms.last_signal:
        return _NONE
    if lots * 10_000 >= terms.rebalance_band_bps * abs(target_lots):
        return _NONE
    return _WITHIN_BAND


@njit(cache=True, error_model="numpy", nogil=True)
def judged_ticks_nb(side: int, mark_ticks: int, ask_ticks: int) -> int:
    """The price an order is judged at before it fills: a buy at the worse of mark and ask, a sell at the mark."""
    return max(mark_ticks, ask_ticks) if side > 0 else mark_ticks


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def plan_nb(
    view: ViewRecord, arms: Array2d, gates: IntArray1d, desk: DeskRecord, limits: LimitRecord, terms: TermsRecord,
    params: RouterParams, ask_ticks: int, u: float, w: Any,
) -> tuple[int, int]:  # fmt: skip
    """(reason, signed lots to send). Writes choice, propensities and sizing into the workspace."""
    w.out_i[INTS.arm] = -1
    if view.context_missing != 0:
        return _CONTEXT_MISSING, 0
    base_e8 = base_e8_nb(desk.equity_e8, view.sigma_bar, terms.bars_per_year)
    w.out_i[INTS.base_e8] = base_e8
    if base_e8 <= 0 or desk.mark_ticks <= 0 or not (view.sigma_bar > 0.0) or not (view.adv_quote > 0.0):
        return _NUMERIC_FAULT, 0
    n_admissible, cash_cost = score_inputs_nb(view, arms, gates, desk, terms, base_e8, w)
    if n_admissible <= 0:
        return (_NO_ADMISSIBLE_ARM if n_admissible == 0 else _NUMERIC_FAULT), 0
    chosen, status = choose_arm_nb(arms, terms, params, cash_cost, u, w)
    if status != 0:
        return _NUMERIC_FAULT, 0
    is_cash = chosen == gates.shape[0]
    signal = 0.0 if is_cash else arms[ARM_SIGNAL, chosen]
    w.out_i[INTS.arm] = chosen
    w.out_f[FLOATS.signal] = signal
    w.out_f[FLOATS.propensity] = w.p[chosen]
    target_lots = 0
    if not is_cash:
        w.out_f[FLOATS.expected_reward] = arms[ARM_LOC, chosen]
        w.out_f[FLOATS.width] = w.widths[chosen]
        w.out_f[FLOATS.sigmoid] = w.sigmoids[chosen]
        target_lots = target_lots_nb(
            base_e8, w.sigmoids[chosen], terms.weight_e9, signal, desk.mark_ticks * terms.unit_e8
        )
    if target_lots == SIZE_ERROR:
        return _NUMERIC_FAULT, 0
    w.out_i[INTS.target_lots] = target_lots
    difference = target_lots - desk.position_lots
    w.out_i[INTS.requested_lots] = abs(difference)
    if difference == 0:
        return (_CASH_CHOSEN if is_cash else _NO_CHANGE), 0
    side = 1 if difference > 0 else -1
    multiple = max(1, limits.lot_multiple)
    lots = abs(difference) // multiple * multiple
    judged = judged_ticks_nb(side, desk.mark_ticks, ask_ticks)
    reason = is_worth_sending_nb(lots, judged, target_lots, signal, desk, limits, terms)
    return reason, (side * lots if reason == _NONE else 0)
