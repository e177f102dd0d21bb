"""How does a closed bar of the stream become a row? In order, with what was missed before it, then the nudge."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from channels.db import database_sync_to_async
from django.conf import settings

from apps.engine.errors import DataError, Unavailable
from apps.engine.stream_events import KlineEvent
from apps.marketdata import quarantine, selectors
from apps.marketdata.cross_check import series_check
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.frames import BadKline
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.gaps import gaps_reconcile
from apps.marketdata.intake import bars_take
from apps.marketdata.market import MarketView
from apps.marketdata.quarantine import STREAM
from apps.marketdata.storing import BarStore
from apps.marketdata.sync import sync_bars

GRACE_MS = 3_000  # a thin symbol's closing frame may come up to two seconds after the next bar has begun
UNREADABLE_PER_BAR = 5  # rows for one symbol while one bar lasts; a stream of garbage is counted, not kept

log = logging.getLogger(__name__)


class _Check(NamedTuple):
    """Ask the exchange for the bars that open before `before_ms`."""

    before_ms: int


@dataclass
class _Lane:
    """One symbol: what waits to be written, and what is known of it."""

    waiting: deque[KlineEvent | BadKline | _Check] = field(default_factory=deque)
    is_busy: bool = False
    complete_to: int | None = None  # open time up to which nothing is missing that the exchange has
    seen_closed: int | None = None
    asked_before: int | None = None
    compared_ms: int | None = None  # market time when the last cross-check was asked for
    compared_until: int = 0  # the bars before it have been compared
    is_check_due: bool = False
    is_checking: bool = False
    unreadable: tuple[int, int] = (0, 0)  # bar index, rows written while it lasted


class BarWriter:
    """Takes closed bars from the stream's reader through a bounded queue and stores them from tasks of its own.

    A bar is closed when the exchange says so, or when the next one has opened and REST has it. What lies between the
    newest complete bar and a new one is fetched first. When the queue is full the bar is dropped here and fetched
    later like any missed one. Symbols do not wait for each other; a cross-check waits for nobody.
    """

    def __init__(
        self,
        *,
        view: MarketView,
        client: ExchangeClient,
        interval: str,
        store: BarStore,
        n_limit: int = 1_000,
        cross_check_ms: int | None = None,
    ) -> None:
        self._view = view
        self._client = client
        self._interval = interval
        self._length = interval_ms(interval)
        self._store = store
        self._limit = n_limit
        self._n_waiting = 0
        self._lanes: dict[str, _Lane] = {}
        self._work = asyncio.Event()
        self._cross_check_ms = cross_check_ms or settings.CROSS_CHECK_MINUTES * 60_000
        view.feed.backlog_limit = n_limit

    async def resume(self, symbols: Sequence[str]) -> None:
        """Take the stored bars as the state from which bars can be missing, and bring the gap ledger up to them."""
        for symbol in symbols:
            newest = await database_sync_to_async(self._ledger_opened)(symbol)
            if newest is not None:
                lane = self._lane(symbol)
                lane.complete_to = lane.seen_closed = newest

    def take(self, event: KlineEvent) -> None:
        """A kline frame arrived: queue a closed bar, notice a missed one. Returns at once."""
        if event.interval != self._interval:
            return
        lane = self._lane(event.symbol)
        seen = lane.seen_closed
        if event.closed:
            if self._offer(lane, event):
                lane.seen_closed = max(seen or 0, event.open_time_ms)
        elif (
            seen is not None
            and event.open_time_ms > seen + self._length
            and event.event_ms >= event.open_time_ms + GRACE_MS
        ):
            self.check(event.symbol, event.open_time_ms)
        if lane.compared_ms is None:
            lane.compared_ms = event.event_ms
        elif event.event_ms - lane.compared_ms >= self._cross_check_ms:
            self._ask_check(lane, event.event_ms)

    def reject(self, bad: BadKline) -> None:
        """A kline frame cannot be read: keep it as it came and ask REST for the bar. Returns at once."""
        if bad.interval != self._interval or bad.closed is False or bad.symbol not in self._lanes:
            return
        lane = self._lanes[bad.symbol]
        index = self._view.now_ms() // self._length
        n_kept = lane.unreadable[1] if lane.unreadable[0] == index else 0
        if n_kept < UNREADABLE_PER_BAR and self._offer(lane, bad):
            lane.unreadable = (index, n_kept + 1)

    def check(self, symbol: str, before_ms: int) -> None:
        """See to it that the bars opening before `before_ms` are here. Asked once per bar."""
        lane = self._lane(symbol)
        before = before_ms // self._length * self._length
        if lane.asked_before != before and self._offer(lane, _Check(before)):
            lane.asked_before = before

    def recheck(self, symbols: Sequence[str], now_ms: int) -> None:
        """After a new connection: anything may have been missed, and what came before it is compared with REST."""
        for symbol in symbols:
            lane = self._lane(symbol)
            lane.asked_before = None
            self.check(symbol, now_ms)
            self._ask_check(lane, now_ms)

    async def run(self) -> None:
        """Store what is queued until cancelled. A failure of the database is logged; the bars are fetched again."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                self._work.clear()
                for symbol, lane in self._lanes.items():
                    if lane.waiting and not lane.is_busy:
                        lane.is_busy = True
                        group.create_task(self._work_off(symbol, lane))
                    if lane.is_check_due and not lane.is_checking:
                        lane.is_check_due, lane.is_checking = False, True
                        group.create_task(self._cross_check(symbol, lane))

    def _ledger_opened(self, symbol: str) -> int | None:
        newest = selectors.bar_last(symbol, self._interval)
        oldest = selectors.bar_first(symbol, self._interval)
        if newest is not None and oldest is not None:
            end_ms = newest + self._length
            gaps_reconcile(symbol=symbol, interval=self._interval, start_ms=oldest, end_ms=end_ms, ts_ms=end_ms)
        return newest

    def _lane(self, symbol: str) -> _Lane:
        lane = self._lanes.get(symbol)
        if lane is None:
            lane = self._lanes[symbol] = _Lane()
        return lane

    def _offer(self, lane: _Lane, entry: KlineEvent | BadKline | _Check) -> bool:
        if self._n_waiting >= self._limit:
            self._view.feed.count_dropped()
            return False
        lane.waiting.append(entry)
        self._n_waiting += 1
        self._view.feed.backlog_size = self._n_waiting
        self._work.set()
        return True

    def _ask_check(self, lane: _Lane, now_ms: int) -> None:
        lane.compared_ms = now_ms
        lane.is_check_due = True
        self._work.set()

    async def _work_off(self, symbol: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                batch = list(lane.waiting)
                try:
                    await self._settle(symbol, lane, batch)
                except Exception:
                    log.exception("bars of %s were not stored; they are fetched again with the next one", symbol)
                for _ in batch:
                    lane.waiting.popleft()
                self._n_waiting -= len(batch)
                self._view.feed.backlog_size = self._n_waiting
        finally:
            lane.is_busy = False

    async def _settle(self, symbol: str, lane: _Lane, entries: Sequence[KlineEvent | BadKline | _Check]) -> None:
        closed = sorted({entry.open_time_ms: entry for entry in entries if isinstance(entry, KlineEvent)}.items())
        horizon = max((entry.before_ms for entry in entries if isinstance(entry, _Check)), default=0)
        for bad in [entry for entry in entries if isinstance(entry, BadKline)]:
            horizon = max(horizon, await self._hold_unreadable(bad))
        newest = await self._fill_up_to(symbol, lane, horizon)
        for run in self._contiguous([event for _, event in closed]):
            filled = await self._fill_up_to(symbol, lane, run[0].open_time_ms)
            newest = max(newest, filled, await self._store_run(symbol, lane, run))
        if newest:
            self._view.announce_bar(symbol, newest)

    async def _hold_unreadable(self, bad: BadKline) -> int:
        """Write down what cannot be read. Returns up to where the bars are to be asked for."""
        now_ms = self._view.now_ms()
        await database_sync_to_async(quarantine.unreadable_hold)(
            symbol=bad.symbol,
            interval=bad.interval,
            open_time_ms=bad.open_time_ms,
            raw=bad.raw,
            detail=str(bad),
            origin=STREAM,
            source=self._client.venue.source,
            ts_ms=now_ms,
        )
        return now_ms // self._length * self._length

    async def _fill_up_to(self, symbol: str, lane: _Lane, before_ms: int) -> int:
        """Fetch what is missing before a bar. Returns the newest open time that was inserted, 0 for none."""
        complete = lane.complete_to
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
        lane.complete_to = max(complete, report.end_ms - self._length)
        lane.seen_closed = max(lane.seen_closed or 0, report.end_ms - self._length)
        self._view.feed.conflicting += report.stored.conflicting
        return report.last_ms or 0 if report.stored.inserted else 0

    async def _store_run(self, symbol: str, lane: _Lane, run: list[KlineEvent]) -> int:
        bars = selectors.bars_from_rows(
            (bar.open_time_ms, bar.open_e8, bar.high_e8, bar.low_e8, bar.close_e8, bar.volume_e8, bar.trades)
            for bar in run
        )
        ts_ms = max(self._view.now_ms(), run[-1].event_ms)
        admitted = await database_sync_to_async(bars_take)(
            symbol=symbol,
            interval=self._interval,
            bars=bars,
            source=self._client.venue.source,
            origin=STREAM,
            ts_ms=ts_ms,
            store=self._store,
        )
        complete = lane.complete_to
        if complete is None or run[0].open_time_ms <= complete + self._length:
            lane.complete_to = max(complete or 0, run[-1].open_time_ms)
        self._view.feed.conflicting += admitted.stored.conflicting
        free = {bar.open_time_ms for bar in run} - set(admitted.held)
        return max(free, default=0) if admitted.stored.inserted else 0

    def _contiguous(self, events: list[KlineEvent]) -> list[list[KlineEvent]]:
        runs: list[list[KlineEvent]] = []
        for event in events:
            if runs and event.open_time_ms == runs[-1][-1].open_time_ms + self._length:
                runs[-1].append(event)
            else:
                runs.append([event])
        return runs

    async def _cross_check(self, symbol: str, lane: _Lane) -> None:
        until_ms = ((lane.compared_ms or 0) - GRACE_MS) // self._length * self._length
        try:
            if until_ms <= lane.compared_until:
                return
            report = await series_check(
                self._client,
                symbol,
                self._interval,
                window_ms=2 * self._cross_check_ms,
                until_ms=until_ms,
                store=self._store,
            )
            lane.compared_until = until_ms
            self._view.feed.conflicting += report.compared.stored.conflicting
            if report.newest_ms is not None:
                self._view.announce_bar(symbol, report.newest_ms)
        except (Unavailable, DataError) as error:
            log.warning("bars of %s could not be compared with the exchange's for now: %s", symbol, error)
        except Exception:
            log.exception("the cross-check of %s failed; the next one is on schedule", symbol)
        finally:
            lane.is_checking = False
            self._work.set()
