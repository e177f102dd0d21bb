"""What does the market look like now? The latest of everything, one view per process, readable from any thread.

Bounded by construction: the latest quote and book, 200 trades and 5 closed bars per symbol of the watch list. Books and
best prices carry no time of their own, so they are stamped with the market clock when they arrive; klines and trades
carry the exchange's event time, which exposes an exchange that still talks but has stopped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import lru_cache

from apps.engine.stream_events import AggTradeEvent, KlineEvent, MarketEvent
from apps.engine.values import Book
from apps.marketdata.clock import MarketClock
from apps.marketdata.feed import FeedState, FeedStatus
from apps.marketdata.lane import Lane, Quote

log = logging.getLogger(__name__)
BarClosed = Callable[[str, int], None]
Updated = Callable[[str], None]


class MarketView:
    """The latest state of every symbol it was told to follow; events of other symbols are dropped and counted."""

    def __init__(self, *, clock: MarketClock | None = None, symbols: Iterable[str] = ()) -> None:
        self.clock = clock or MarketClock()
        self.feed = FeedState()
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._bar_listeners: list[BarClosed] = []
        self._update_listeners: list[Updated] = []
        self.follow(symbols)

    def follow(self, symbols: Iterable[str]) -> None:
        """Keep these symbols from now on, beside those already followed."""
        with self._lock:
            for symbol in symbols:
                self._lanes.setdefault(symbol, Lane(Quote(symbol, 0, 0, 0, 0)))

    def symbols(self) -> list[str]:
        return list(self._lanes)

    def now_ms(self) -> int:
        """Market time. Raises Unavailable while it is not known."""
        return self.clock.now_ms()

    def book(self, symbol: str) -> Book | None:
        """The latest book; None when there is none."""
        lane = self._lanes.get(symbol)
        return lane.book if lane else None

    def quote(self, symbol: str) -> Quote | None:
        """The latest best prices; None until both sides are known."""
        lane = self._lanes.get(symbol)
        return lane.quote if lane and lane.quote.bid_e8 > 0 and lane.quote.ask_e8 > 0 else None

    def version(self, symbol: str) -> int:
        """Counts the changes of a quote, so that a reader knows what it missed."""
        lane = self._lanes.get(symbol)
        return lane.version if lane else 0

    def trades(self, symbol: str) -> list[AggTradeEvent]:
        """The last trades, oldest first."""
        lane = self._lanes.get(symbol)
        with self._lock:
            return list(lane.trades) if lane else []

    def closed_bars(self, symbol: str) -> list[KlineEvent]:
        """The last closed bars as the stream told them, oldest first."""
        lane = self._lanes.get(symbol)
        with self._lock:
            return list(lane.closed) if lane else []

    def is_stale(self, symbol: str, after_ms: int) -> bool:
        """Whether the symbol's prices cannot be trusted now: by their age, by its last word, or by an open question.

        Bid and ask are as old as their arrival. An exchange that still sends them but has stopped shows in the times it
        states itself, which klines and trades carry; and on a line that is late, prices are no newer than those times.
        """
        quote, lane = self.quote(symbol), self._lanes.get(symbol)
        if quote is None or lane is None or not self.clock.is_set or lane.is_unconfirmed:
            return True
        return self.now_ms() - min(quote.ts_ms, quote.event_ms, lane.priced_after_ms) > after_ms

    def set_unconfirmed(self, symbol: str, is_unconfirmed: bool) -> None:
        """Say whether the symbol's newest closed bar is in quarantine, its prices therefore in doubt."""
        lane = self._lanes.get(symbol)
        if lane is not None:
            lane.is_unconfirmed = is_unconfirmed

    def is_unconfirmed(self, symbol: str) -> bool:
        """Whether the symbol's newest closed bar is in quarantine."""
        lane = self._lanes.get(symbol)
        return lane is not None and lane.is_unconfirmed

    def last_event_ms(self, symbol: str | None = None) -> int:
        """The newest time that the exchange itself stated, of one symbol or of all; 0 when there is none."""
        lanes = list(self._lanes.values()) if symbol is None else [lane for lane in (self._lanes.get(symbol),) if lane]
        return max((lane.quote.event_ms for lane in lanes), default=0)

    def wait_book(self, symbol: str, at_or_after_ms: int, timeout_s: float) -> Book | None:
        """Block until the first book that arrived at or after a market time; None when the wait ends without one."""
        ready = self._book_future(symbol, at_or_after_ms)
        try:
            return ready.result(timeout_s)
        except TimeoutError:
            self._forget(symbol, ready)
            return None

    async def wait_book_async(self, symbol: str, at_or_after_ms: int, timeout_s: float) -> Book | None:
        """The same without blocking the event loop."""
        ready = self._book_future(symbol, at_or_after_ms)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(ready), timeout_s)
        except TimeoutError:
            return None
        finally:
            self._forget(symbol, ready)

    def on_bar_closed(self, callback: BarClosed) -> Callable[[], None]:
        """Call `callback(symbol, open_time_ms)` after each stored bar, from whatever thread. Returns how to stop."""
        self._bar_listeners.append(callback)
        return lambda: self._bar_listeners.remove(callback)

    def on_update(self, callback: Updated) -> Callable[[], None]:
        """Call `callback(symbol)` after each change of a quote. It must return at once. Returns how to stop."""
        self._update_listeners.append(callback)
        return lambda: self._update_listeners.remove(callback)

    def announce_bar(self, symbol: str, open_time_ms: int) -> None:
        """Tell the listeners that a bar is stored. A listener's failure is logged and does not reach the others."""
        for listener in list(self._bar_listeners):
            try:
                listener(symbol, open_time_ms)
            except Exception:
                log.exception("a listener failed on the closed bar %s %s", symbol, open_time_ms)

    def connection_reset(self) -> None:
        """A new connection may count update ids anew."""
        with self._lock:
            for lane in self._lanes.values():
                lane.update_id = -1

    def apply(self, event: MarketEvent) -> None:
        """Take in one event of the stream."""
        self.apply_all((event,))

    def apply_all(self, events: Sequence[MarketEvent]) -> None:
        """Take in events that arrived together, in their order; listeners hear once of each symbol that changed."""
        told = [event.event_ms for event in events if isinstance(event, (AggTradeEvent, KlineEvent))]
        if told:
            self.clock.observe(max(told))
        now_ms = self.now_ms() if self.clock.is_set else None
        lanes, n_dropped = {event.symbol: self._lanes.get(event.symbol) for event in events}, 0
        with self._lock:
            before = [(lane, lane.version) for lane in lanes.values() if lane is not None]
            for event in events:
                lane = lanes[event.symbol]
                if lane is None:
                    n_dropped += 1
                elif now_ms is not None:
                    lane.take(event, now_ms)
            due = [entry for lane, _ in before for entry in lane.due()]
        self._wake(due)
        if n_dropped:
            self.feed.count_dropped(n_dropped)
        self._tell(lane.quote.symbol for lane, version in before if lane.version != version)

    def put_quote(self, quote: Quote) -> None:
        """Overwrite the latest best prices."""
        lane = self._lanes.get(quote.symbol)
        if lane is not None:
            with self._lock:
                lane.put(quote)
            self._tell([quote.symbol])

    def put_book(self, book: Book) -> None:
        """Overwrite the latest book and wake who waits for it."""
        lane = self._lanes.get(book.symbol)
        if lane is None or not book.bids or not book.asks:
            return
        with self._lock:
            lane.book = book
            due = lane.due()
        self._wake(due)

    def put_trade(self, trade: AggTradeEvent) -> None:
        """Remember a trade; its price is the last one. The clock is not asked."""
        lane = self._lanes.get(trade.symbol)
        if lane is not None:
            with self._lock:
                lane.take(trade, trade.event_ms)
            self._tell([trade.symbol])

    def status(self, stale_after_ms: int = 5_000) -> FeedStatus:
        """How the feed is doing, for the status call and the page."""
        stale = not self._lanes or any(self.is_stale(symbol, stale_after_ms) for symbol in self._lanes)
        return self.feed.status(stale=stale, now_ms=self.now_ms() if self.clock.is_set else None)

    def _tell(self, symbols: Iterable[str]) -> None:
        listeners = list(self._update_listeners)
        for symbol in symbols:
            for listener in listeners:
                listener(symbol)

    def _wake(self, due: Iterable[tuple[Future[Book], Book]]) -> None:
        for future, book in due:
            if future.set_running_or_notify_cancel():
                future.set_result(book)

    def _book_future(self, symbol: str, at_or_after_ms: int) -> Future[Book]:
        ready: Future[Book] = Future()
        lane = self._lanes.get(symbol)
        with self._lock:
            if lane and lane.book and lane.book.ts_ms >= at_or_after_ms:
                ready.set_result(lane.book)
            elif lane:
                lane.waiting.append((at_or_after_ms, ready))
        return ready

    def _forget(self, symbol: str, ready: Future[Book]) -> None:
        lane = self._lanes.get(symbol)
        with self._lock:
            if lane:
                lane.waiting = [entry for entry in lane.waiting if entry[1] is not ready]


@lru_cache(maxsize=1)
def market_view() -> MarketView:
    """The one view of this process, following the watch list."""
    from django.conf import settings

    rate = 1.0 if settings.EXCHANGE == "binance" else 1_000_000.0
    return MarketView(clock=MarketClock(max_rate=rate), symbols=settings.SYMBOLS)
