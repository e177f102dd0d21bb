"""What does the market look like now? The latest of everything, one view per process, readable from any thread.

Bounded by construction: the latest quote and book, 200 trades and 5 closed bars per symbol of the watch list. Books and
best prices carry no time of their own, so they are stamped with the market clock when they arrive; klines and trades
carry the exchange's event time, which exposes an exchange that still talks but has stopped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from apps.engine.values import Book
from apps.marketdata.clock import MarketClock
from apps.marketdata.exchange.frames import AggTradeEvent, BookTickerEvent, DepthEvent, KlineEvent, MarketEvent
from apps.marketdata.feed import FeedState, FeedStatus

KEPT_TRADES = 200
KEPT_BARS = 5
FROZEN_AFTER_MS = 15_000  # klines come every two seconds while anything trades

log = logging.getLogger(__name__)
BarClosed = Callable[[str, int], None]
Updated = Callable[[str], None]


class Quote(NamedTuple):
    """Best prices and the last trade. `ts_ms` is when bid and ask arrived, `event_ms` the exchange's last own time."""

    symbol: str
    bid_e8: int
    ask_e8: int
    last_e8: int
    ts_ms: int
    event_ms: int = 0


@dataclass
class _Lane:
    """The present of one symbol."""

    quote: Quote
    update_id: int = -1
    version: int = 0
    book: Book | None = None
    trades: deque[AggTradeEvent] = field(default_factory=lambda: deque(maxlen=KEPT_TRADES))
    closed: deque[KlineEvent] = field(default_factory=lambda: deque(maxlen=KEPT_BARS))
    waiting: list[tuple[int, Future[Book]]] = field(default_factory=list)


class MarketView:
    """The latest state of every symbol it was told to follow; events of other symbols are dropped and counted."""

    def __init__(self, *, clock: MarketClock | None = None, symbols: Iterable[str] = ()) -> None:
        self.clock = clock or MarketClock()
        self.feed = FeedState()
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._bar_listeners: list[BarClosed] = []
        self._update_listeners: list[Updated] = []
        self.follow(symbols)

    def follow(self, symbols: Iterable[str]) -> None:
        """Keep these symbols from now on, beside those already followed."""
        with self._lock:
            for symbol in symbols:
                self._lanes.setdefault(symbol, _Lane(Quote(symbol, 0, 0, 0, 0)))

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
        """Whether bid and ask are older than `after_ms`, or the exchange's own time has stopped."""
        quote = self.quote(symbol)
        if quote is None or not self.clock.is_set:
            return True
        now = self.now_ms()
        return not (now - quote.ts_ms <= after_ms and now - self.last_event_ms() <= FROZEN_AFTER_MS)

    def last_event_ms(self) -> int:
        """The newest time that the exchange itself stated in a frame, over all symbols; 0 when there is none."""
        return max((lane.quote.event_ms for lane in list(self._lanes.values())), default=0)

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
        if isinstance(event, (KlineEvent, AggTradeEvent)):
            self.clock.observe(event.event_ms)
        lane = self._lanes.get(event.symbol)
        if lane is None:
            self.feed.count_dropped()
        elif self.clock.is_set:
            if isinstance(event, DepthEvent):
                self._apply_depth(lane, event)
            else:
                self._apply_to(lane, event)

    def put_quote(self, quote: Quote) -> None:
        """Overwrite the latest best prices."""
        lane = self._lanes.get(quote.symbol)
        if lane is not None:
            self._change(lane, **quote._asdict())

    def put_book(self, book: Book) -> None:
        """Overwrite the latest book and wake who waits for it."""
        lane = self._lanes.get(book.symbol)
        if lane is None or not book.bids or not book.asks:
            return
        with self._lock:
            lane.book = book
            due = [future for at, future in lane.waiting if book.ts_ms >= at]
            lane.waiting = [entry for entry in lane.waiting if book.ts_ms < entry[0]]
        for future in due:
            if future.set_running_or_notify_cancel():
                future.set_result(book)

    def put_trade(self, trade: AggTradeEvent) -> None:
        """Remember a trade; its price is the last one."""
        lane = self._lanes.get(trade.symbol)
        if lane is not None:
            self._apply_to(lane, trade)

    def status(self, stale_after_ms: int = 5_000) -> FeedStatus:
        """How the feed is doing, for the status call and the page."""
        stale = not self._lanes or any(self.is_stale(symbol, stale_after_ms) for symbol in self._lanes)
        return self.feed.status(stale=stale, now_ms=self.now_ms() if self.clock.is_set else None)

    def _apply_depth(self, lane: _Lane, event: DepthEvent) -> None:
        book = Book(event.symbol, self.now_ms(), event.update_id, event.bids, event.asks)
        self.put_book(book)
        if book.bids and book.asks:
            self._best_of(lane, book.update_id, book.bids[0][0], book.asks[0][0], book.ts_ms)

    def _apply_to(self, lane: _Lane, event: KlineEvent | AggTradeEvent | BookTickerEvent) -> None:
        if isinstance(event, BookTickerEvent):
            self._best_of(lane, event.update_id, event.bid_e8, event.ask_e8, self.now_ms())
            return
        with self._lock:
            if isinstance(event, AggTradeEvent):
                lane.trades.append(event)
            elif event.closed:
                lane.closed.append(event)
        price = event.price_e8 if isinstance(event, AggTradeEvent) else event.close_e8
        # A kline repeats the last trade's price, and may do so late: it counts only where it is the newer news.
        if event.event_ms >= lane.quote.event_ms:
            self._change(lane, last_e8=price, event_ms=event.event_ms)

    def _best_of(self, lane: _Lane, update_id: int, bid_e8: int, ask_e8: int, ts_ms: int) -> None:
        if bid_e8 <= 0 or ask_e8 <= 0:
            return  # an empty side: the quote stays, and grows old
        with self._lock:
            is_news = update_id >= lane.update_id
            lane.update_id = max(update_id, lane.update_id)
        if is_news:
            self._change(lane, bid_e8=bid_e8, ask_e8=ask_e8, ts_ms=ts_ms)

    def _change(self, lane: _Lane, **changes: Any) -> None:
        with self._lock:
            lane.quote = lane.quote._replace(**changes)
            lane.version += 1
        for listener in list(self._update_listeners):
            listener(lane.quote.symbol)

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
