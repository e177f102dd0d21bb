"""One closed bar into the state of a symbol: features, regime, signals, learning from shadow rewards, posterior.

The state is a fold of the bars and of two control facts per bar (which arms are active, whether BOCPD runs), so it can
be rebuilt from rows. At a grid bar (index mod H = 0), in this order: discount, alarm discount, the reward that closed
since the last grid bar, then the posterior at the new context. Non-grid bars move features and open or close shadow
positions; they learn nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from apps.engine.decision import (
    ARM_A,
    ARM_B,
    ARM_H,
    ARM_LOC,
    ARM_N,
    ARM_SIGNAL,
    GATE_FAULTY,
    GATE_GAP,
    GATE_INACTIVE,
    GATE_WARM_UP,
    N_ARM_ROWS,
)
from apps.engine.features import (
    adv_quote_nb,
    bars_since_gap_nb,
    context_nb,
    features_bar_nb,
    features_sample_nb,
    features_state,
    horizon_return_nb,
    mark_gap_nb,
    realized_vol_nb,
    sigma_nb,
    sigma_previous_nb,
)
from apps.engine.propensity import STATUS_OK
from apps.engine.regime import (
    regime_age_nb,
    regime_grid_nb,
    regime_label_nb,
    regime_recent_nb,
    regime_state,
)
from apps.engine.router import (
    N_CONTEXT,
    RouterParams,
    discount_nb,
    learn_nb,
    posterior_nb,
    posterior_work,
    router_stats,
)
from apps.engine.values import Array1d, Array2d, IntArray1d, IntArray2d

REWARD_CLIP = 4.0
# Stages of a shadow position.
EMPTY, AWAITING, OPEN, CLOSED = 0, 1, 2, 3
# Columns of the two shadow slots.
SLOT_GRID, SLOT_STAGE = 0, 1
SLOT_SIGMA, SLOT_ENTRY, SLOT_X = 0, 1, 2
SLOT_ARMS = SLOT_X + N_CONTEXT
# Integer scalars.
S_LAST_INDEX, S_SEEN, S_GAPS, S_IS_GRID, S_MISSING, S_LABEL, S_APPLIED, S_FAULT, S_CLIPPED, S_REFUSED = range(10)
N_SCALARS_I = 10
# Float scalars.
S_SIGMA, S_ADV, S_AGE, S_RECENT = range(4)
N_SCALARS_F = 4


class CoreState(NamedTuple):
    """Everything a symbol's fold carries, save the policies' own arrays. A copy of each array is a snapshot."""

    feature_f: Array1d
    feature_i: IntArray1d
    regime_f: Array1d
    regime_i: IntArray1d
    sxx: Array2d
    sxy: Array2d
    syy: Array1d
    n: Array1d
    slots_i: IntArray2d
    slots_f: Array2d
    slots_mask: IntArray2d
    scalars_i: IntArray1d
    scalars_f: Array1d
    context: Array1d
    arms: Array2d
    gates: IntArray1d
    reward: Array1d
    work: Any


def core_state(horizon_bars: int, n_arms: int) -> CoreState:
    """State before the first bar."""
    feature_f, feature_i = features_state(horizon_bars)
    regime_f, regime_i = regime_state(horizon_bars)
    stats = router_stats(n_arms)
    scalars_i = np.zeros(N_SCALARS_I, np.int64)
    scalars_i[S_LAST_INDEX] = scalars_i[S_APPLIED] = -1
    return CoreState(
        feature_f, feature_i, regime_f, regime_i, *stats,
        slots_i=np.full((2, 2), -1, np.int64),
        slots_f=np.zeros((2, SLOT_ARMS + n_arms)),
        slots_mask=np.zeros((2, n_arms), np.int64),
        scalars_i=scalars_i,
        scalars_f=np.zeros(N_SCALARS_F),
        context=np.zeros(N_CONTEXT),
        arms=np.zeros((N_ARM_ROWS, n_arms)),
        gates=np.zeros(n_arms, np.int64),
        reward=np.zeros(n_arms),
        work=posterior_work(),
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True)
def gap_nb(s: CoreState) -> None:
    """Bars are missing before this one: windows start anew and running shadow positions are void."""
    mark_gap_nb(s.feature_f, s.feature_i)
    s.scalars_i[S_GAPS] += 1
    for slot in range(2):
        if s.slots_i[slot, SLOT_STAGE] != CLOSED:
            s.slots_i[slot, SLOT_STAGE] = EMPTY


@njit(cache=True, error_model="numpy", nogil=True)
def shadow_nb(s: CoreState, bar_index: int, horizon: int, open_: float) -> None:
    """Enter and leave shadow positions at this bar's open."""
    for slot in range(2):
        grid_bar = s.slots_i[slot, SLOT_GRID] * horizon
        stage = s.slots_i[slot, SLOT_STAGE]
        if stage == AWAITING and bar_index == grid_bar + 1:
            s.slots_f[slot, SLOT_ENTRY] = open_
            s.slots_i[slot, SLOT_STAGE] = OPEN
        elif stage == OPEN and bar_index == grid_bar + 1 + horizon:
            s.slots_f[slot, SLOT_ENTRY] = open_ / s.slots_f[slot, SLOT_ENTRY] - 1.0
            s.slots_i[slot, SLOT_STAGE] = CLOSED


@njit(cache=True, error_model="numpy", nogil=True)
def learn_closed_nb(s: CoreState, slot: int, horizon: int) -> None:
    """Learn the closed shadow position of a slot: reward = signal x return in units of sigma sqrt(H), clipped.

    An observation that is not finite is refused, counted, and not stated as applied.
    """
    if s.slots_i[slot, SLOT_STAGE] != CLOSED:
        return
    move = s.slots_f[slot, SLOT_ENTRY] / (s.slots_f[slot, SLOT_SIGMA] * math.sqrt(horizon))
    for k in range(s.reward.shape[0]):
        reward = s.slots_f[slot, SLOT_ARMS + k] * move
        if abs(reward) > REWARD_CLIP:
            s.scalars_i[S_CLIPPED] += 1
        s.reward[k] = min(max(reward, -REWARD_CLIP), REWARD_CLIP)
    x = s.slots_f[slot, SLOT_X : SLOT_X + N_CONTEXT]
    if learn_nb(s.sxx, s.sxy, s.syy, s.n, x, s.reward, s.slots_mask[slot]) == STATUS_OK:
        s.scalars_i[S_APPLIED] = s.slots_i[slot, SLOT_GRID] * horizon
    else:
        s.scalars_i[S_REFUSED] += 1
    s.slots_i[slot, SLOT_STAGE] = EMPTY


@njit(cache=True, error_model="numpy", nogil=True)
def open_slot_nb(s: CoreState, slot: int, grid: int, sigma: float) -> None:
    """Note a shadow position of every arm, to be entered at the next bar's open."""
    s.slots_i[slot, SLOT_GRID] = grid
    s.slots_i[slot, SLOT_STAGE] = AWAITING
    s.slots_f[slot, SLOT_SIGMA] = sigma
    for j in range(N_CONTEXT):
        s.slots_f[slot, SLOT_X + j] = s.context[j]
    for k in range(s.gates.shape[0]):
        s.slots_f[slot, SLOT_ARMS + k] = s.arms[ARM_SIGNAL, k]
        s.slots_mask[slot, k] = 1 if s.gates[k] & (GATE_WARM_UP | GATE_GAP | GATE_FAULTY) == 0 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def gates_nb(s: CoreState, warm_ups: IntArray1d, inactive: IntArray1d) -> None:
    """Which arms may be chosen now: warm, no gap inside the warm-up window, active, with a signal in [-1, 1].

    What a policy answered besides (NaN, or out of range) counts as 0 and is neither traded nor learned from.
    """
    seen, contiguous = s.scalars_i[S_SEEN], bars_since_gap_nb(s.feature_i)
    for k in range(s.gates.shape[0]):
        gate = 0
        if seen < warm_ups[k]:
            gate |= GATE_WARM_UP
        elif contiguous < warm_ups[k]:
            gate |= GATE_GAP
        if inactive[k] == 1:
            gate |= GATE_INACTIVE
        if not abs(s.arms[ARM_SIGNAL, k]) <= 1.0:
            gate |= GATE_FAULTY
            s.arms[ARM_SIGNAL, k] = 0.0
        s.gates[k] = gate


@njit(cache=True, error_model="numpy", nogil=True)
def observe_bar_nb(
    s: CoreState, params: RouterParams, horizon: int, bar_index: int, open_: float, high: float, low: float,
    close: float, volume: float, signals: Array1d, warm_ups: IntArray1d, inactive: IntArray1d, is_bocpd: int,
) -> int:  # fmt: skip
    """Fold one closed bar; answers 1 at a grid bar. `signals` are the policies' after this bar."""
    scalars = s.scalars_i
    if scalars[S_LAST_INDEX] >= 0 and bar_index != scalars[S_LAST_INDEX] + 1:
        gap_nb(s)
    shadow_nb(s, bar_index, horizon, open_)
    features_bar_nb(s.feature_f, s.feature_i, open_, high, low, close, volume)
    scalars[S_LAST_INDEX] = bar_index
    scalars[S_SEEN] += 1
    for k in range(signals.shape[0]):
        s.arms[ARM_SIGNAL, k] = signals[k]
    gates_nb(s, warm_ups, inactive)
    sigma = sigma_nb(s.feature_f)
    is_grid = 1 if bar_index % horizon == 0 else 0
    scalars[S_IS_GRID] = is_grid
    alarm, status = 0, STATUS_OK
    if is_grid == 1:
        alarm = regime_grid_nb(
            s.regime_f, s.regime_i, realized_vol_nb(s.feature_f, s.feature_i),
            horizon_return_nb(s.feature_f, s.feature_i), sigma_previous_nb(s.feature_f), is_bocpd,
        )  # fmt: skip
    age = regime_age_nb(s.regime_f, s.regime_i) if is_bocpd == 1 else 0.0
    scalars[S_MISSING] = context_nb(s.feature_f, s.feature_i, age, s.context)
    if is_grid == 1:
        slot = (bar_index // horizon) % 2
        status = discount_nb(s.sxx, s.sxy, s.syy, s.n, params.gamma)
        if alarm == 1 and status == STATUS_OK:
            status = discount_nb(s.sxx, s.sxy, s.syy, s.n, params.rho)
        learn_closed_nb(s, slot, horizon)
        s.slots_i[slot, SLOT_STAGE] = EMPTY
        if scalars[S_MISSING] == 0 and sigma > 0.0:
            open_slot_nb(s, slot, bar_index // horizon, sigma)
        features_sample_nb(s.feature_f, s.feature_i)
    s.scalars_f[S_SIGMA] = sigma if sigma > 0.0 else 0.0
    s.scalars_f[S_ADV] = adv_quote_nb(s.feature_f)
    s.scalars_f[S_AGE] = age if age >= 0.0 else 0.0
    recent = regime_recent_nb(s.regime_f, s.regime_i)
    s.scalars_f[S_RECENT] = recent if is_bocpd == 1 and recent >= 0.0 else 0.0
    scalars[S_LABEL] = regime_label_nb(s.regime_f, s.regime_i)
    scalars[S_FAULT] = status
    if scalars[S_MISSING] == 0 and status == STATUS_OK:
        scalars[S_FAULT] = posterior_nb(
            s.sxx, s.sxy, s.syy, s.n, s.context, params.lam, params.a0, params.b0, s.work,
            s.arms[ARM_LOC], s.arms[ARM_H], s.arms[ARM_A], s.arms[ARM_B],
        )  # fmt: skip
        for k in range(s.gates.shape[0]):
            s.arms[ARM_N, k] = s.n[k]
    if scalars[S_FAULT] != STATUS_OK:
        scalars[S_MISSING] |= 1 << N_CONTEXT
    return is_grid


@njit(cache=True, error_model="numpy", nogil=True)
def observe_batch_nb(
    s: CoreState, params: RouterParams, horizon: int, index: IntArray1d, open_: Array1d, high: Array1d, low: Array1d,
    close: Array1d, volume: Array1d, signals: Array2d, warm_ups: IntArray1d, inactive: IntArray1d, is_bocpd: int,
) -> None:  # fmt: skip
    """The bare loop over `observe_bar_nb`; `signals` is (n, K)."""
    for t in range(index.shape[0]):
        observe_bar_nb(
            s, params, horizon, index[t], open_[t], high[t], low[t], close[t], volume[t], signals[t],
            warm_ups, inactive, is_bocpd,
        )  # fmt: skip
