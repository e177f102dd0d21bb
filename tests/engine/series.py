"""Seeded bars for the engine's tests."""

from __future__ import annotations

import hashlib

import numpy as np

Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def market(n: int, *, seed: int = 1, sigma: float = 0.004, start: float = 100.0) -> Columns:
    """Open, high, low, close, volume of a market whose drift and volatility change every 150 bars."""
    rng = np.random.default_rng(seed)
    blocks = n // 150 + 1
    scale = np.repeat(rng.choice([0.5, 1.0, 2.5], blocks), 150)[:n]
    drift = np.repeat(rng.choice([-0.2, 0.0, 0.2], blocks), 150)[:n]
    close = start * np.exp(np.cumsum(sigma * scale * (rng.standard_normal(n) + drift)))
    open_ = np.concatenate([[start], close[:-1]])
    spread = 1.0 + sigma * rng.random(n)
    high, low = np.maximum(open_, close) * spread, np.minimum(open_, close) / spread
    return open_, high, low, close, np.exp(rng.standard_normal(n) * 0.5 + scale)


def flat(n: int, *, price: float = 0.1 + 0.2, volume: float = 0.1) -> Columns:
    """A price that never moves and is no round binary number."""
    price_column = np.full(n, price)
    return price_column, price_column, price_column, price_column, np.full(n, volume)


def jumps(n: int) -> Columns:
    """Long silence, broken by moves of a factor of ten."""
    close = np.full(n, 50.0)
    close[n // 3 : n // 2] *= 10.0
    close[n // 2 : n // 2 + 3] /= 10.0
    open_ = np.concatenate([[50.0], close[:-1]])
    volume = np.zeros(n)
    volume[:: n // 7] = 1e6
    return open_, np.maximum(open_, close), np.minimum(open_, close), close, volume


def scaled(columns: Columns, factor: float) -> Columns:
    """The same bars quoted in another unit of price."""
    return (*(column * factor for column in columns[:4]), columns[4])


def head(columns: Columns, n: int) -> Columns:
    return tuple(np.ascontiguousarray(column[:n]) for column in columns)


def digest(*arrays: np.ndarray) -> str:
    """Hash of the exact bits; every NaN counts as the same."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.where(np.isnan(array), np.nan, array).tobytes() if array.dtype == np.float64 else array.tobytes())
    return sha.hexdigest()
