"""The values that cross the engine's border: bars, books, filters.

Exactness: prices, quantities and money are int64 counts of 1e-8 (`_e8`). Inside a decision they become ticks and lots
of the symbol's filter revision. Statistics are float64.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array1d: TypeAlias = npt.NDArray[np.float64]
Array2d: TypeAlias = npt.NDArray[np.float64]
IntArray1d: TypeAlias = npt.NDArray[np.int64]
IntArray2d: TypeAlias = npt.NDArray[np.int64]

E8 = 100_000_000


class Bars(NamedTuple):
    """Closed bars of one symbol and interval, oldest first. All arrays have length n, int64, C-contiguous.

    `open_time_ms` is the open in epoch milliseconds; bar index = open_time_ms // interval_ms.
    Prices and volume are counts of 1e-8 of the quote and base unit.
    """

    open_time_ms: IntArray1d
    open_e8: IntArray1d
    high_e8: IntArray1d
    low_e8: IntArray1d
    close_e8: IntArray1d
    volume_e8: IntArray1d
    trades: IntArray1d

    @property
    def n(self) -> int:
        return int(self.open_time_ms.shape[0])

    def slice(self, start: int, stop: int) -> Bars:
        return Bars(*(np.ascontiguousarray(column[start:stop]) for column in self))


class Filters(NamedTuple):
    """The exchange's rules for one symbol, all int64. 0 means "no such rule", except tick and step, which are >= 1."""

    tick_e8: int
    step_e8: int
    min_qty_e8: int
    max_qty_e8: int
    market_step_e8: int
    market_min_qty_e8: int
    market_max_qty_e8: int
    min_notional_e8: int
    max_notional_e8: int
    revision: int

    @property
    def unit_e8(self) -> int:
        """Notional, in 1e-8 quote, of one lot at a price of one tick."""
        return self.tick_e8 * self.step_e8 // E8

    def is_exact(self) -> bool:
        """Whether notionals of whole lots at whole ticks are whole counts of 1e-8."""
        return self.tick_e8 > 0 and self.step_e8 > 0 and self.tick_e8 * self.step_e8 % E8 == 0


class Book(NamedTuple):
    """Displayed depth of one symbol, best first, as (price_e8, quantity_e8). `ts_ms` is its market arrival time."""

    symbol: str
    ts_ms: int
    update_id: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
