"""Bars to try a policy on: a seeded market of changing regimes, and other futures for one past."""

from __future__ import annotations

import numpy as np

from apps.engine.values import Bars, Filters, IntArray1d
from apps.marketdata.exchange.intervals import interval_ms
from apps.research.backtests.history import History

SYMBOL, ORIGIN = "TRIALUSDT", "trial market"
FILTERS = Filters(1_000_000, 1_000, 1_000, 900_000_000_000, 0, 0, 0, 500_000_000, 0, 0)
START_MS = 1_600_000_200_000 // 3_600_000 * 3_600_000
START_PRICE, REGIME_BARS = 40_000.0, 120


def trial_history(n: int, *, seed: int = 1, interval: str = "1m") -> History:
    """`n` bars whose drift and volatility change every 120 bars. The same seed gives the same bars everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    n_regimes = n // REGIME_BARS + 1
    scale = np.repeat(rng.choice([0.5, 1.0, 2.5], n_regimes), REGIME_BARS)[:n]
    drift = np.repeat(rng.choice([-0.15, 0.0, 0.15], n_regimes), REGIME_BARS)[:n]
    returns = 0.0015 * scale * (rng.standard_normal(n) + drift)
    close = START_PRICE * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[START_PRICE], close[:-1]])
    wick = 1.0 + 0.0008 * rng.random((2, n))
    high, low = np.maximum(open_, close) * wick[0], np.minimum(open_, close) / wick[1]
    volume = np.rint(np.exp(3.0 + 0.6 * rng.standard_normal(n)) * 1e5).astype(np.int64) * FILTERS.step_e8
    times = START_MS + np.arange(n, dtype=np.int64) * interval_ms(interval)
    bars = Bars(times, _ticks(open_), _ticks(high), _ticks(low), _ticks(close), volume, rng.integers(1, 900, n))
    end_ms = int(times[-1]) + interval_ms(interval)
    return History(SYMBOL, interval, bars, (), (), int(times[0]), end_ms, ORIGIN, ("trial",), FILTERS, True, 0)


def another_future(bars: Bars, cut: int, *, seed: int, tick_e8: int = 1) -> Bars:
    """The same first `cut` bars, then a future that never was: the moves of the true one, upside down and shuffled."""
    n = bars.n - cut
    if n <= 0:
        return bars
    order = np.random.Generator(np.random.PCG64([seed, cut])).permutation(n)
    before = bars.close_e8[cut - 1 : -1].astype(np.float64)
    moves = [(before / column[cut:])[order] for column in (bars.open_e8, bars.low_e8, bars.high_e8, bars.close_e8)]
    close = float(bars.close_e8[cut - 1]) * np.cumprod(moves[3])
    start = np.concatenate([[float(bars.close_e8[cut - 1])], close[:-1]])
    prices = [np.maximum(_ticks(start * move * 1e-8, tick_e8), tick_e8) for move in moves]
    volume, trades = bars.volume_e8[cut:][order], bars.trades[cut:][order]
    rest = Bars(bars.open_time_ms[cut:], prices[0], prices[1], prices[2], prices[3], volume, trades)
    return Bars(*(np.concatenate([column[:cut], other]) for column, other in zip(bars, rest, strict=True)))


def _ticks(prices: np.ndarray, tick_e8: int = FILTERS.tick_e8) -> IntArray1d:
    return np.rint(prices * 1e8 / tick_e8).astype(np.int64) * tick_e8
