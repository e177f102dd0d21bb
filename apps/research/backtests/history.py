"""Which bars does a backtest trade, and which does it leave out? Every bar passes the checks that the desk's pass."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apps.engine.errors import DataError, InvalidInput, UnknownName
from apps.engine.quality import suspicions
from apps.engine.values import E8, Bars, Filters, IntArray1d
from apps.marketdata import selectors as market
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.grid import on_grid, runs
from apps.marketdata.klines_file import read_klines

MISSING, HELD = "missing", "held"
INFERRED_MIN_NOTIONAL_E8 = 5 * E8
FROM_DATABASE = "database"


class Window(NamedTuple):
    """The bars asked for: first_ms <= open < end_ms; None is as far as there are bars."""

    first_ms: int | None = None
    end_ms: int | None = None


class Hole(NamedTuple):
    """Neighboring bars that are not there, first_ms <= open < end_ms, and why."""

    first_ms: int
    end_ms: int
    state: str


class Doubted(NamedTuple):
    """A bar that a quality rule doubted, and what became of it."""

    open_time_ms: int
    reason: str
    status: str


class History(NamedTuple):
    """Bars to trade on, with what is missing among them and what was doubted.

    `is_inferred`: the exchange's rules are not known, so tick and step are those the file's numbers have.
    `n_off_tick` bars have a price that is no whole tick of the rules; it is rounded down.
    """

    symbol: str
    interval: str
    bars: Bars
    holes: tuple[Hole, ...]
    doubted: tuple[Doubted, ...]
    first_ms: int
    end_ms: int
    origin: str
    sources: tuple[str, ...]
    filters: Filters
    is_inferred: bool
    n_off_tick: int

    @property
    def n_missing(self) -> int:
        """Bars of the grid that are not there."""
        return (self.end_ms - self.first_ms) // interval_ms(self.interval) - self.bars.n


def history_stored(symbol: str, interval: str, window: Window) -> History:
    """Bars of the database. Raises DataError when there are none, UnknownName for a symbol nobody knows."""
    length = interval_ms(interval)
    if not market.is_known(symbol):
        raise UnknownName(f"unknown symbol {symbol!r}: import bars first, or give --file", field="symbol")
    oldest, newest = market.bar_first(symbol, interval), market.bar_last(symbol, interval)
    if oldest is None or newest is None:
        raise DataError(f"no bars of {symbol} {interval} are stored")
    first_ms, end_ms = _bounds(window, oldest, newest + length, length)
    found = market.bars_for_backtest(symbol, interval, first_ms, end_ms)
    if found.bars.n == 0:
        raise DataError(f"no bars of {symbol} {interval} are stored in this window")
    sources = tuple(sorted(market.bar_sources(symbol, interval)))
    return _history(symbol, interval, found.bars, first_ms, end_ms, FROM_DATABASE, sources)._replace(
        holes=tuple(Hole(*gap) for gap in found.gaps), doubted=tuple(Doubted(*held) for held in found.quarantined)
    )


def history_file(path: Path, *, symbol: str, interval: str, window: Window, now_ms: int) -> History:
    """Bars of a klines file; those that are not believed are held back. Raises DataError naming file and line."""
    read = read_klines(path, symbol=symbol, interval=interval, now_ms=now_ms)
    length, opens = interval_ms(read.interval), read.bars.open_time_ms
    first_ms, end_ms = _bounds(window, int(opens[0]), int(opens[-1]) + length, length)
    cut = read.bars.slice(*(int(at) for at in np.searchsorted(opens, [first_ms, end_ms])))
    if cut.n == 0:
        raise DataError(f"{path.name}: no bars in this window")
    whole = _history(read.symbol, read.interval, cut, first_ms, end_ms, path.name, ("file",))
    nothing = cut.slice(0, 0)
    found = suspicions(cut, nothing, tick_e8=whole.filters.tick_e8, interval_ms=length)
    doubted = tuple(
        Doubted(int(cut.open_time_ms[one.row]), one.reason.value, "confirmed" if one.is_kept else HELD) for one in found
    )
    keep = np.ones(cut.n, np.bool_)
    keep[[one.row for one in found if not one.is_kept]] = False
    bars = Bars(*(np.ascontiguousarray(column[keep]) for column in cut))
    return whole._replace(
        bars=bars, doubted=doubted, holes=_holes(bars, cut.open_time_ms[~keep], first_ms, end_ms, length)
    )


def _bounds(window: Window, oldest: int, end: int, length: int) -> tuple[int, int]:
    first_ms = oldest if window.first_ms is None else window.first_ms
    end_ms = end if window.end_ms is None else window.end_ms
    if first_ms >= end_ms:
        raise InvalidInput("must be before the end of the window", field="from")
    first_ms, end_ms = on_grid(first_ms, end_ms, length)
    if first_ms >= end_ms:
        raise InvalidInput("holds no bar of this interval", field="from")
    # Nothing is known of times outside what is there; they are not holes.
    if first_ms >= end or end_ms <= oldest:
        raise DataError("there are no bars in this window")
    return max(first_ms, oldest), min(end_ms, end)


def _history(
    symbol: str, interval: str, bars: Bars, first_ms: int, end_ms: int, origin: str, sources: tuple[str, ...]
) -> History:
    filters, is_inferred = _filters(symbol, bars)
    prices = np.stack(bars[1:5])
    off = int((prices % filters.tick_e8 != 0).any(axis=0).sum())
    return History(symbol, interval, bars, (), (), first_ms, end_ms, origin, sources, filters, is_inferred, off)


def _filters(symbol: str, bars: Bars) -> tuple[Filters, bool]:
    """The rules in force now; where the exchange was never asked, the grid that the numbers themselves lie on."""
    try:
        filters = market.filters_current(symbol)
    except UnknownName:
        tick = math.gcd(*(int(np.gcd.reduce(column)) for column in bars[1:5]))
        step = max(1, int(np.gcd.reduce(bars.volume_e8)))
        step *= E8 // math.gcd(tick * step, E8)
        return Filters(tick, step, step, 0, 0, 0, 0, INFERRED_MIN_NOTIONAL_E8, 0, 0), True
    if not filters.is_exact():
        raise DataError(f"the rules of {symbol} do not allow exact sums: tick x step is no whole 1e-8")
    return filters, False


def _holes(bars: Bars, held: IntArray1d, first_ms: int, end_ms: int, length: int) -> tuple[Hole, ...]:
    grid = np.arange(first_ms, end_ms, length, dtype=np.int64)
    absent = grid[~np.isin(grid, bars.open_time_ms)]
    is_held = np.isin(absent, held)
    return tuple(
        Hole(int(absent[start]), int(absent[stop - 1]) + length, HELD if is_held[start] else MISSING)
        for start, stop in runs(absent, length, is_held)
    )
