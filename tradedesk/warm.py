"""Touch every kernel the desk uses once, so that no decision waits for the compiler."""

from __future__ import annotations

import numpy as np

from apps.engine.conformal import conformal_batch_nb, conformal_state
from apps.engine.decision import FILL_BARS
from apps.engine.ledger import book_state, desk_of_nb
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.projection import distances_nb, project_nb
from apps.engine.quality import suspicions
from apps.engine.run import RunSettings, run
from apps.engine.values import Bars, IntArray1d
from tradedesk.warm_deciding import FILTERS, LIMITS, MINUTE_MS, PRICE_E8, TERMS, warm_deciding

N_BARS = 4


def warm_kernels(observer: Observer, inactive: IntArray1d) -> None:
    """What a live desk runs: fold and judge a few flat bars, and take one decision."""
    warm_observing(observer, inactive)
    warm_judging()
    warm_deciding()


def warm_observing(observer: Observer, inactive: IntArray1d) -> None:
    """Fold bars in a batch and one at a time, judge a forecast, and embed a context."""
    bars = flat_bars(N_BARS, observer.settings.interval_ms)
    observer.observe_many(bars.slice(0, N_BARS - 1), inactive=inactive, is_bocpd=True)
    observer.observe(bars.slice(N_BARS - 1, N_BARS), inactive=inactive, is_bocpd=True)
    observer.regime()
    f, i = conformal_state()
    conformal_batch_nb(f, i, np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1, np.int64))
    project_nb(np.zeros((1, 2)), np.zeros(2), np.zeros(2), np.zeros(1))
    distances_nb(np.zeros((1, 1)), np.zeros(1), np.zeros(1))


def warm_judging() -> None:
    """Look for wrong prices."""
    bars = flat_bars(N_BARS, MINUTE_MS)
    suspicions(bars, bars.slice(0, 0), tick_e8=FILTERS.tick_e8, interval_ms=MINUTE_MS)


def warm_desk() -> None:
    """What the guards see of a fresh account."""
    ones = np.ones(1, np.int64)
    desk_of_nb(book_state(1, PRICE_E8), ones, ones, 0, 0, MINUTE_MS, 1, 1, 0)


def warm_run() -> None:
    """Trade a few flat bars as a backtest does."""
    observer = Observer(ObserveSettings("WARM", MINUTE_MS, TERMS.horizon_bars))
    terms = TERMS._replace(source=0, lots=0, fill_kind=FILL_BARS)
    settings = RunSettings(1, PRICE_E8, LIMITS, terms, window_trades=1, lookback_ms=1)
    bars = flat_bars(N_BARS + TERMS.horizon_bars, MINUTE_MS)
    run([observer], [bars], [FILTERS], settings, inactive=np.zeros(len(observer.runs), np.int64), is_bocpd=True)


def flat_bars(n: int, interval_ms: int) -> Bars:
    """Bars that do not move."""
    opened = np.arange(n, dtype=np.int64) * interval_ms
    price = np.full(n, PRICE_E8, np.int64)
    return Bars(opened, price, price, price, price, price, np.ones(n, np.int64))


def warm_second_half() -> None:
    """What the second of two compiling processes does."""
    observer = Observer(ObserveSettings("WARM", MINUTE_MS, TERMS.horizon_bars))
    warm_observing(observer, np.zeros(len(observer.runs), np.int64))
    warm_judging()
    warm_desk()
