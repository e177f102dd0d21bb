"""What is a bar made of, and how do trades and short bars add up to one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.marketdata.exchange.simulated.intervals import interval_end, interval_opens

# Aggregate trades of a bar are numbered from its opening minute times this, so any id leads back to its bar.
IDS_PER_MINUTE = 60

IntArray = npt.NDArray[np.int64]


class BarTable(NamedTuple):
    """Bars oldest first, one int64 array per field; prices and volumes are counts of 1e-8."""

    open_ms: IntArray
    close_ms: IntArray
    open_e8: IntArray
    high_e8: IntArray
    low_e8: IntArray
    close_e8: IntArray
    volume_e8: IntArray
    quote_e8: IntArray
    trades: IntArray
    taker_e8: IntArray
    taker_quote_e8: IntArray

    @property
    def n(self) -> int:
        return int(self.open_ms.shape[0])

    def part(self, rows: slice | npt.NDArray[np.bool_]) -> BarTable:
        return BarTable(*(column[rows] for column in self))

    def rows(self) -> list[Bar]:
        return [Bar(*row) for row in zip(*(column.tolist() for column in self), strict=True)]


class Bar(NamedTuple):
    """One row of a BarTable as plain integers."""

    open_ms: int
    close_ms: int
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    volume_e8: int
    quote_e8: int
    trades: int
    taker_e8: int
    taker_quote_e8: int


class Path(NamedTuple):
    """The aggregate trades of one base bar in order of time; their sum is the bar."""

    open_ms: int
    close_ms: int
    open_e8: int
    first_id: int
    first_trade_id: int
    times: IntArray
    price_e8: IntArray
    quantity_e8: IntArray
    quote_e8: IntArray
    buyer_is_maker: npt.NDArray[np.bool_]
    counts: IntArray

    @property
    def n(self) -> int:
        return int(self.times.shape[0])

    def seen(self, ts_ms: int) -> int:
        """How many of the trades have happened by then."""
        return int(np.searchsorted(self.times, ts_ms, side="right"))


def table_of(bars: Sequence[Bar]) -> BarTable:
    columns = zip(*bars, strict=True) if bars else [[]] * len(BarTable._fields)
    return BarTable(*(np.array(column, dtype=np.int64) for column in columns))


def joined(tables: Sequence[BarTable]) -> BarTable:
    if not tables:
        return table_of([])
    return (
        tables[0] if len(tables) == 1 else BarTable(*(np.concatenate(columns) for columns in zip(*tables, strict=True)))
    )


def bar_so_far(path: Path, ts_ms: int) -> Bar:
    """The unfinished bar at that moment. Before its first trade it is flat at its open."""
    n = path.seen(ts_ms)
    if n == 0:
        flat = path.open_e8
        return Bar(path.open_ms, path.close_ms, flat, flat, flat, flat, 0, 0, 0, 0, 0)
    prices, quantity, quote = path.price_e8[:n], path.quantity_e8[:n], path.quote_e8[:n]
    taken = ~path.buyer_is_maker[:n]
    return Bar(
        path.open_ms,
        path.close_ms,
        int(prices[0]),
        int(prices.max()),
        int(prices.min()),
        int(prices[-1]),
        int(quantity.sum()),
        int(quote.sum()),
        int(path.counts[:n].sum()),
        int(quantity[taken].sum()),
        int(quote[taken].sum()),
    )


def regrouped(table: BarTable, interval: str) -> BarTable:
    """Base bars summed to a longer interval; a group lacks what the base lacks."""
    if table.n == 0:
        return table
    opens = interval_opens(interval, table.open_ms)
    starts = np.flatnonzero(np.concatenate(([True], opens[1:] != opens[:-1])))
    ends = np.concatenate((starts[1:], [table.n])) - 1
    group_opens = opens[starts]
    return BarTable(
        group_opens,
        np.array([interval_end(interval, int(open_ms)) - 1 for open_ms in group_opens], dtype=np.int64),
        table.open_e8[starts],
        np.maximum.reduceat(table.high_e8, starts),
        np.minimum.reduceat(table.low_e8, starts),
        table.close_e8[ends],
        *(np.add.reduceat(column, starts) for column in table[6:]),
    )
