"""How long does a live step take: the kernels alone, as Python calls them, and dressed in values?"""

from __future__ import annotations

import statistics
import time

import numpy as np
from numba import njit

from apps.engine.decide import decide, decide_nb
from apps.engine.decision import ArrivalRecord, TermsRecord, ViewRecord, Workspace, workspace
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.observe import observe_batch_nb
from apps.engine.observe_state import CoreState, ViewRows
from apps.engine.observer import NO_ROWS, float_columns
from apps.engine.router import RouterParams
from apps.engine.values import Array1d, Array2d, Bars, IntArray1d, IntArray2d
from bench.whole_desk.market import all_active, observer
from tests.support.engine import build_desk, build_inputs, build_limits, build_terms, levels

BIDS, ASKS = levels((5_999_900, 10**6)), levels((6_000_100, 10**6))
WARM_UP, STEPS, BLOCK = 4_000, 2_000, 50


@njit(error_model="numpy", nogil=True)
def steps_nb(
    core: CoreState, params: RouterParams, horizon: int, index: IntArray1d, open_: Array1d, high: Array1d, low: Array1d,
    close: Array1d, volume: Array1d, signals: Array2d, warm_ups: IntArray1d, inactive: IntArray1d, none: ViewRows,
    view: ViewRecord, desk: DeskRecord, limits: LimitRecord, terms: TermsRecord, arrival: ArrivalRecord,
    bids: IntArray2d, asks: IntArray2d, w: Workspace,
) -> None:  # fmt: skip
    """Observe one grid bar after another, each as a batch of one, and decide on what it left."""
    for t in range(index.shape[0]):
        one = slice(t, t + 1)
        observe_batch_nb(
            core, params, horizon, index[one], open_[one], high[one], low[one], close[one], volume[one], signals[one],
            warm_ups, inactive, 1, none,
        )  # fmt: skip
        decide_nb(view, core.arms, core.gates, desk, limits, terms, params, arrival, bids, asks, 0.5, w)


def kernels_us(bars: Bars) -> float:
    """Median over blocks of the microseconds a step takes in compiled code, every bar being a grid bar."""
    one, w, times = observer(1), workspace(), []
    one.observe_many(bars.slice(0, WARM_UP), inactive=all_active(), is_bocpd=True)
    view, terms = one.view().record, build_terms(horizon_bars=1, bars_per_year=525_600)
    for t in range(WARM_UP, WARM_UP + STEPS, BLOCK):
        block = bars.slice(t, t + BLOCK)
        columns, index = float_columns(block), block.open_time_ms // one.settings.interval_ms
        signals = one.signal_matrix(columns)
        start = time.perf_counter()
        steps_nb(
            one.core, one.settings.params, 1, index, *columns, signals, one.warm_ups, all_active(), NO_ROWS, view,
            build_desk(), build_limits(), terms, ArrivalRecord(5_999_900, 6_000_100, 0, 0), BIDS, ASKS, w,
        )  # fmt: skip
        times.append((time.perf_counter() - start) / BLOCK)
    return 1e6 * statistics.median(times)


def live_step(bars: Bars, horizon: int) -> dict[str, float]:
    """Median microseconds of observe + decide at grid bars: called, then with views, hashes and decisions."""
    one, mirror, w = observer(horizon), observer(horizon), workspace()
    for each in (one, mirror):
        each.observe_many(bars.slice(0, WARM_UP), inactive=all_active(), is_bocpd=True)
    bids, asks = BIDS, ASKS
    desk, limits = build_desk(), build_limits()
    terms, arrival = build_terms(horizon_bars=horizon, bars_per_year=525_600), ArrivalRecord(5_999_900, 6_000_100, 0, 0)
    called, dressed, inactive = [], [], all_active()
    for t in range(WARM_UP, WARM_UP + STEPS):
        bar = bars.slice(t, t + 1)
        columns, index = float_columns(bar), bar.open_time_ms // mirror.settings.interval_ms
        signals, core, params = mirror.signal_matrix(columns), mirror.core, mirror.settings.params
        start = time.perf_counter()
        observe_batch_nb(core, params, horizon, index, *columns, signals, mirror.warm_ups, inactive, 1, NO_ROWS)
        observed = time.perf_counter() - start
        start = time.perf_counter()
        view = one.observe(bar, inactive=inactive, is_bocpd=True)
        watched = time.perf_counter() - start
        if not view.is_grid:
            continue
        start = time.perf_counter()
        decide_nb(view.record, core.arms, core.gates, desk, limits, terms, params, arrival, bids, asks, 0.5, w)
        called.append(observed + time.perf_counter() - start)
        start = time.perf_counter()
        decide(
            build_inputs(
                view=view.record, arms=view.arms, gates=view.gates, desk=desk, limits=limits, terms=terms,
                params=params, bids=bids, asks=asks,
            )
        )  # fmt: skip
        dressed.append(watched + time.perf_counter() - start)
        assert np.array_equal(view.arms, core.arms)
    return {
        "kernels_us": kernels_us(bars),
        "called_us": 1e6 * statistics.median(called),
        "dressed_us": 1e6 * statistics.median(dressed),
    }
