"""What a symbol's fold carries from bar to bar, and what is kept of a grid bar: arrays, so a copy is a snapshot."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from apps.engine.decision import N_ARM_ROWS
from apps.engine.features import features_state
from apps.engine.regime import regime_state
from apps.engine.router import N_CONTEXT, posterior_work, router_stats
from apps.engine.values import Array1d, Array2d, IntArray1d, IntArray2d

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


class ViewRows(NamedTuple):
    """The views of grid bars, a row each: what a decision reads of them. Of one symbol, or stacked by symbol."""

    ints: Any
    floats: Any
    arms: Any
    gates: Any


ROW_INDEX, ROW_MISSING, ROW_LABEL = range(3)


def view_rows(*shape: int) -> ViewRows:
    """Room for views; the last of the sizes is the number of arms."""
    *rows, n_arms = shape
    return ViewRows(
        np.zeros((*rows, 3), np.int64), np.zeros((*rows, N_SCALARS_F)),
        np.zeros((*rows, N_ARM_ROWS, n_arms)), np.zeros((*rows, n_arms), np.int64),
    )  # fmt: skip
