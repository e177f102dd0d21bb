"""What is the present of one symbol? Its best prices, its book, its last trades and bars, bounded by construction."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from apps.engine.stream_events import AggTradeEvent, BookTickerEvent, KlineEvent, MarketEvent
from apps.engine.values import Book
from apps.marketdata.clock import BELIEVED_AHEAD_MS

KEPT_TRADES = 200
KEPT_BARS = 5


class Quote(NamedTuple):
    """Best prices and the last trade. `ts_ms` is when bid and ask arrived, `event_ms` the exchange's last own time."""

    symbol: str
    bid_e8: int
    ask_e8: int
    last_e8: int
    ts_ms: int
    event_ms: int = 0


@dataclass(slots=True)
class Lane:
    """The present of one symbol. Changed under the lock of its view.

    `priced_after_ms` is the exchange's own time as it was known when bid and ask arrived: on a line that is late they
    are no newer than that, whatever later events say.
    """

    quote: Quote
    priced_after_ms: int = 0
    update_id: int = -1
    version: int = 0
    book: Book | None = None
    is_unconfirmed: bool = False
    trades: deque[AggTradeEvent] = field(default_factory=lambda: deque(maxlen=KEPT_TRADES))
    closed: deque[KlineEvent] = field(default_factory=lambda: deque(maxlen=KEPT_BARS))
    waiting: list[tuple[int, Future[Book]]] = field(default_factory=list)

    def take(self, event: MarketEvent, now_ms: int) -> None:
        """Let an event that arrives at `now_ms` change the present."""
        if isinstance(event, BookTickerEvent):
            self._best(event.update_id, event.bid_e8, event.ask_e8, now_ms)
        elif isinstance(event, AggTradeEvent):
            self.trades.append(event)
            self._last(event.price_e8, event.event_ms, now_ms)
        elif isinstance(event, KlineEvent):
            if event.closed:
                self.closed.append(event)
            self._last(event.close_e8, event.event_ms, now_ms)
        elif event.bids and event.asks:
            self.book = Book(event.symbol, now_ms, event.update_id, event.bids, event.asks)
            self._best(event.update_id, event.bids[0][0], event.asks[0][0], now_ms)

    def put(self, quote: Quote) -> None:
        """Overwrite the best prices and the last trade."""
        self.priced_after_ms = quote.event_ms
        self._set(quote)

    def due(self) -> list[tuple[Future[Book], Book]]:
        """Who has waited for a book as new as the present one, and that book; they wait no longer."""
        book = self.book
        if not self.waiting or book is None:
            return []
        due = [(future, book) for since, future in self.waiting if book.ts_ms >= since]
        self.waiting = [entry for entry in self.waiting if book.ts_ms < entry[0]]
        return due

    def _best(self, update_id: int, bid_e8: int, ask_e8: int, now_ms: int) -> None:
        if bid_e8 <= 0 or ask_e8 <= 0 or update_id < self.update_id:
            return  # an empty side or old news: the quote stays, and grows old
        self.update_id = update_id
        symbol, _, _, last_e8, _, event_ms = self.quote
        self.put(Quote(symbol, bid_e8, ask_e8, last_e8, now_ms, event_ms))

    def _last(self, price_e8: int, event_ms: int, now_ms: int) -> None:
        symbol, bid_e8, ask_e8, _, ts_ms, newest_ms = self.quote
        # A kline repeats the last trade's price, and may do so late: it counts only where it is the newer news.
        # A time from the future would pass for fresh until it comes.
        if newest_ms <= event_ms <= now_ms + BELIEVED_AHEAD_MS:
            self._set(Quote(symbol, bid_e8, ask_e8, price_e8, ts_ms, event_ms))

    def _set(self, quote: Quote) -> None:
        self.quote = quote
        self.version += 1
