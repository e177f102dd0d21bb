"""What time is it at the exchange, and when does the next moment come?

Real time follows this machine's clock. A recorded market has its own: it advances only when the server has sent what
the last step brought, so that clock and frames cannot part.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple

from apps.marketdata.exchange.simulated.book import TICK_MS
from apps.marketdata.exchange.simulated.recorded import RecordedMarket

SLOW_MS = 2_000
SLOW_SPEED = 10.0
_STEPS_PER_JUMP = 5
_BEFORE_CLOSE_MS = (1_000, 200)
# At high speed a step covers this much wall time, so that the server is not woken for every 100 ms of the market.
_STEP_WALL_S = 0.01


class Step(NamedTuple):
    """The next moment to show, and how long to wait (in wall seconds) before showing it."""

    ts_ms: int
    wait_s: float


class RealClock:
    """The machine's UTC time plus an offset."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    async def next_tick(self) -> int:
        """Sleep to the next multiple of 100 ms and say which time it is then."""
        now = time.time_ns() / 1e6 + self.offset_ms
        target = (int(now) // TICK_MS + 1) * TICK_MS
        await asyncio.sleep((target - now) / 1000.0)
        while self.now_ms() < target:
            await asyncio.sleep(0.0005)
        return self.now_ms()


class RecordedClock:
    """Market time of a recorded file: at most 10x for 2 s after every close, then `speed`x; 0 jumps."""

    def __init__(self, market: RecordedMarket, *, history: int, speed: float) -> None:
        self._market = market
        self._first_row = history
        self._speed = speed
        self._now_ms = market.ends[history - 1]
        self._steps = self._all_steps()
        self._due = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    async def next_tick(self) -> int | None:
        """Wait for the next step and take it. None when the file is over."""
        step = next(self._steps, None)
        if step is None:
            return None
        # Sleeps add up from one due time, not from waking, unless the server has fallen behind.
        now = time.monotonic()
        self._due = max(self._due + step.wait_s, now - 0.05)
        await asyncio.sleep(max(self._due - now, 0.0))
        self._now_ms = step.ts_ms
        return step.ts_ms

    def _all_steps(self) -> Iterator[Step]:
        now = self._now_ms
        for row in range(self._first_row, self._market.n):
            slow_end = min(now + SLOW_MS, self._market.ends[row])
            yield from _run(now, slow_end, min(self._speed, SLOW_SPEED) if self._speed > 0 else SLOW_SPEED)
            opened = max(self._market.open_at(row), slow_end)
            yield from self._fast(slow_end, opened, jumps=0)
            yield from self._fast(opened, self._market.ends[row], jumps=_STEPS_PER_JUMP)
            now = self._market.ends[row]
        yield from _run(now, now + SLOW_MS, SLOW_SPEED)

    def _fast(self, start_ms: int, stop_ms: int, *, jumps: int) -> Iterator[Step]:
        """From start to stop at speed, or by a few jumps of which the last stop shortly before the end."""
        if stop_ms <= start_ms:
            return
        if self._speed > 0:
            yield from _run(start_ms, stop_ms, self._speed)
            return
        span = stop_ms - start_ms
        marks = {start_ms + span * number // (jumps + 1) for number in range(1, jumps + 1)}
        marks |= {stop_ms - before for before in _BEFORE_CLOSE_MS if jumps and before < span}
        for mark in sorted(marks | {stop_ms}):
            yield Step(mark, 0.0)


def _run(start_ms: int, stop_ms: int, speed: float) -> Iterator[Step]:
    """Steps from start (excluded) to stop (included) on the grid of book changes."""
    stride = max(TICK_MS, int(speed * _STEP_WALL_S * 1000) // TICK_MS * TICK_MS)
    now = start_ms
    while now < stop_ms:
        reached = min(now // stride * stride + stride, stop_ms)
        yield Step(reached, (reached - now) / 1000.0 / speed)
        now = reached
