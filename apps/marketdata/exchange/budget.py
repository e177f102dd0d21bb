"""May the next request go out now? Keeps the weight of a minute below the exchange's limit, and honors bans."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apps.engine.errors import Unavailable

MINUTE_S = 60.0
DEFAULT_LIMIT = 6_000
KEPT_FREE = 0.1  # other programs behind the same address have requests of their own


class WeightBudget:
    """Weight used in the running minute, as we count it and as the exchange's header corrects it."""

    def __init__(self, *, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._minute = 0
        self._banned_until = 0.0
        self.used = 0
        self.limit = DEFAULT_LIMIT

    def wait_s(self, weight: int) -> float:
        """Seconds until a request of this weight may go out. Raises Unavailable while a ban lasts."""
        left = self._banned_until - self._monotonic()
        if left > 0:
            raise Unavailable(f"the exchange has banned this address for another {left:.0f} s")
        self._roll()
        if self.used + weight <= self.limit * (1 - KEPT_FREE) or self.used == 0:
            return 0.0
        return MINUTE_S - self._wall() % MINUTE_S + 0.05

    def spend(self, weight: int) -> None:
        self._roll()
        self.used += weight

    def correct(self, headers: Mapping[str, str]) -> None:
        """Take over the exchange's own count, which knows of requests that were not ours."""
        text = headers.get("x-mbx-used-weight-1m", "")
        if text.isascii() and text.isdecimal() and len(text) < 10:
            self._roll()
            self.used = int(text)

    def ban(self, seconds: float) -> None:
        self._banned_until = max(self._banned_until, self._monotonic() + seconds)

    def _roll(self) -> None:
        minute = int(self._wall() // MINUTE_S)
        if minute != self._minute:
            self._minute, self.used = minute, 0
