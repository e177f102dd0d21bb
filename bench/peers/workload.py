"""The bars and the rule that every engine gets: one-minute prices in whole cents, SMA 10 over SMA 50, one unit.

Needs numpy only, for it is imported in environments where tradedesk is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

FAST, SLOW = 10, 50
SWEEP_PAIRS = [(fast, slow) for fast in range(4, 29) for slow in range(30, 230, 5)]
FEE_BPS = 10
# Money is counted in cents. Prices are then whole numbers, every sum of them is exact in every engine, and a tie of
# two averages is the same tie everywhere; in units of 1.00 rounding would decide ties by the way an engine adds.
CENTS = 100
CASH_CENTS = 1_000_000_000 * CENTS
START_CENTS = 30_000 * CENTS
YEAR_MINUTES = 365 * 24 * 60
VOLATILITY = 0.60
# A standard normal is beyond this on either side in 1 of 1,440 draws: a jump a day.
JUMP_THRESHOLD, JUMP_SCALE = 3.3918, 0.004
SEED = 7


class Workload(NamedTuple):
    """Bars of prices in cents: floats that are whole numbers."""

    open_: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray


def make_bars(n: int) -> Workload:
    """Geometric Brownian motion with jumps, rounded to cents. The first n bars of a longer series are these bars."""
    body, jumps, wicks = (np.random.default_rng([SEED, part]) for part in range(3))
    step = VOLATILITY / np.sqrt(YEAR_MINUTES)
    returns = step * body.standard_normal(n) - 0.5 * step * step
    # Drawn in rows, so that a longer series begins with the same draws.
    draws = jumps.standard_normal((n, 2))
    returns += np.where(np.abs(draws[:, 0]) > JUMP_THRESHOLD, JUMP_SCALE * draws[:, 1], 0.0)
    close = np.rint(START_CENTS * np.exp(np.cumsum(returns)))
    gap = wicks.standard_normal((n, 4))
    open_ = np.rint(np.concatenate([[START_CENTS], close[:-1]]) * (1.0 + 0.1 * step * gap[:, 0]))
    high = np.rint(np.maximum(open_, close) * (1.0 + step * np.abs(gap[:, 1])))
    low = np.rint(np.minimum(open_, close) * (1.0 - step * np.abs(gap[:, 2])))
    return Workload(open_, high, low, close, np.rint(1_000.0 * np.exp(0.5 * gap[:, 3])) + 100.0)


def save_bars(n: int, path: Path) -> None:
    np.save(path, np.stack(make_bars(n)))


def load_bars(path: str) -> Workload:
    return Workload(*np.load(path))


def close_fill_equity(bars: Workload) -> float:
    """Final equity, in cents, of the rule filled at the close that gave the signal: what such an engine must reach."""
    close = bars.close
    sums = np.concatenate([[0.0], np.cumsum(close)])
    ends = np.arange(SLOW, close.size + 1)
    above = (sums[ends] - sums[ends - FAST]) * SLOW > (sums[ends] - sums[ends - SLOW]) * FAST
    held = np.concatenate([np.zeros(SLOW - 1), above])
    orders = np.diff(np.concatenate([[0.0], held]))
    paid = orders * close + np.abs(orders) * close * FEE_BPS * 1e-4
    return float(CASH_CENTS - paid.sum() + held[-1] * close[-1])
