"""When does a market stand still without a word? Whole bars of it, drawn from a seed; afterwards they do not exist."""

from __future__ import annotations

import numpy as np

from apps.marketdata.exchange.simulated.bars import BarTable, Path
from apps.marketdata.exchange.simulated.lies import drawn
from apps.marketdata.exchange.simulated.noise import key_of
from apps.marketdata.exchange.simulated.tape import Market

# Somewhere within so many bars there is one that is not halted.
_REACH = 10_000


class HaltingMarket:
    """Another market without the bars of its halts. A halt begins with the given chance at any bar."""

    def __init__(self, market: Market, *, chance: float, seconds: float, seed: int) -> None:
        self.interval_ms = market.interval_ms
        self.specs = market.specs
        self._market = market
        self._chance = chance
        self._n_bars = max(int(seconds * 1000) // market.interval_ms, 1)
        self._seed = seed

    def key(self, symbol: str) -> int:
        return self._market.key(symbol)

    def first_open(self, symbol: str) -> int:
        return self._market.first_open(symbol)

    def is_halted(self, symbol: str, open_ms: int) -> bool:
        """Whether the bar that opens here does not exist."""
        before = open_ms - self.interval_ms * np.arange(self._n_bars, dtype=np.int64)
        # The market's first bar exists, so that there is a last price at any time.
        began = drawn(self._chance, key_of(self._seed, symbol, "halt"), before)
        return open_ms > self.first_open(symbol) and bool(began.any())

    def bar_open(self, symbol: str, ts_ms: int) -> int | None:
        opened = self._market.bar_open(symbol, ts_ms)
        while opened is not None and self.is_halted(symbol, opened):
            opened = self._market.bar_open(symbol, opened - 1)
        return opened

    def next_close(self, symbol: str, after_ms: int) -> int | None:
        """A close that a bar of this market has."""
        close = self._market.next_close(symbol, after_ms)
        for _ in range(_REACH):
            opened = None if close is None else self._market.bar_open(symbol, close - 1)
            if close is None or opened is None or not self.is_halted(symbol, opened):
                return close
            close = self._market.next_close(symbol, close)
        return close

    def table(self, symbol: str, start_ms: int, stop_ms: int) -> BarTable:
        table = self._market.table(symbol, start_ms, stop_ms)
        if not table.n:
            return table
        starts = table.open_ms - self.interval_ms * np.arange(self._n_bars, dtype=np.int64)[:, None]
        halted = drawn(self._chance, key_of(self._seed, symbol, "halt"), starts).any(axis=0)
        return table.part(~halted | (table.open_ms == self.first_open(symbol)))

    def path(self, symbol: str, open_ms: int) -> Path:
        return self._market.path(symbol, open_ms)
