"""One closed bar into the state of a symbol: features, regime, signals, learning from shadow rewards, posterior.

The state is a fold of the bars and of two control facts per bar (which arms are active, whether BOCPD runs), so it can
be rebuilt from rows. At a grid bar (index mod H = 0), in this order: discount, alarm discount, the reward that closed
since the last grid bar, then the posterior at the new context. Non-grid bars move features and open or close shadow
positions; they learn nothing.

What only a reader sees (the context between grid bars, signals, gates, posterior) is written where somebody reads:
live at every bar, in a batch at grid bars and at the last one. So a state is the same bits however it was folded.
"""

from __future__ import annotations

import math

from numba import njit

from apps.engine.borrowing import borrowed
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
    horizon_return_nb,
    mark_gap_nb,
    realized_vol_nb,
    sigma_nb,
    sigma_previous_nb,
)
from apps.engine.observe_state import (
    AWAITING,
    CLOSED,
    EMPTY,
    N_SCALARS_F,
    OPEN,
    ROW_INDEX,
    ROW_LABEL,
    ROW_MISSING,
    S_ADV,
    S_AGE,
    S_APPLIED,
    S_CLIPPED,
    S_FAULT,
    S_GAPS,
    S_IS_GRID,
    S_LABEL,
    S_LAST_INDEX,
    S_MISSING,
    S_RECENT,
    S_REFUSED,
    S_SEEN,
    S_SIGMA,
    SLOT_ARMS,
    SLOT_ENTRY,
    SLOT_GRID,
    SLOT_SIGMA,
    SLOT_STAGE,
    SLOT_X,
    CoreState,
    ViewRows,
)
from apps.engine.propensity import STATUS_OK
from apps.engine.regime import (
    regime_age_nb,
    regime_grid_nb,
    regime_label_nb,
    regime_recent_nb,
)
from apps.engine.router import N_CONTEXT, RouterParams, discount_nb, learn_nb, posterior_nb
from apps.engine.values import Array1d, Array2d, IntArray1d, IntArray2d

REWARD_CLIP = 4.0


@njit(cache=True, error_model="numpy", nogil=True)
def gap_nb(feature_f: Array1d, feature_i: IntArray1d, slots_i: IntArray2d, scalars_i: IntArray1d) -> None:
    """Bars are missing before this one: windows start anew and running shadow positions are void."""
    mark_gap_nb(feature_f, feature_i)
    scalars_i[S_GAPS] += 1
    for slot in range(2):
        if slots_i[slot, SLOT_STAGE] != CLOSED:
            slots_i[slot, SLOT_STAGE] = EMPTY


@njit(cache=True, error_model="numpy", nogil=True)
def shadow_nb(slots_i: IntArray2d, slots_f: Array2d, bar_index: int, horizon: int, open_: float) -> None:
    """Enter and leave shadow positions at this bar's open."""
    for slot in range(2):
        stage = slots_i[slot, SLOT_STAGE]
        if stage == AWAITING and bar_index == slots_i[slot, SLOT_GRID] * horizon + 1:
            slots_f[slot, SLOT_ENTRY] = open_
            slots_i[slot, SLOT_STAGE] = OPEN
        elif stage == OPEN and bar_index == slots_i[slot, SLOT_GRID] * horizon + 1 + horizon:
            slots_f[slot, SLOT_ENTRY] = open_ / slots_f[slot, SLOT_ENTRY] - 1.0
            slots_i[slot, SLOT_STAGE] = CLOSED


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def learn_closed_nb(
    slot_i: IntArray1d, slot_f: Array1d, slot_mask: IntArray1d, scalars_i: IntArray1d, horizon: int,
    sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, reward: Array1d,
) -> None:  # fmt: skip
    """Learn the closed shadow position of a slot: reward = signal x return in units of sigma sqrt(H), clipped.

    An observation that is not finite is refused, counted, and not stated as applied.
    """
    if slot_i[SLOT_STAGE] != CLOSED:
        return
    move = slot_f[SLOT_ENTRY] / (slot_f[SLOT_SIGMA] * math.sqrt(horizon))
    for k in range(reward.shape[0]):
        value = slot_f[SLOT_ARMS + k] * move
        if abs(value) > REWARD_CLIP:
            scalars_i[S_CLIPPED] += 1
        reward[k] = min(max(value, -REWARD_CLIP), REWARD_CLIP)
    if learn_nb(sxx, sxy, syy, n, slot_f[SLOT_X : SLOT_X + N_CONTEXT], reward, slot_mask) == STATUS_OK:
        scalars_i[S_APPLIED] = slot_i[SLOT_GRID] * horizon
    else:
        scalars_i[S_REFUSED] += 1


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def open_slot_nb(
    slot_i: IntArray1d, slot_f: Array1d, slot_mask: IntArray1d, grid: int, sigma: float, context: Array1d,
    arms: Array2d, gates: IntArray1d,
) -> None:  # fmt: skip
    """Note a shadow position of every arm, to be entered at the next bar's open."""
    slot_i[SLOT_GRID] = grid
    slot_i[SLOT_STAGE] = AWAITING
    slot_f[SLOT_SIGMA] = sigma
    for j in range(N_CONTEXT):
        slot_f[SLOT_X + j] = context[j]
    for k in range(gates.shape[0]):
        slot_f[SLOT_ARMS + k] = arms[ARM_SIGNAL, k]
        slot_mask[k] = 1 if gates[k] & (GATE_WARM_UP | GATE_GAP | GATE_FAULTY) == 0 else 0


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def gates_nb(
    gates: IntArray1d, arms: Array2d, seen: int, contiguous: int, warm_ups: IntArray1d, inactive: IntArray1d
) -> None:
    """Which arms may be chosen now: warm, no gap inside the warm-up window, active, with a signal in [-1, 1].

    What a policy answered besides (NaN, or out of range) counts as 0 and is neither traded nor learned from.
    """
    for k in range(gates.shape[0]):
        gate = 0
        if seen < warm_ups[k]:
            gate |= GATE_WARM_UP
        elif contiguous < warm_ups[k]:
            gate |= GATE_GAP
        if inactive[k] == 1:
            gate |= GATE_INACTIVE
        if not abs(arms[ARM_SIGNAL, k]) <= 1.0:
            gate |= GATE_FAULTY
            arms[ARM_SIGNAL, k] = 0.0
        gates[k] = gate


@njit(cache=True, error_model="numpy", nogil=True)
def fold_nb(
    feature_f: Array1d, feature_i: IntArray1d, slots_i: IntArray2d, slots_f: Array2d, scalars_i: IntArray1d,
    horizon: int, bar_index: int, open_: float, high: float, low: float, close: float, volume: float,
) -> int:  # fmt: skip
    """What every closed bar does, watched or not: gaps, shadow positions, features. Answers 1 at a grid bar."""
    if scalars_i[S_LAST_INDEX] >= 0 and bar_index != scalars_i[S_LAST_INDEX] + 1:
        gap_nb(feature_f, feature_i, slots_i, scalars_i)
    shadow_nb(slots_i, slots_f, bar_index, horizon, open_)
    features_bar_nb(feature_f, feature_i, open_, high, low, close, volume)
    scalars_i[S_LAST_INDEX] = bar_index
    scalars_i[S_SEEN] += 1
    scalars_i[S_IS_GRID] = 1 if bar_index % horizon == 0 else 0
    return scalars_i[S_IS_GRID]


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def face_nb(s: CoreState, signals: Array1d, warm_ups: IntArray1d, inactive: IntArray1d, is_bocpd: int) -> None:
    """Signals, gates and context as they are after this bar."""
    for k in range(signals.shape[0]):
        s.arms[ARM_SIGNAL, k] = signals[k]
    gates_nb(s.gates, s.arms, s.scalars_i[S_SEEN], bars_since_gap_nb(s.feature_i), warm_ups, inactive)
    age = regime_age_nb(s.regime_f, s.regime_i) if is_bocpd == 1 else 0.0
    s.scalars_i[S_MISSING] = context_nb(s.feature_f, s.feature_i, age, s.context)
    s.scalars_f[S_AGE] = age if age >= 0.0 else 0.0


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def look_nb(
    s: CoreState, params: RouterParams, horizon: int, signals: Array1d, warm_ups: IntArray1d, inactive: IntArray1d,
    is_bocpd: int, is_viewed: int,
) -> None:  # fmt: skip
    """After a bar is folded: regime, discounts and learning at a grid bar, and the view where somebody reads it."""
    alarm, status, sigma, is_grid = 0, STATUS_OK, sigma_nb(s.feature_f), s.scalars_i[S_IS_GRID]
    if is_grid == 1:
        alarm = regime_grid_nb(
            s.regime_f, s.regime_i, realized_vol_nb(s.feature_f, s.feature_i),
            horizon_return_nb(s.feature_f, s.feature_i), sigma_previous_nb(s.feature_f), is_bocpd,
        )  # fmt: skip
    face_nb(s, signals, warm_ups, inactive, is_bocpd)
    if is_grid == 1:
        grid = s.scalars_i[S_LAST_INDEX] // horizon
        slot_i, slot_f, slot_mask = s.slots_i[grid % 2], s.slots_f[grid % 2], s.slots_mask[grid % 2]
        status = discount_nb(s.sxx, s.sxy, s.syy, s.n, params.gamma)
        if alarm == 1 and status == STATUS_OK:
            status = discount_nb(s.sxx, s.sxy, s.syy, s.n, params.rho)
        learn_closed_nb(slot_i, slot_f, slot_mask, s.scalars_i, horizon, s.sxx, s.sxy, s.syy, s.n, s.reward)
        slot_i[SLOT_STAGE] = EMPTY
        if s.scalars_i[S_MISSING] == 0 and sigma > 0.0:
            open_slot_nb(slot_i, slot_f, slot_mask, grid, sigma, s.context, s.arms, s.gates)
        features_sample_nb(s.feature_f, s.feature_i)
    if is_viewed == 1:
        view_nb(s, params, status, is_bocpd)


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def view_nb(s: CoreState, params: RouterParams, status: int, is_bocpd: int) -> None:
    """The posterior at the context, and the scalars of a view. Without a context the arms' beliefs are 0."""
    sigma = sigma_nb(s.feature_f)
    s.scalars_f[S_SIGMA] = sigma if sigma > 0.0 else 0.0
    s.scalars_f[S_ADV] = adv_quote_nb(s.feature_f)
    recent = regime_recent_nb(s.regime_f, s.regime_i)
    s.scalars_f[S_RECENT] = recent if is_bocpd == 1 and recent >= 0.0 else 0.0
    s.scalars_i[S_LABEL] = regime_label_nb(s.regime_f, s.regime_i)
    s.scalars_i[S_FAULT] = status
    is_known = s.scalars_i[S_MISSING] == 0 and status == STATUS_OK
    for k in range(s.gates.shape[0]):
        s.arms[ARM_LOC, k] = s.arms[ARM_H, k] = s.arms[ARM_A, k] = s.arms[ARM_B, k] = 0.0
        s.arms[ARM_N, k] = s.n[k] if is_known else 0.0
    if is_known:
        s.scalars_i[S_FAULT] = posterior_nb(
            s.sxx, s.sxy, s.syy, s.n, s.context, params.lam, params.a0, params.b0, s.work,
            s.arms[ARM_LOC], s.arms[ARM_H], s.arms[ARM_A], s.arms[ARM_B],
        )  # fmt: skip
    if s.scalars_i[S_FAULT] != STATUS_OK:
        s.scalars_i[S_MISSING] |= 1 << N_CONTEXT


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def keep_row_nb(s: CoreState, seen: ViewRows, row: int) -> None:
    """Copy the view of a grid bar out of the state."""
    seen.ints[row, ROW_INDEX] = s.scalars_i[S_LAST_INDEX]
    seen.ints[row, ROW_MISSING] = s.scalars_i[S_MISSING]
    seen.ints[row, ROW_LABEL] = s.scalars_i[S_LABEL]
    for j in range(N_SCALARS_F):
        seen.floats[row, j] = s.scalars_f[j]
    for k in range(s.gates.shape[0]):
        seen.gates[row, k] = s.gates[k]
        for j in range(N_ARM_ROWS):
            seen.arms[row, j, k] = s.arms[j, k]


@njit(cache=True, error_model="numpy", nogil=True)
def observe_batch_nb(
    s: CoreState, params: RouterParams, horizon: int, index: IntArray1d, open_: Array1d, high: Array1d, low: Array1d,
    close: Array1d, volume: Array1d, signals: Array2d, warm_ups: IntArray1d, inactive: IntArray1d, is_bocpd: int,
    seen: ViewRows,
) -> int:  # fmt: skip
    """Fold closed bars; `signals` (n, K) are the policies' after each. The last bar is viewed.

    So is every grid bar where `seen` has room for rows; answers how many it wrote.
    """
    s, signals, seen = borrowed(s), borrowed(signals), borrowed(seen)
    warm_ups, inactive = borrowed(warm_ups), borrowed(inactive)
    n_rows, last, has_room = 0, index.shape[0] - 1, seen.ints.shape[0] > 0
    feature_f, feature_i, slots_i, slots_f, scalars_i = s.feature_f, s.feature_i, s.slots_i, s.slots_f, s.scalars_i
    for t in range(last + 1):
        is_grid = fold_nb(
            feature_f, feature_i, slots_i, slots_f, scalars_i, horizon, index[t], open_[t], high[t], low[t], close[t],
            volume[t],
        )  # fmt: skip
        if is_grid == 0 and t < last:
            continue
        is_kept = is_grid == 1 and has_room
        look_nb(s, params, horizon, signals[t], warm_ups, inactive, is_bocpd, 1 if is_kept or t == last else 0)
        if is_kept:
            keep_row_nb(s, seen, n_rows)
            n_rows += 1
    return n_rows
