"""What an exchange tells about one symbol, and the line it travels on: the pieces of a simulated world."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from apps.engine.stream_events import (
    AggTradeEvent,
    BookTickerEvent,
    ControlEvent,
    DepthEvent,
    KlineEvent,
    MarketEvent,
    ShutdownEvent,
)

INTERVAL_MS = 10_000
PING_MS, LIFE_MS = 20_000, 1_800_000


class Sent(NamedTuple):
    """An event on its way: when it reaches the core, and when the exchange said it."""

    due_ms: int
    event: MarketEvent | ShutdownEvent | ControlEvent


class Source:
    """The truth of one symbol."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.trade_id = 1_000
        self.update_id = 10
        self.quoted_at: dict[int, int] = {}
        self.bars: dict[int, KlineEvent] = {}

    def step(self, n: int, ts_ms: int, is_frozen: bool) -> list[MarketEvent]:
        """What the exchange tells at this step. A frozen one repeats its quotes and states no new time."""
        self.update_id += 1
        price = 10_000_000_000 + self.update_id * 1_000
        self.quoted_at[self.update_id] = ts_ms
        told: list[MarketEvent] = [BookTickerEvent(self.symbol, self.update_id, price, 1, price + 1_000, 1)]
        if n % 4 == 0:
            told.append(DepthEvent(self.symbol, self.update_id, ((price, 1),), ((price + 1_000, 1),)))
        if is_frozen:
            return told
        if n % 2:
            self.trade_id += 1
            told.append(AggTradeEvent(self.symbol, ts_ms, self.trade_id, price, 1, ts_ms, False))
        opened = ts_ms // INTERVAL_MS * INTERVAL_MS
        if ts_ms % INTERVAL_MS == 0:
            self.bars[opened - INTERVAL_MS] = self._bar(opened - INTERVAL_MS, ts_ms, price, closed=True)
            told.append(self.bars[opened - INTERVAL_MS])
        elif n % 8 == 0:
            told.append(self._bar(opened, ts_ms, price, closed=False))
        return told

    def _bar(self, opened: int, ts_ms: int, price: int, *, closed: bool) -> KlineEvent:
        ends = opened + INTERVAL_MS - 1
        return KlineEvent(self.symbol, ts_ms, "10s", opened, ends, price, price, price, price, 1, 1, closed)


class Line:
    """One connection between the exchange and the core."""

    def __init__(self, conn: int, mono_ms: int) -> None:
        self.conn = conn
        self.opened_ms = mono_ms
        self.queue: deque[Sent] = deque()
        self.held: MarketEvent | None = None
        self.left = dict.fromkeys(("lose", "duplicate", "reorder", "swallow-pong"), 0)
        self.latency_ms = 0
        self.stalled_until = 0
        self.is_silent = self.is_half_open = False
        self.ends_ms = mono_ms + LIFE_MS
        self.muted: set[str] = set()
        self.next_ping_ms = mono_ms + PING_MS
        self.unanswered: dict[bytes, int] = {}
        self.said_ms: list[int] = []

    def spend(self, name: str) -> bool:
        has_any = self.left[name] > 0
        self.left[name] -= has_any
        return has_any

    def put(self, events: list[MarketEvent], now_ms: int) -> None:
        """Take the exchange's events on their way, whatever happens to them."""
        due = now_ms + self.latency_ms
        for event in events:
            if event.symbol in self.muted or self.spend("lose"):
                continue
            if self.held is not None:
                self.queue += (Sent(due, event), Sent(due, self.held))
                self.held = None
            elif self.spend("reorder"):
                self.held = event
            else:
                self.queue.append(Sent(due, event))
                if self.spend("duplicate"):
                    self.queue.append(Sent(due, event))
