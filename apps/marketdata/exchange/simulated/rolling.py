"""What has happened in the last 24 hours? One bar of them for each second."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from apps.marketdata.exchange.simulated.bars import BarTable, bar_so_far
from apps.marketdata.exchange.simulated.intervals import DAY_MS
from apps.marketdata.exchange.simulated.tape import Market


class Day(NamedTuple):
    """Open, high, low, close and both volumes of the 24 hours up to a moment."""

    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    volume_e8: int
    quote_e8: int


class RollingDays:
    """The last 24 hours of each symbol; whole bars are summed once."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._whole = lru_cache(maxsize=64)(self._make_whole)

    def at(self, symbol: str, now_ms: int) -> Day | None:
        """The day up to this moment; None before the first bar."""
        opened = self._market.bar_open(symbol, now_ms)
        if opened is None:
            return None
        whole = self._whole(symbol, opened, (now_ms - DAY_MS) // self._market.interval_ms * self._market.interval_ms)
        running = bar_so_far(self._market.path(symbol, opened), now_ms)
        latest = Day(*running[2:8])
        if whole is None:
            return latest
        return Day(
            whole.open_e8,
            max(whole.high_e8, latest.high_e8),
            min(whole.low_e8, latest.low_e8),
            latest.close_e8,
            whole.volume_e8 + latest.volume_e8,
            whole.quote_e8 + latest.quote_e8,
        )

    def _make_whole(self, symbol: str, opened: int, start_ms: int) -> Day | None:
        table = self._market.table(symbol, start_ms, opened)
        return _summed(table) if table.n else None


def _summed(table: BarTable) -> Day:
    return Day(
        int(table.open_e8[0]),
        int(table.high_e8.max()),
        int(table.low_e8.min()),
        int(table.close_e8[-1]),
        int(table.volume_e8.sum()),
        int(table.quote_e8.sum()),
    )
