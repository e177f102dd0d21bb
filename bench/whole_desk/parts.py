"""Where a decision's time goes: each part alone over the same bars, in microseconds per decision."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.borrowing import borrowed
from apps.engine.features import (
    N_FEATURES,
    context_nb,
    features_bar_nb,
    features_sample_nb,
    features_state,
    horizon_return_nb,
    realized_vol_nb,
    sigma_previous_nb,
)
from apps.engine.observe import observe_batch_nb
from apps.engine.observe_state import core_state, view_rows
from apps.engine.observer import NO_ROWS, float_columns
from apps.engine.regime import regime_batch_nb, regime_state
from apps.engine.router import discount_nb, learn_nb
from apps.engine.values import Array1d, Array2d, Bars, IntArray1d
from bench.whole_desk.market import all_active, observer, run_desk, took

RUNS = 3


@njit(error_model="numpy", nogil=True)
def features_nb(
    f: Array1d, i: IntArray1d, open_: Array1d, high: Array1d, low: Array1d, close: Array1d, volume: Array1d,
    horizon: int, x: Array1d, grids: Array2d,
) -> None:  # fmt: skip
    """Features of every bar; at grid bars context, medians and what the regime reads."""
    f, i, row = borrowed(f), borrowed(i), 0
    for t in range(close.shape[0]):
        features_bar_nb(f, i, open_[t], high[t], low[t], close[t], volume[t])
        if t % horizon == 0:
            grids[0, row], grids[1, row] = realized_vol_nb(f, i), horizon_return_nb(f, i)
            grids[2, row] = sigma_previous_nb(f)
            context_nb(f, i, 10.0, x)
            features_sample_nb(f, i)
            row += 1


@njit(error_model="numpy", nogil=True)
def learning_nb(
    n: int, sxx: Array2d, sxy: Array2d, syy: Array1d, seen: Array1d, x: Array1d, y: Array1d, mask: IntArray1d
) -> None:  # fmt: skip
    sxx, sxy, syy, seen = borrowed(sxx), borrowed(sxy), borrowed(syy), borrowed(seen)
    x, y, mask = borrowed(x), borrowed(y), borrowed(mask)
    for _ in range(n):
        discount_nb(sxx, sxy, syy, seen, 0.999)
        learn_nb(sxx, sxy, syy, seen, x, y, mask)


def parts(bars: Bars, horizon: int) -> list[tuple[str, float]]:
    """(part, us per decision); the last three before the whole are what passes take beyond the parts in them."""
    n, columns = bars.n, float_columns(bars)
    n_grids, one = n // horizon, observer(horizon)
    n_arms, index = len(one.runs), bars.open_time_ms // one.settings.interval_ms
    per = 1e6 / n_grids
    grids, x = np.zeros((3, n_grids + 1)), np.zeros(N_FEATURES)
    ones, alarms, labels = (np.ones(n_grids, np.int64) for _ in range(3))
    signals = one.signal_matrix(columns)

    def observe(has_views: bool) -> None:
        rows = view_rows(n_grids + 2, n_arms) if has_views else NO_ROWS
        core = core_state(horizon, n_arms)
        params = one.settings.params
        observe_batch_nb(core, params, horizon, index, *columns, signals, one.warm_ups, all_active(), 1, rows)

    policies = took(lambda: observer(horizon).signal_matrix(columns), RUNS).cpu * per
    features = took(lambda: features_nb(*features_state(horizon), *columns, horizon, x, grids), RUNS).cpu * per
    seen = np.ascontiguousarray(grids[:, :n_grids])
    regime = took(lambda: regime_batch_nb(*regime_state(horizon), *seen, ones, alarms, labels), RUNS).cpu * per
    core, y = core_state(horizon, n_arms), np.ones(n_arms)
    learning = took(
        lambda: learning_nb(n_grids, core.sxx, core.sxy, core.syy, core.n, x, y, np.ones(n_arms, np.int64)), RUNS
    ).cpu * per  # fmt: skip
    folded, viewed = (took(lambda v=views: observe(v), RUNS).cpu * per for views in (False, True))
    whole = took(lambda: run_desk(bars, horizon), RUNS).cpu * per
    return [
        (f"{n_arms} policies", policies),
        ("features, context, medians", features),
        ("regime: two detectors", regime),
        ("learning", learning),
        ("posterior and view", viewed - folded),
        ("rest of observing", folded - features - regime - learning),
        ("deciding: propensities, size, guards, fills, ledger", whole - viewed - policies),
        ("whole", whole),
    ]
