"""backtesting.py: a strategy class whose `next` is called each bar; market orders fill at the next open."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import backtesting
import numpy as np
import pandas as pd

from bench.peers.timing import answer
from bench.peers.workload import CASH_CENTS, FAST, FEE_BPS, SLOW, Workload

# Its progress bar would only cost time.
backtesting.backtesting._tqdm = lambda bars, **_: bars


def average(close: np.ndarray, window: int) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(close)])
    return np.concatenate([np.full(window - 1, np.nan), (sums[window:] - sums[:-window]) / window])


class SmaCross(backtesting.Strategy):
    def init(self) -> None:
        self.fast = self.I(average, self.data.Close, FAST)
        self.slow = self.I(average, self.data.Close, SLOW)

    def next(self) -> None:
        if self.fast[-1] > self.slow[-1]:
            if not self.position:
                self.buy(size=1)
        elif self.position:
            self.position.close()


def single(bars: Workload) -> tuple[float, int]:
    """The whole call: frame, indicators, run and the statistics that come with it."""
    index = pd.date_range("2024-01-01", periods=bars.close.size, freq="min")
    columns = {"Open": bars.open_, "High": bars.high, "Low": bars.low, "Close": bars.close, "Volume": bars.volume}
    frame = pd.DataFrame(columns, index=index)
    stats = backtesting.Backtest(frame, SmaCross, cash=CASH_CENTS, commission=FEE_BPS * 1e-4).run()
    trades = stats["_trades"]
    still_open = len(stats["_strategy"].trades)
    return float(stats["Equity Final [$]"]), 2 * len(trades) + still_open


if __name__ == "__main__":
    answer("backtesting.py", backtesting.__version__, {"single": single})
