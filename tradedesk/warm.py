"""Touch every kernel the desk uses once, so that no decision waits for the compiler.

The compiler works on one kernel at a time in a process, so an empty cache is filled by two of them: the second
(`python -m tradedesk.warm`) compiles what observes while the first compiles what decides, and then the backtest.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from apps.engine.conformal import conformal_batch_nb, conformal_state
from apps.engine.decide import decide, no_view
from apps.engine.decision import FILL_BARS, ArrivalRecord, DecisionInputs, Draw, TermsRecord, workspace
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.ledger import book_state, desk_of_nb, settle_nb
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.projection import distances_nb, project_nb
from apps.engine.quality import suspicions
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import RouterParams
from apps.engine.run import RunSettings, run
from apps.engine.values import Bars, Filters, IntArray1d

N_BARS = 4
MINUTE_MS = 60_000
PRICE_E8 = 10_000_000_000
FILTERS = Filters(1_000_000, 100_000, 0, 0, 0, 0, 0, 0, 0, 1)
LIMITS = LimitRecord(*([0] * len(LimitRecord._fields)))._replace(
    max_notional_e8=10**15, symbol_notional_cap_e8=10**15, orders_per_minute=6
)
TERMS = TermsRecord(
    1, 1, 0, 0, FILTERS.unit_e8, 10, 1, 2_000, 10**9, 5, 525_600, 1, 1, -1, 0, 1, 0.0, 0, FILTERS.step_e8
)  # fmt: skip


def compile_kernels(say: Callable[[str], None]) -> None:
    """Fill the cache of kernels, telling what is done. Raises RuntimeError when the second process fails."""
    started = time.monotonic()
    second = subprocess.Popen([sys.executable, "-m", "tradedesk.warm"], cwd=Path(__file__).resolve().parent.parent)
    try:
        for name, compile_part in (("deciding", warm_deciding), ("observing", second.wait), ("backtest", warm_run)):
            compile_part()
            say(f"engine: {name} compiled after {time.monotonic() - started:.1f} s")
    finally:
        second.kill()
    if second.returncode != 0:
        raise RuntimeError("the second compiling process failed; its last words are above")


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


def warm_ledger() -> None:
    """Carry a decision that did nothing into a fresh account."""
    book, ones = book_state(1, PRICE_E8), np.ones(1, np.int64)
    desk_of_nb(book, ones, ones, 0, 0, MINUTE_MS, 1, 1, 0)
    settle_nb(book, 0, MINUTE_MS, workspace())


def warm_deciding() -> None:
    """Take one decision on a book of one level."""
    u = float(philox_uniform_nb(1, 1, 0, 0))
    nothing = DeskRecord(*([0] * len(DeskRecord._fields)))
    desk = nothing._replace(ts_ms=1, cash_e8=PRICE_E8, equity_e8=PRICE_E8, high_water_e8=PRICE_E8, mark_ticks=10_000)
    levels, (record, arms, gates) = np.array([[10_000, 5]], np.int64), no_view()
    decide(
        DecisionInputs(
            symbol="WARM", snapshot=None, view=record, arms=arms, gates=gates, desk=desk, limits=LIMITS, terms=TERMS,
            params=RouterParams(), arrival=ArrivalRecord(10_000, 10_000, 0, 0), bids=levels, asks=levels,
            seen_ts_ms=0, seen_bids=levels, seen_asks=levels, arrival_ts_ms=0, filters=FILTERS,
            draw=Draw(1, 1, 0, 0, u),
        )
    )  # fmt: skip


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


def compile_second_half() -> None:
    """What the second process does."""
    observer = Observer(ObserveSettings("WARM", MINUTE_MS, TERMS.horizon_bars))
    warm_observing(observer, np.zeros(len(observer.runs), np.int64))
    warm_judging()
    warm_ledger()


if __name__ == "__main__":
    compile_second_half()
