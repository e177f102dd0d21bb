"""May this address ask again, or has it used up its weight?"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WEIGHT_LIMIT = 6_000
CONNECTION_LIMIT = 300
CONNECTION_WINDOW_S = 300.0
_MINUTE_S = 60.0
_TOLERATED_AFTER_429 = 10
_FIRST_BAN_S = 120.0
_LONGEST_BAN_S = 3 * 86_400.0


@dataclass
class Usage:
    """What one address has used in the running minute, and whether it is banned."""

    minute: int = -1
    weight: int = 0
    refused: int = 0
    banned_until: float = 0.0
    next_ban_s: float = 0.0


@dataclass(frozen=True)
class Refusal:
    """An answer of 429 or 418 and the seconds to wait."""

    status: int
    message: str
    retry_after_s: int


class WeightLimits:
    """Weights per address and wall minute: above the limit 429, and for those who go on, 418 with growing bans."""

    def __init__(
        self, limit: int = WEIGHT_LIMIT, *, first_ban_s: float = _FIRST_BAN_S, clock: Callable[[], float] = time.time
    ) -> None:
        self.limit = limit
        self._first_ban_s = first_ban_s
        self._clock = clock
        self._usage: dict[str, Usage] = {}

    def spend(self, address: str, weight: int) -> tuple[int, Refusal | None]:
        """Charge a request. Returns the weight used in this minute, and the refusal if there is one."""
        now = self._clock()
        usage = self._usage.setdefault(address, Usage(next_ban_s=self._first_ban_s))
        if now < usage.banned_until:
            return usage.weight, _banned(usage, now)
        minute = int(now // _MINUTE_S)
        if minute != usage.minute:
            usage.minute, usage.weight, usage.refused = minute, 0, 0
        usage.weight += weight
        if usage.weight <= self.limit:
            return usage.weight, None
        usage.refused += 1
        if usage.refused > _TOLERATED_AFTER_429:
            usage.banned_until = now + usage.next_ban_s
            usage.next_ban_s = min(usage.next_ban_s * 4.0, _LONGEST_BAN_S)
            return usage.weight, _banned(usage, now)
        message = (
            f"Too much request weight used; current limit is {self.limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return usage.weight, Refusal(429, message, int((minute + 1) * _MINUTE_S - now) + 1)


def _banned(usage: Usage, now: float) -> Refusal:
    message = (
        f"Way too much request weight used; IP banned until {int(usage.banned_until * 1000)}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return Refusal(418, message, int(usage.banned_until - now) + 1)


class ConnectionLimits:
    """Attempts to connect per address in any five minutes."""

    def __init__(
        self,
        limit: int = CONNECTION_LIMIT,
        *,
        window_s: float = CONNECTION_WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._attempts: dict[str, deque[float]] = {}

    def admits(self, address: str) -> bool:
        """Count an attempt; refused ones count too."""
        now = self._clock()
        attempts = self._attempts.setdefault(address, deque())
        while attempts and attempts[0] <= now - self._window_s:
            attempts.popleft()
        attempts.append(now)
        return len(attempts) <= self._limit
