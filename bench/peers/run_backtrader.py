"""backtrader: preloaded, indicators in one go, a strategy called each bar; market orders fill at the next open."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import backtrader as bt

from bench.peers.timing import answer
from bench.peers.workload import CASH_CENTS, FAST, FEE_BPS, SLOW, Workload

START = bt.date2num(datetime(2024, 1, 1, tzinfo=UTC))
DAY_MINUTES = 1_440


class Feed(bt.feed.DataBase):
    """Bars out of lists; backtrader's own array feeds need pandas."""

    params = (("bars", None), ("timeframe", bt.TimeFrame.Minutes))

    def start(self) -> None:
        super().start()
        self.rows = iter(zip(*(column.tolist() for column in self.p.bars), strict=True))
        self.count = 0

    def _load(self) -> bool:
        row = next(self.rows, None)
        if row is None:
            return False
        line = self.lines
        line.datetime[0] = START + self.count / DAY_MINUTES
        line.open[0], line.high[0], line.low[0], line.close[0], line.volume[0] = row
        line.openinterest[0] = 0.0
        self.count += 1
        return True


class SmaCross(bt.Strategy):
    def __init__(self) -> None:
        self.fast = bt.ind.SMA(self.data.close, period=FAST)
        self.slow = bt.ind.SMA(self.data.close, period=SLOW)
        self.filled = 0

    def notify_order(self, order: bt.Order) -> None:
        self.filled += order.status == bt.Order.Completed

    def next(self) -> None:
        if self.fast[0] > self.slow[0]:
            if not self.position:
                self.buy(size=1)
        elif self.position:
            self.close()


def single(bars: Workload) -> tuple[float, int]:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(Feed(bars=bars))
    cerebro.addstrategy(SmaCross)
    cerebro.broker.setcash(CASH_CENTS)
    cerebro.broker.setcommission(commission=FEE_BPS * 1e-4)
    (strategy,) = cerebro.run()
    return cerebro.broker.getvalue(), strategy.filled


if __name__ == "__main__":
    answer("backtrader", bt.__version__, {"single": single})
