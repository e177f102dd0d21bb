"""Bars on which a policy is tried: wild, silent, broken by jumps, tiny; and with another future after one past."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Columns: TypeAlias = tuple[NDArray[np.float64], ...]

N_BARS = 3_000
# A prime: a hidden counter of small period must not be back at its start here.
MIDDLE = 1_531
SEED = 20260101


def trial_series(seed: int = SEED) -> dict[str, Columns]:
    """By name, the series a policy must answer sensibly to. The same seed gives the same bars everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    wild = _bars(rng, _regimes(rng, 0.01), 100.0)
    jumps = np.full(N_BARS, 50.0)
    jumps[N_BARS // 3 : N_BARS // 2] *= 10.0
    jumps[N_BARS // 2 : N_BARS // 2 + 5] /= 10.0
    silent = np.full(N_BARS, 0.1 + 0.2)
    return {
        "wild": wild,
        "tiny prices": _bars(rng, _regimes(rng, 0.003), 1e-7),
        "rising": _bars(rng, np.full(N_BARS, 0.002), 3.0),
        "falling": _bars(rng, np.full(N_BARS, -0.002), 3e4),
        "silent": (silent, silent, silent, silent, np.zeros(N_BARS)),
        "jumps": (jumps, jumps, jumps, jumps, np.where(np.arange(N_BARS) % 500 == 0, 1e9, 0.0)),
        "another future": _spliced(wild, _bars(rng, _regimes(rng, 0.02), float(wild[3][MIDDLE]))),
    }


def _regimes(rng: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    """Log returns whose drift and volatility change every 100 bars."""
    scale = np.repeat(rng.choice([0.3, 1.0, 3.0], N_BARS // 100), 100)
    drift = np.repeat(rng.choice([-0.3, 0.0, 0.3], N_BARS // 100), 100)
    return np.asarray(sigma * scale * (rng.standard_normal(N_BARS) + drift))


def _bars(rng: np.random.Generator, returns: NDArray[np.float64], start: float) -> Columns:
    close = start * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[start], close[:-1]])
    wick = 1.0 + 0.002 * rng.random((2, returns.shape[0]))
    volume = np.exp(2.0 + rng.standard_normal(returns.shape[0]))
    high, low = np.maximum(open_, close) * wick[0], np.minimum(open_, close) / wick[1]
    return open_, high, low, close, volume


def _spliced(past: Columns, future: Columns) -> Columns:
    return tuple(np.concatenate([a[:MIDDLE], b[MIDDLE:]]) for a, b in zip(past, future, strict=True))
