"""How does a closed bar of the stream become a row? In order, with what was missed before it, then the nudge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from channels.db import database_sync_to_async

from apps.engine.errors import DataError, Unavailable
from apps.marketdata import selectors
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.frames import KlineEvent
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.market import MarketView
from apps.marketdata.sync import BarStore, sync_bars

GRACE_MS = 3_000  # a thin symbol's closing frame may come up to two seconds after the next bar has begun

log = logging.getLogger(__name__)


class _Check(NamedTuple):
    """Ask the exchange for the bars of a symbol that open before `before_ms`."""

    symbol: str
    before_ms: int


class BarWriter:
    """Takes closed bars from the stream's reader through a bounded queue and stores them from a task of its own.

    `complete_to` is the open time up to which nothing is missing that the exchange has; what lies between it and a new
    bar is fetched first. When the queue is full the bar is dropped here and fetched later like any missed one.
    """

    def __init__(
        self, *, view: MarketView, client: ExchangeClient, interval: str, store: BarStore, n_limit: int = 1_000
    ) -> None:
        self._view = view
        self._client = client
        self._interval = interval
        self._length = interval_ms(interval)
        self._store = store
        self._queue: asyncio.Queue[KlineEvent | _Check] = asyncio.Queue(maxsize=n_limit)
        self._complete_to: dict[str, int] = {}
        self._seen_closed: dict[str, int] = {}
        self._asked_before: dict[str, int] = {}
        view.feed.backlog_limit = n_limit

    async def resume(self, symbols: Sequence[str]) -> None:
        """Take the stored bars as the state from which bars can be missing."""
        for symbol in symbols:
            newest = await database_sync_to_async(selectors.bar_last)(symbol, self._interval)
            if newest is not None:
                self._complete_to[symbol] = self._seen_closed[symbol] = newest

    def take(self, event: KlineEvent) -> None:
        """A kline frame arrived: queue a closed bar, notice a missed one. Returns at once."""
        if event.interval != self._interval:
            return
        seen = self._seen_closed.get(event.symbol)
        if event.closed:
            if self._offer(event):
                self._seen_closed[event.symbol] = max(seen or 0, event.open_time_ms)
            return
        is_jump = seen is not None and event.open_time_ms > seen + self._length
        if is_jump and event.event_ms >= event.open_time_ms + GRACE_MS:
            self.check(event.symbol, event.open_time_ms)

    def check(self, symbol: str, before_ms: int) -> None:
        """See to it that the bars opening before `before_ms` are here. Asked once per bar."""
        before = before_ms // self._length * self._length
        if self._asked_before.get(symbol) != before:
            self._asked_before[symbol] = before
            self._offer(_Check(symbol, before))

    def recheck(self, symbols: Sequence[str], now_ms: int) -> None:
        """After a new connection: anything may have been missed."""
        self._asked_before.clear()
        for symbol in symbols:
            self.check(symbol, now_ms)

    async def run(self) -> None:
        """Store what is queued until cancelled. A failure of the database is logged; the bars are fetched again."""
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            for symbol in dict.fromkeys(entry.symbol for entry in batch):
                try:
                    await self._settle(symbol, [entry for entry in batch if entry.symbol == symbol])
                except Exception:
                    log.exception("bars of %s were not stored; they are fetched again with the next one", symbol)
            self._view.feed.backlog_size = self._queue.qsize()

    def _offer(self, entry: KlineEvent | _Check) -> bool:
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            self._view.feed.count_dropped()
            return False
        self._view.feed.backlog_size = self._queue.qsize()
        return True

    async def _settle(self, symbol: str, entries: list[KlineEvent | _Check]) -> None:
        closed = sorted({entry.open_time_ms: entry for entry in entries if isinstance(entry, KlineEvent)}.items())
        horizon = max((entry.before_ms for entry in entries if isinstance(entry, _Check)), default=0)
        events = [event for _, event in closed]
        newest = await self._fill_up_to(symbol, horizon)
        for run in self._contiguous(events):
            filled = await self._fill_up_to(symbol, run[0].open_time_ms)
            newest = max(newest, filled, await self._store_run(symbol, run))
        if newest:
            self._view.announce_bar(symbol, newest)

    async def _fill_up_to(self, symbol: str, before_ms: int) -> int:
        """Fetch what is missing before a bar. Returns the newest open time that was inserted, 0 for none."""
        complete = self._complete_to.get(symbol)
        if complete is None or before_ms <= complete + self._length:
            return 0
        start = complete + self._length
        try:
            report = await sync_bars(
                self._client, symbol, self._interval, start_ms=start, end_ms=before_ms, store=self._store
            )
        except (Unavailable, DataError) as error:
            log.warning("bars of %s from %s to %s are missing for now: %s", symbol, start, before_ms, error)
            return 0
        self._complete_to[symbol] = max(complete, before_ms - self._length)
        self._seen_closed[symbol] = max(self._seen_closed.get(symbol, 0), before_ms - self._length)
        self._note_conflicts(symbol, report.stored.conflicts)
        return report.last_ms or 0 if report.stored.inserted else 0

    async def _store_run(self, symbol: str, run: list[KlineEvent]) -> int:
        bars = selectors.bars_from_rows(
            (bar.open_time_ms, bar.open_e8, bar.high_e8, bar.low_e8, bar.close_e8, bar.volume_e8, bar.trades)
            for bar in run
        )
        ts_ms = max(self._view.now_ms(), run[-1].event_ms)
        result = await database_sync_to_async(self._store)(
            symbol=symbol, interval=self._interval, bars=bars, source=self._client.venue.source, ts_ms=ts_ms
        )
        complete = self._complete_to.get(symbol)
        if complete is None or run[0].open_time_ms <= complete + self._length:
            self._complete_to[symbol] = max(complete or 0, run[-1].open_time_ms)
        self._note_conflicts(symbol, result.conflicts)
        return run[-1].open_time_ms if result.inserted else 0

    def _contiguous(self, events: list[KlineEvent]) -> list[list[KlineEvent]]:
        runs: list[list[KlineEvent]] = []
        for event in events:
            if runs and event.open_time_ms == runs[-1][-1].open_time_ms + self._length:
                runs[-1].append(event)
            else:
                runs.append([event])
        return runs

    def _note_conflicts(self, symbol: str, conflicts: tuple[int, ...]) -> None:
        if conflicts:
            self._view.feed.conflicting += len(conflicts)
            log.warning(
                "%d bars of %s came again with other values and stay as first observed, the first at %s",
                *(len(conflicts), symbol, conflicts[0]),
            )
