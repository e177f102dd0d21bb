"""The market and the desk that the bench runs: seeded bars, one symbol, the desk's own defaults."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from apps.engine.breakers import DAY_MS
from apps.engine.decision import FILL_BARS, N_ARMS
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.run import RunResult, RunSettings, run
from apps.engine.values import Bars
from tests.support.bars import FILTERS, MINUTE_MS, START_MS
from tests.support.engine import CASH_E8, build_limits, build_terms

CALM, LIVELY = 6e-4, 6e-3  # volatility of a bar: a real market's, and one in which the desk trades all the time


class Took(NamedTuple):
    """Medians in seconds: on the clock, and of this thread's CPU."""

    wall: float
    cpu: float


def took(call: Callable[[], object], runs: int) -> Took:
    """Median of so many calls, after one that is not counted."""
    call()
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.thread_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.thread_time() - cpu)
    return Took(statistics.median(walls), statistics.median(cpus))


def market_bars(n: int, *, sigma: float = CALM, seed: int = 7) -> Bars:
    """One-minute bars: drift and volatility change by stretches, one bar in 2,000 jumps."""
    rng = np.random.Generator(np.random.PCG64(seed))
    scale = np.repeat(np.exp(rng.normal(0.0, 0.4, n // 500 + 1)), 500)[:n] * sigma
    drift = np.repeat(rng.choice([-0.05, 0.0, 0.05], n // 300 + 1), 300)[:n]
    jumps = np.where(rng.random(n) < 5e-4, 8.0 * rng.standard_normal(n), 0.0)
    path = np.cumsum(scale * (rng.standard_normal(n) + drift + jumps))
    path -= np.linspace(0.0, path[-1], n)  # ends where it began, so that a million bars stay on the price grid
    tick = FILTERS.tick_e8
    close = np.maximum(np.round(60_000.0 * np.exp(path) * 1e8 / tick).astype(np.int64), 1_000) * tick
    open_ = np.concatenate([close[:1], close[:-1]])
    wick = rng.integers(0, 30, size=(2, n)) * tick
    high, low = np.maximum(open_, close) + wick[0], np.minimum(open_, close) - wick[1]
    volume = rng.integers(500_000, 3_000_000, size=n) * FILTERS.step_e8
    return Bars(START_MS + np.arange(n) * MINUTE_MS, open_, high, low, close, volume, rng.integers(1, 900, size=n))


def observer(horizon: int) -> Observer:
    return Observer(ObserveSettings("BTCUSDT", MINUTE_MS, horizon))


def all_active() -> np.ndarray:
    return np.zeros(N_ARMS, np.int64)


def run_desk(bars: Bars, horizon: int) -> RunResult:
    """The whole desk, rehearsal included, on a fresh account and fresh states."""
    terms = build_terms(
        unit_e8=0, horizon_bars=horizon, bars_per_year=525_600, weight_e9=10**9, fill_kind=FILL_BARS,
        rehearsal_bps=1_000,
    )  # fmt: skip
    limits = build_limits(max_notional_e8=10**14, symbol_notional_cap_e8=10**14, order_cap_e8=0)
    settings = RunSettings(20260101, CASH_E8, limits, terms, 50, DAY_MS)
    return run([observer(horizon)], [bars], [FILTERS], settings, inactive=all_active(), is_bocpd=True)
