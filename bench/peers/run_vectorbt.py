"""vectorbt with its Rust engine, by either of its doors; asked for the final equity alone, it makes no curve."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import vectorbt as vbt

from bench.peers.timing import answer
from bench.peers.workload import CASH_CENTS, FAST, FEE_BPS, SLOW, SWEEP_PAIRS, Workload

vbt.settings["engine"] = "rust"
CHUNK = 100


def wanted(close: np.ndarray) -> np.ndarray:
    """Whether a unit is held over each bar: the rule, one bar later."""
    fast, slow = (vbt.MA.run(close, window).ma.to_numpy() for window in (FAST, SLOW))
    return np.concatenate([[False], fast[:-1] > slow[:-1]])


def orders(bars: Workload) -> tuple[float, int]:
    portfolio = vbt.Portfolio.from_orders(
        bars.close,
        size=wanted(bars.close).astype(float),
        size_type="targetamount",
        price=bars.open_,
        fees=FEE_BPS * 1e-4,
        init_cash=CASH_CENTS,
    )
    return float(portfolio.final_value()), len(portfolio.order_records)


def signals(bars: Workload) -> tuple[float, int]:
    want = wanted(bars.close)
    change = np.concatenate([[False], want[1:] != want[:-1]])
    portfolio = vbt.Portfolio.from_signals(
        bars.close,
        change & want,
        change & ~want,
        price=bars.open_,
        size=1.0,
        fees=FEE_BPS * 1e-4,
        init_cash=CASH_CENTS,
    )
    return float(portfolio.final_value()), len(portfolio.order_records)


def sweep(bars: Workload) -> tuple[float, int]:
    """Every average once, then the pairs by the faster door, in chunks of columns for the sake of memory."""
    windows = sorted({window for pair in SWEEP_PAIRS for window in pair})
    averages = vbt.MA.run(bars.close, windows).ma.to_numpy()
    column = {window: averages[:-1, i] for i, window in enumerate(windows)}
    equity, n_orders = 0.0, 0
    for start in range(0, len(SWEEP_PAIRS), CHUNK):
        chunk = SWEEP_PAIRS[start : start + CHUNK]
        want = np.zeros((bars.close.size, len(chunk)), dtype=bool)
        for i, (fast, slow) in enumerate(chunk):
            want[1:, i] = column[fast] > column[slow]
        change = np.zeros_like(want)
        change[1:] = want[1:] != want[:-1]
        portfolio = vbt.Portfolio.from_signals(
            bars.close[:, None],
            change & want,
            change & ~want,
            price=bars.open_[:, None],
            size=1.0,
            fees=FEE_BPS * 1e-4,
            init_cash=CASH_CENTS,
        )
        equity += float(portfolio.final_value().sum())
        n_orders += len(portfolio.order_records)
    return equity, n_orders


if __name__ == "__main__":
    answer("vectorbt, Rust engine", vbt.__version__, {"single": orders, "signals": signals, "sweep": sweep})
