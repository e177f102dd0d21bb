"""How often may the stream connect, how long does it wait before it tries again, and how much may it say?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MESSAGE_WINDOW_MS = 1_000


class ConnectBudget:
    """At most n connections in any window."""

    def __init__(self, n: int, window_ms: int) -> None:
        self._times: deque[int] = deque(maxlen=n)
        self._window_ms = window_ms

    def book(self, at_mono_ms: int) -> int:
        """The first moment from `at_mono_ms` on that the budget allows, which is thereby spent."""
        if len(self._times) == self._times.maxlen:
            at_mono_ms = max(at_mono_ms, self._times[0] + self._window_ms + 1)
        at_mono_ms = max(at_mono_ms, self._times[-1]) if self._times else at_mono_ms
        self._times.append(at_mono_ms)
        return at_mono_ms


class Backoff:
    """Full jitter: anything between nothing and a ceiling that doubles with each failure. It never gives up."""

    def __init__(self, base_ms: int, cap_ms: int, uniform: Callable[[], float]) -> None:
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._uniform = uniform
        self.failures = 0

    def next_ms(self) -> int:
        """The wait after one more failure."""
        ceiling = min(self._cap_ms, self._base_ms * 2 ** min(self.failures, 30))
        self.failures += 1
        return int(self._uniform() * ceiling)

    def planned_ms(self) -> int:
        """The wait before a connection that is not due to a failure: none, unless it follows on another."""
        if self.failures:
            return self.next_ms()
        self.failures = 1
        return 0

    def reset(self) -> None:
        self.failures = 0


class MessageBudget:
    """At most n messages in any sliding second of one connection. Pongs may use all of it, the rest leaves one free."""

    def __init__(self, n: int) -> None:
        self._times: deque[int] = deque(maxlen=n)

    def allows(self, mono_ms: int, *, is_pong: bool = False) -> bool:
        n = self._times.maxlen or 0
        recent = sum(mono_ms - at <= MESSAGE_WINDOW_MS for at in self._times)
        return recent < (n if is_pong else n - 1)

    def spend(self, mono_ms: int) -> None:
        self._times.append(mono_ms)
