"""Is the price feed alive? Counters of the stream, and the status that is shown from them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

RATE_WINDOW_S = 10


class FeedStatus(NamedTuple):
    """The answer of /api/ws/status; times are market time in epoch milliseconds."""

    connected: bool
    backlog_size: int
    backlog_limit: int
    last_beat_ms: int | None
    last_message_ms: int | None
    dropped: int
    conflated: int
    reconnects: int
    messages_per_second: float
    stale: bool
    source: str


class FeedState:
    """What the stream counts while it runs. Written by the stream, read from any thread."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_WINDOW_S + 1)
        self.connected = False
        self.source = ""
        self.backlog_size = 0
        self.backlog_limit = 0
        self.last_beat_ms: int | None = None
        self.last_message_ms: int | None = None
        self.last_message_s: float | None = None
        self.messages = 0
        self.malformed = 0
        self.unknown = 0
        self.dropped = 0
        self.conflated = 0
        self.reconnects = 0
        self.conflicting = 0

    def count_message(self, now_ms: int | None) -> None:
        """One frame arrived."""
        self.count_messages(1, now_ms)

    def count_messages(self, n: int, now_ms: int | None) -> None:
        """So many frames arrived together."""
        now_s = self._monotonic()
        second = int(now_s)
        with self._lock:
            self.messages += n
            self.last_message_s = now_s
            self.last_message_ms = now_ms
            if self._seconds and self._seconds[-1][0] == second:
                self._seconds[-1] = (second, self._seconds[-1][1] + n)
            else:
                self._seconds.append((second, n))

    def count_dropped(self, n: int = 1) -> None:
        """Something that arrived was not used: no room, another symbol, or not readable."""
        with self._lock:
            self.dropped += n

    def count_conflated(self, n_skipped: int) -> None:
        """So many changes were overtaken by newer ones before a client saw them."""
        with self._lock:
            self.conflated += n_skipped

    def silent_s(self) -> float:
        """Seconds of this machine since the last frame; infinite when there was none."""
        last = self.last_message_s
        return float("inf") if last is None else self._monotonic() - last

    def messages_per_second(self) -> float:
        """Mean over the last ten full seconds, or as many as there were."""
        now = int(self._monotonic())
        with self._lock:
            counted = [(second, n) for second, n in self._seconds if now - RATE_WINDOW_S <= second < now]
        if not counted:
            return 0.0
        return sum(n for _, n in counted) / (now - counted[0][0])

    def status(self, *, stale: bool, now_ms: int | None) -> FeedStatus:
        """The values to show. A feed that is not connected is stale whatever its last price says."""
        return FeedStatus(
            self.connected,
            *(self.backlog_size, self.backlog_limit, self.last_beat_ms, self.last_message_ms),
            *(self.dropped, self.conflated, self.reconnects, round(self.messages_per_second(), 2)),
            stale or not self.connected or now_ms is None,
            self.source,
        )
