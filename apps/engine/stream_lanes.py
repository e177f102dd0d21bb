"""Which of the stream's events are news, which are only the latest, and what got lost between them?

Quotes, books and running bars conflate: only the newest of a symbol is kept until it is drained. Trades and closed bars
wait in order in bounded queues; the oldest makes room, and its symbol is told to be gapped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from apps.engine.stream_actions import Gapped
from apps.engine.stream_events import AggTradeEvent, BookTickerEvent, DepthEvent, KlineEvent, MarketEvent

NEVER = -(2**62)
KEPT_CLOSED = 64  # a rotation overlaps by half a minute at most, and the shortest bar lasts a second


class Drained(NamedTuple):
    """What is handed on: closed bars and trades in their order, and the newest running bar, book and quote of each."""

    bars: list[KlineEvent]
    trades: list[AggTradeEvent]
    latest: list[MarketEvent]


class Lane:
    """One symbol: what is not drained yet, how far its ids have come, and when it last said something new."""

    __slots__ = (
        *("symbol", "quote", "book", "bar", "is_dirty", "closed"),
        *("quote_id", "book_id", "trade_id", "trade_ms", "bar_event_ms", "closed_ms"),
        *("event_ms", "moved_mono_ms", "priced_mono_ms", "priced_after_ms"),
    )

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.quote: BookTickerEvent | None = None
        self.book: DepthEvent | None = None
        self.bar: KlineEvent | None = None
        self.is_dirty = False
        self.closed: deque[KlineEvent] = deque(maxlen=KEPT_CLOSED)
        self.quote_id = self.book_id = self.trade_id = -1
        self.trade_ms = self.bar_event_ms = self.closed_ms = NEVER
        self.event_ms = NEVER  # the newest time that the exchange itself stated
        self.moved_mono_ms = NEVER  # when that time last moved
        self.priced_mono_ms = NEVER  # when a quote or book last arrived
        self.priced_after_ms = NEVER  # the exchange's time just before it: it is no older than that

    def forget_update_ids(self) -> None:
        """Another connection may count the states of the book anew."""
        self.quote_id = self.book_id = -1


class Lanes:
    """The events of every followed symbol between the reader and whoever drains them."""

    def __init__(self, symbols: Iterable[str], *, interval_ms: int, backlog: int, late_ms: int) -> None:
        self._lanes = {symbol: Lane(symbol) for symbol in symbols}
        self._interval_ms = interval_ms
        self._slack_ms = max(60_000, 2 * interval_ms)
        self._late_ms = late_ms
        self._backlog = backlog
        self._trades: deque[AggTradeEvent] = deque()
        self._bars: deque[KlineEvent] = deque()
        self._dirty: list[Lane] = []
        self._gaps: dict[tuple[str, Literal["trades", "bars"]], tuple[int, int]] = {}
        self.moved_mono_ms = NEVER  # when the exchange's time last moved for any symbol
        self.timely_mono_ms = NEVER  # when an event last came that was not late
        self.dropped = 0  # no room
        self.conflated = 0  # overtaken by something newer before it was drained
        self.duplicates = 0  # told before
        self.foreign = 0  # of a symbol that nobody follows

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __getitem__(self, symbol: str) -> Lane:
        return self._lanes[symbol]

    @property
    def backlog(self) -> int:
        """Trades and closed bars that wait."""
        return len(self._trades) + len(self._bars)

    def quote(self, event: BookTickerEvent, mono_ms: int, ts_ms: int) -> None:
        lane = self._lanes.get(event.symbol)
        if lane is None:
            self.foreign += 1
        elif event.update_id <= lane.quote_id:
            self.duplicates += 1
        else:
            if lane.quote is not None:
                self.conflated += 1
            elif not lane.is_dirty:
                lane.is_dirty = True
                self._dirty.append(lane)
            lane.quote = event
            lane.quote_id = event.update_id
            lane.priced_mono_ms = mono_ms
            lane.priced_after_ms = lane.event_ms

    def book(self, event: DepthEvent, mono_ms: int, ts_ms: int) -> None:
        lane = self._lanes.get(event.symbol)
        if lane is None:
            self.foreign += 1
        elif event.update_id <= lane.book_id:
            self.duplicates += 1
        else:
            if lane.book is not None:
                self.conflated += 1
            elif not lane.is_dirty:
                lane.is_dirty = True
                self._dirty.append(lane)
            lane.book = event
            lane.book_id = event.update_id
            lane.priced_mono_ms = mono_ms
            lane.priced_after_ms = lane.event_ms

    def trade(self, event: AggTradeEvent, mono_ms: int, ts_ms: int) -> None:
        lane = self._lanes.get(event.symbol)
        if lane is None:
            self.foreign += 1
            return
        trade_id, expected = event.trade_id, lane.trade_id + 1
        if trade_id != expected and expected:
            # An older id with a newer time: the exchange counts anew.
            if trade_id < expected and event.trade_ms <= lane.trade_ms:
                self.duplicates += 1
                return
            if trade_id > expected:
                self._miss(event.symbol, "trades", expected, trade_id - 1)
        lane.trade_id = trade_id
        if ts_ms <= 0 or event.trade_ms <= ts_ms + self._slack_ms:
            lane.trade_ms = event.trade_ms
        if lane.event_ms < event.event_ms:
            self._move(lane, event.event_ms, mono_ms, ts_ms)
        if len(self._trades) >= self._backlog:
            lost = self._trades.popleft()
            self._lose(lost.symbol, "trades", lost.trade_id)
        self._trades.append(event)

    def kline(self, event: KlineEvent, mono_ms: int, ts_ms: int) -> None:
        lane = self._lanes.get(event.symbol)
        if lane is None:
            self.foreign += 1
            return
        if lane.event_ms < event.event_ms:
            self._move(lane, event.event_ms, mono_ms, ts_ms)
        if event.closed:
            self._close(lane, event)
        elif event.event_ms <= lane.bar_event_ms or event.open_time_ms <= lane.closed_ms:
            self.duplicates += 1
        else:
            if lane.bar is not None:
                self.conflated += 1
            elif not lane.is_dirty:
                lane.is_dirty = True
                self._dirty.append(lane)
            lane.bar = event
            lane.bar_event_ms = min(event.event_ms, lane.event_ms)

    def drain(self) -> Drained:
        """Everything that is news since the last call."""
        latest: list[MarketEvent] = []
        for lane in self._dirty:
            latest += [event for event in (lane.bar, lane.book, lane.quote) if event is not None]
            lane.bar = lane.book = lane.quote = None
            lane.is_dirty = False
        drained = Drained(list(self._bars), list(self._trades), latest)
        self._dirty.clear()
        self._bars.clear()
        self._trades.clear()
        return drained

    def take_gaps(self) -> list[Gapped]:
        """What was found missing since the last call, one stretch per symbol and kind that covers all of it."""
        gaps = [Gapped(symbol, kind, *span) for (symbol, kind), span in self._gaps.items()]
        self._gaps.clear()
        return gaps

    def begin_anew(self, *, is_seamless: bool) -> None:
        """Another connection speaks from now on; with a hole before it, its times are believed afresh."""
        for lane in self:
            lane.forget_update_ids()
            if not is_seamless:
                lane.event_ms = NEVER

    def _close(self, lane: Lane, event: KlineEvent) -> None:
        values = event[3:]
        if any(seen[3:] == values for seen in lane.closed):
            self.duplicates += 1
            return
        opened = event.open_time_ms
        # A bar from the future is handed on to be judged; it must not make all that lies before it look missing.
        if lane.closed_ms < opened <= event.event_ms <= lane.event_ms:
            if lane.closed_ms != NEVER and opened > lane.closed_ms + self._interval_ms:
                self._miss(event.symbol, "bars", lane.closed_ms + self._interval_ms, opened - self._interval_ms)
            lane.closed_ms = opened
            if lane.bar is not None and lane.bar.open_time_ms <= opened:
                lane.bar = None
                self.conflated += 1
        lane.closed.append(event)
        if len(self._bars) >= self._backlog:
            lost = self._bars.popleft()
            self._lose(lost.symbol, "bars", lost.open_time_ms)
        self._bars.append(event)

    def _move(self, lane: Lane, event_ms: int, mono_ms: int, ts_ms: int) -> None:
        """The exchange's time went on. One that is far ahead of the market's is not believed."""
        if ts_ms <= 0 or event_ms <= ts_ms + self._slack_ms:
            lane.event_ms = event_ms
            lane.moved_mono_ms = self.moved_mono_ms = mono_ms
            if event_ms >= ts_ms - self._late_ms:
                self.timely_mono_ms = mono_ms

    def _lose(self, symbol: str, kind: Literal["trades", "bars"], at: int) -> None:
        self.dropped += 1
        self._miss(symbol, kind, at, at)

    def _miss(self, symbol: str, kind: Literal["trades", "bars"], from_: int, until: int) -> None:
        known = self._gaps.get((symbol, kind))
        self._gaps[symbol, kind] = (from_, until) if known is None else (min(known[0], from_), max(known[1], until))
