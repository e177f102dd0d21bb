"""What time is it on the market? The exchange's own time, carried on by a monotonic clock between its messages.

The clock never steps back: where it ran ahead it holds. A market known to be live runs at speed 1, and only the
server's own answer may set the clock: if a line that is late by seconds could slow it, old prices would pass for new
ones, and one frame from the future would make all that follows look old. Messages may but nudge it: forward by little,
backward no faster than a quartz drifts.

Where the market may be a replay, messages decide. At speed 1 one that took long to arrive must not slow the clock, so
the freshest of the last seconds decide its offset. A replayed market runs faster, at a speed that changes; its messages
come from this machine without delay, so the latest one is the time. Its speed is the slowest of the last steps and of
the last second: neither a jump of the market nor a burst of messages after a stall makes the clock bolt. Either way the
clock goes on when messages stop: data then grows old.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from apps.engine.errors import Unavailable

STEP_S = 0.01  # messages closer together than this count as one step
STEPS = 3
RATE_MEMORY_S = 1.0
ACCELERATED = 1.5  # below this, a difference in speed is jitter
OFFSET_MEMORY_S = 5.0
BELIEVED_AHEAD_MS = 5_000  # a message further ahead of a live clock is a mistake, or the clock is
DRIFT = 0.0005  # more than any quartz


class MarketClock:
    """Market time in epoch milliseconds. Thread-safe. `max_rate=1` is for markets known to be live."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic, max_rate: float = 1_000_000.0) -> None:
        self._monotonic = monotonic
        self._max_rate = max_rate
        self._is_live = max_rate <= 1.0
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._anchor: tuple[float, float] | None = None  # (monotonic s, market ms) that the clock runs from
        self._rate = 1.0
        self._shown_ms = 0
        self._steps: deque[tuple[float, int]] = deque()
        self._window_start = 0.0
        self._least_lead_ms = float("inf")

    @property
    def is_set(self) -> bool:
        """Whether the market's time is known at all."""
        return self._anchor is not None

    @property
    def rate(self) -> float:
        """Market milliseconds per millisecond of this machine."""
        with self._lock:
            return self._rate

    def now_ms(self) -> int:
        """Market time; never less than an earlier answer. Raises Unavailable before the first observation."""
        with self._lock:
            if self._anchor is None:
                raise Unavailable("the market's time is not known yet")
            self._shown_ms = max(self._shown_ms, int(self._projected(self._monotonic())))
            return self._shown_ms

    def observe_server(self, server_ms: int) -> None:
        """Take in the exchange's answer to the question what time it is."""
        if not self._is_live:
            self.observe(server_ms)
            return
        with self._lock:
            self._set_anchor(self._monotonic(), server_ms)

    def observe(self, event_ms: int) -> None:
        """Take in a time that a message of the exchange stated."""
        with self._lock:
            now_s = self._monotonic()
            if self._anchor is None:
                self._set_anchor(now_s, event_ms)
                self._steps.append((now_s, event_ms))
                return
            if self._is_live:
                self._nudge(now_s, event_ms)
                return
            is_latest = event_ms > self._steps[-1][1]
            if is_latest and now_s - self._steps[-1][0] >= STEP_S:
                self._step(now_s, event_ms)
            if self._rate == 1.0:
                self._follow_freshest(now_s, event_ms)
            elif is_latest and event_ms > self._anchor[1]:
                self._set_anchor(now_s, event_ms)

    def _projected(self, now_s: float) -> float:
        assert self._anchor is not None
        anchor_s, anchor_ms = self._anchor
        return anchor_ms + (now_s - anchor_s) * 1000.0 * self._rate

    def _set_anchor(self, now_s: float, market_ms: float) -> None:
        self._anchor = (now_s, market_ms)
        self._window_start, self._least_lead_ms = now_s, float("inf")

    def _nudge(self, now_s: float, event_ms: int) -> None:
        lead_ms = self._projected(now_s) - event_ms
        if lead_ms < 0:
            if lead_ms >= -BELIEVED_AHEAD_MS:
                self._set_anchor(now_s, event_ms)
            return
        self._least_lead_ms = min(self._least_lead_ms, lead_ms)
        elapsed_s = now_s - self._window_start
        if elapsed_s >= OFFSET_MEMORY_S:
            back_ms = min(self._least_lead_ms, elapsed_s * 1000.0 * DRIFT)
            self._set_anchor(now_s, self._projected(now_s) - back_ms)

    def _follow_freshest(self, now_s: float, event_ms: int) -> None:
        lead_ms = self._projected(now_s) - event_ms
        if lead_ms <= 0:
            self._set_anchor(now_s, event_ms)
            return
        self._least_lead_ms = min(self._least_lead_ms, lead_ms)
        if now_s - self._window_start >= OFFSET_MEMORY_S:
            self._set_anchor(now_s, self._projected(now_s) - self._least_lead_ms)

    def _step(self, now_s: float, event_ms: int) -> None:
        self._steps.append((now_s, event_ms))
        while len(self._steps) > STEPS + 1 and now_s - self._steps[1][0] > RATE_MEMORY_S:
            self._steps.popleft()
        rate = self._measured_rate()
        if rate != self._rate:
            self._set_anchor(now_s, event_ms)
            self._rate = rate

    def _measured_rate(self) -> float:
        if len(self._steps) <= STEPS:
            return 1.0
        last = list(self._steps)[-STEPS - 1 :]
        spans = [(last[at], last[at + 1]) for at in range(STEPS)] + [(self._steps[0], self._steps[-1])]
        slowest = min((late[1] - early[1]) / ((late[0] - early[0]) * 1000.0) for early, late in spans)
        return min(slowest, self._max_rate) if slowest >= ACCELERATED else 1.0
