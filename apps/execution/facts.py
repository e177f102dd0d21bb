"""What the market tells a decision: marks, books, ages. Read once under the lock, then only passed on."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings

from apps.engine.stream_events import KlineEvent
from apps.engine.values import Book
from apps.marketdata.market import MarketView, market_view

LEVELS_ARRIVAL = 20
LEVELS_SEEN = 5


@dataclass(frozen=True)
class MarketFacts:
    """Marks are exact (1e-8 quote); a symbol that is not in `marks` cannot be marked now. An age of -1 means unknown.

    `last_e8` and `last_trade_id` are the symbol's last trade, 0 and -1 where none is known; `recent` its last bars.
    Under FILLS=bars, `next_open_e8` and `next_volume_e8` are those of the bar after the view's, 0 where it never came.
    """

    ts_ms: int
    marks: dict[str, int] = field(default_factory=dict)
    data_age_ms: int = -1
    filters_age_ms: int = -1
    seen: Book | None = None
    arrival: Book | None = None
    last_e8: int = 0
    last_trade_id: int = -1
    next_open_e8: int = 0
    next_volume_e8: int = 0
    recent: tuple[KlineEvent, ...] = ()

    def average_e8(self, minutes: int) -> int:
        """The average price of the last closed bars that opened within so many minutes, each at the mean of its high,
        low and close, weighed by its volume; 0 where nothing was traded."""
        since_ms = self.ts_ms - minutes * 60_000
        bars = [bar for bar in self.recent if bar.open_time_ms >= since_ms]
        volume_e8 = sum(bar.volume_e8 for bar in bars)
        worth = sum((bar.high_e8 + bar.low_e8 + bar.close_e8) * bar.volume_e8 for bar in bars)
        return worth // (3 * volume_e8) if volume_e8 else 0


def mid_e8(book: Book) -> int:
    """Mid price, rounded down."""
    return (book.bids[0][0] + book.asks[0][0]) // 2


def live_facts(symbol: str, *, seen: Book | None, arrival: Book | None, view: MarketView | None = None) -> MarketFacts:
    """The facts of the moment, by the market clock. The decision's own symbol is marked by its arrival book.

    Without one it is marked by the last book there was, so that a decision can say how old that is: its age refuses new
    risk. Every other symbol is marked by fresh prices or not at all.
    """
    market = view or market_view()
    now_ms = market.now_ms()
    stale_ms = settings.STALE_AFTER_MS
    marks = {}
    for name in market.symbols():
        quote = market.quote(name)
        if quote is not None and not market.is_stale(name, stale_ms):
            marks[name] = (quote.bid_e8 + quote.ask_e8) // 2
    age = book_age_ms(market, symbol, arrival, now_ms)
    if arrival is not None and 0 <= age <= stale_ms:
        marks[symbol] = mid_e8(arrival)
    last = arrival or seen
    if symbol not in marks and last is not None and last.bids and last.asks:
        marks[symbol] = mid_e8(last)
    price_e8, trade_id = last_trade(market, symbol)
    return MarketFacts(now_ms, marks, age, seen=seen, arrival=arrival, last_e8=price_e8, last_trade_id=trade_id,
                       recent=tuple(market.closed_bars(symbol)))  # fmt: skip


def last_trade(market: MarketView, symbol: str) -> tuple[int, int]:
    """(price, id) of the symbol's last trade. A kline tells no id. 0 and -1 where nothing is known."""
    trades = market.trades(symbol)
    if trades:
        return trades[-1].price_e8, trades[-1].trade_id
    quote = market.quote(symbol)
    return (quote.last_e8 if quote is not None else 0), -1


def book_age_ms(market: MarketView, symbol: str, arrival: Book | None, now_ms: int) -> int:
    """Age of the older of the book and the symbol's own event time; -1 where there is nothing to believe.

    A frozen exchange may go on sending books: its event times say when it last knew anything. While the symbol's newest
    bar is in doubt, so is its price.
    """
    event_ms = market.last_event_ms(symbol)
    if arrival is None or not arrival.bids or not arrival.asks or event_ms == 0 or market.is_unconfirmed(symbol):
        return -1
    return max(0, now_ms - arrival.ts_ms, now_ms - event_ms)
