"""What may be seen of a market at a given moment? Everything up to it, nothing after."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

from apps.marketdata.exchange.simulated.bars import (
    Bar,
    BarTable,
    Path,
    bar_so_far,
    joined,
    regrouped,
    table_of,
)
from apps.marketdata.exchange.simulated.book import Depth, LastTrade, book_around
from apps.marketdata.exchange.simulated.intervals import (
    DAY_MS,
    INTERVALS_MS,
    interval_end,
    interval_open,
    name_of,
    serves,
)
from apps.marketdata.exchange.simulated.symbols import Spec

_CHUNK_DAYS = 10


class Market(Protocol):
    """A source of base bars and the trades inside them; it knows its own future, a Tape does not show it."""

    interval_ms: int
    specs: dict[str, Spec]

    def key(self, symbol: str) -> int: ...
    def first_open(self, symbol: str) -> int: ...
    def bar_open(self, symbol: str, ts_ms: int) -> int | None: ...
    def next_close(self, symbol: str, after_ms: int) -> int | None: ...
    def table(self, symbol: str, start_ms: int, stop_ms: int) -> BarTable: ...
    def path(self, symbol: str, open_ms: int) -> Path: ...


class Trade(NamedTuple):
    """One aggregate trade."""

    agg_id: int
    price_e8: int
    quantity_e8: int
    first_trade_id: int
    last_trade_id: int
    ts_ms: int
    buyer_is_maker: bool


class Kline(NamedTuple):
    """A bar and the ids of its first and last trade (-1 when nothing traded)."""

    bar: Bar
    first_trade_id: int
    last_trade_id: int


class Tape:
    """A market read with a clock in hand: every question carries the moment it is asked at."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._day = lru_cache(maxsize=4096)(self._make_day)

    def serves(self, interval: str) -> bool:
        return serves(self.market.interval_ms, interval)

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int, now_ms: int
    ) -> BarTable:
        """Bars with start <= open <= end that have begun by now: the oldest from a start on, else the newest."""
        last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        width = INTERVALS_MS[interval]
        first_ms = self.market.first_open(symbol)
        first_ms = first_ms if width == self.market.interval_ms else interval_open(interval, first_ms)
        if start_ms is not None:
            from_ms = max(start_ms, first_ms)
            return self._window(symbol, interval, from_ms, last_ms, limit, now_ms, newest=False)
        reach = limit * width
        while True:
            from_ms = max(last_ms - reach, first_ms)
            found = self._window(symbol, interval, from_ms, last_ms, limit, now_ms, newest=True)
            # Halts leave holes; look further back until enough bars are found.
            if found.n >= limit or from_ms <= first_ms:
                return found
            reach *= 4

    def closed(self, symbol: str, interval: str, after_ms: int, upto_ms: int) -> list[Kline]:
        """Bars of an interval that end in (after, upto]; one that lacks its last base bars ends with the next bar."""
        base = self.market.table(symbol, after_ms - 2 * self.market.interval_ms, upto_ms)
        ended = [bar for bar in base.rows() if after_ms < bar.close_ms + 1 <= upto_ms]
        if INTERVALS_MS[interval] == self.market.interval_ms:
            return [Kline(bar, *self._trade_ids(symbol, bar, bar)) for bar in ended]
        found = []
        for bar in ended:
            opened = interval_open(interval, bar.open_ms)
            previous = self._bar_before(symbol, bar.open_ms)
            if previous is not None:
                group = interval_open(interval, previous.open_ms)
                if group != opened and previous.close_ms + 1 < interval_end(interval, group):
                    found.append(self._group(symbol, interval, group, bar.close_ms))
            if bar.close_ms + 1 >= interval_end(interval, opened):
                found.append(self._group(symbol, interval, opened, bar.close_ms))
        return found

    def running(self, symbol: str, interval: str, now_ms: int) -> Kline | None:
        """The unfinished bar of an interval, or None while nothing runs (a halt)."""
        opened = self.market.bar_open(symbol, now_ms)
        if opened is None or self.market.path(symbol, opened).close_ms < now_ms:
            return None
        if INTERVALS_MS[interval] == self.market.interval_ms:
            bar = bar_so_far(self.market.path(symbol, opened), now_ms)
            return Kline(bar, *self._trade_ids(symbol, bar, bar))
        return self._group(symbol, interval, interval_open(interval, now_ms), now_ms)

    def last_trade(self, symbol: str, now_ms: int) -> LastTrade | None:
        """The newest trade by then; a bar without trades stands for one at its open. None before the first bar."""
        opened = self.market.bar_open(symbol, now_ms)
        if opened is None:
            return None
        path = self.market.path(symbol, opened)
        seen = path.seen(now_ms) - 1
        if seen < 0:
            return LastTrade(path.open_e8, False, path.open_ms)
        return LastTrade(int(path.price_e8[seen]), bool(path.buyer_is_maker[seen]), int(path.times[seen]))

    def depth(self, symbol: str, levels: int, now_ms: int) -> Depth | None:
        """The book at that moment; it stands still while the market is halted."""
        opened = self.market.bar_open(symbol, now_ms)
        if opened is None:
            return None
        moment = min(now_ms, self.market.path(symbol, opened).close_ms)
        last = self.last_trade(symbol, moment)
        return book_around(self.market.specs[symbol], self.market.key(symbol), last, moment, levels) if last else None

    def trades(self, symbol: str, after_ms: int, upto_ms: int) -> Iterator[Trade]:
        """Aggregate trades with after < time <= upto, oldest first."""
        base_ms = self.market.interval_ms
        start = self.market.bar_open(symbol, after_ms)
        start = self.market.first_open(symbol) if start is None else start
        while start <= upto_ms:
            stop = start + 60 * base_ms
            for opened in self.market.table(symbol, start, min(stop, upto_ms + 1)).open_ms.tolist():
                path = self.market.path(symbol, opened)
                yield from trades_of(path, path.seen(after_ms), path.seen(upto_ms))
            start = stop

    def newest_trades(self, symbol: str, upto_ms: int, limit: int) -> list[Trade]:
        """The last `limit` aggregate trades by then, oldest first."""
        found: list[Trade] = []
        opened = self.market.bar_open(symbol, upto_ms)
        while opened is not None and len(found) < limit:
            path = self.market.path(symbol, opened)
            found = [*trades_of(path, 0, path.seen(upto_ms)), *found]
            opened = self.market.bar_open(symbol, opened - 1)
        return found[-limit:]

    def _window(
        self, symbol: str, interval: str, from_ms: int, last_ms: int, limit: int, now_ms: int, *, newest: bool
    ) -> BarTable:
        width = INTERVALS_MS[interval]
        is_base = width == self.market.interval_ms
        opened = from_ms if is_base else interval_open(interval, from_ms)
        if not is_base and opened < from_ms:
            opened = interval_end(interval, opened)
        stop = last_ms + 1 if is_base else interval_end(interval, interval_open(interval, last_ms))
        parts, n = [], 0
        while opened < stop and (newest or n < limit):
            chunk = min(stop, opened + max(width * limit, width), self._chunk_end(interval, opened))
            parts.append(self._bars(symbol, interval, opened, chunk, now_ms))
            n, opened = n + parts[-1].n, chunk
        found = joined(parts)
        found = found.part((found.open_ms >= from_ms) & (found.open_ms <= last_ms)) if found.n else found
        return found.part(slice(-limit, None) if newest else slice(0, limit))

    def _chunk_end(self, interval: str, opened: int) -> int:
        """A border of the interval some days ahead, so that long windows are summed piece by piece."""
        return interval_end(interval, interval_open(interval, opened + _CHUNK_DAYS * DAY_MS))

    def _bars(self, symbol: str, interval: str, start_ms: int, stop_ms: int, now_ms: int) -> BarTable:
        """Bars of the interval from base bars with start <= open < stop; the running one is partial."""
        if INTERVALS_MS[interval] % DAY_MS == 0 and self.market.interval_ms < DAY_MS:
            first_day = now_ms // DAY_MS
            days = [self._day(symbol, day) for day in range(start_ms // DAY_MS, min(-(-stop_ms // DAY_MS), first_day))]
            recent = self._base(symbol, max(start_ms, first_day * DAY_MS), stop_ms, now_ms)
            base = joined([*days, recent])
        else:
            base = self._base(symbol, start_ms, stop_ms, now_ms)
        return base if interval == name_of(self.market.interval_ms) else regrouped(base, interval)

    def _base(self, symbol: str, start_ms: int, stop_ms: int, now_ms: int) -> BarTable:
        table = self.market.table(symbol, start_ms, min(stop_ms, now_ms + 1))
        if table.n and int(table.close_ms[-1]) >= now_ms:
            partial = bar_so_far(self.market.path(symbol, int(table.open_ms[-1])), now_ms)
            return joined([table.part(slice(0, -1)), table_of([partial])])
        return table

    def _make_day(self, symbol: str, day: int) -> BarTable:
        """The one bar of a day that is over."""
        return regrouped(self.market.table(symbol, day * DAY_MS, (day + 1) * DAY_MS), "1d")

    def _group(self, symbol: str, interval: str, opened: int, now_ms: int) -> Kline:
        stop = interval_end(interval, opened)
        bar = self._bars(symbol, interval, opened, stop, now_ms).rows()[0]
        begun = self.market.table(symbol, opened, min(stop, opened + DAY_MS)).part(slice(0, 1)).rows()
        newest = self.market.bar_open(symbol, min(now_ms, stop - 1))
        last = self.market.table(symbol, newest, newest + 1).rows()[0] if newest is not None else bar
        return Kline(bar, *self._trade_ids(symbol, begun[0] if begun else last, last))

    def _bar_before(self, symbol: str, open_ms: int) -> Bar | None:
        opened = self.market.bar_open(symbol, open_ms - 1)
        return None if opened is None else self.market.table(symbol, opened, opened + 1).rows()[0]

    def _trade_ids(self, symbol: str, first: Bar, last: Bar) -> tuple[int, int]:
        if last.trades <= 0:
            return -1, -1
        start = self.market.path(symbol, first.open_ms).first_trade_id
        return start, self.market.path(symbol, last.open_ms).first_trade_id + last.trades - 1


def trades_of(path: Path, start: int, stop: int) -> Iterator[Trade]:
    """Trades number start..stop-1 of one bar."""
    trade_id = path.first_trade_id + int(path.counts[:start].sum())
    for row in range(start, stop):
        count = int(path.counts[row])
        yield Trade(
            path.first_id + row,
            int(path.price_e8[row]),
            int(path.quantity_e8[row]),
            trade_id,
            trade_id + count - 1,
            int(path.times[row]),
            bool(path.buyer_is_maker[row]),
        )
        trade_id += count


def singles_of(trade: Trade) -> Iterator[Trade]:
    """The trades an aggregate is made of: equal shares, the rest with the last."""
    count = trade.last_trade_id - trade.first_trade_id + 1
    share = trade.quantity_e8 // count
    for number in range(count):
        trade_id = trade.first_trade_id + number
        quantity = share if number < count - 1 else trade.quantity_e8 - share * (count - 1)
        yield trade._replace(quantity_e8=quantity, first_trade_id=trade_id, last_trade_id=trade_id)
