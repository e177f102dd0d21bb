"""Seeded synthetic bars: a walk with stretches of drift, on the tick and step grid."""

from __future__ import annotations

import numpy as np

from apps.engine.values import Bars, Filters

MINUTE_MS = 60_000
START_MS = 1_700_000_040_000 // (5 * MINUTE_MS) * 5 * MINUTE_MS
FILTERS = Filters(1_000_000, 1_000, 1_000, 900_000_000_000, 0, 0, 0, 500_000_000, 0, 1)


def walk_bars(
    n: int, *, seed: int = 1, price: float = 60_000.0, sigma: float = 0.002, start_ms: int = START_MS
) -> Bars:
    """`n` one-minute bars; drift changes every 40 bars, so that policies find something."""
    rng = np.random.Generator(np.random.PCG64(seed))
    drift = np.repeat(rng.choice([-0.3, 0.0, 0.3], size=n // 40 + 1), 40)[:n]
    log_price = np.log(price) + np.cumsum(sigma * (rng.standard_normal(n) + drift))
    tick = FILTERS.tick_e8
    close = np.round(np.exp(log_price) * 1e8 / tick).astype(np.int64) * tick
    open_ = np.concatenate([[int(price * 1e8) // tick * tick], close[:-1]])
    wick = rng.integers(0, 30, size=(2, n)) * tick
    volume = rng.integers(500_000, 3_000_000, size=n) * FILTERS.step_e8
    times = start_ms + np.arange(n, dtype=np.int64) * MINUTE_MS
    high, low = np.maximum(open_, close) + wick[0], np.minimum(open_, close) - wick[1]
    return Bars(times, open_, high, low, close, volume, rng.integers(1, 900, size=n))
