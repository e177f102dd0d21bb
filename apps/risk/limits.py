"""Which limits are there, what may they be, and which direction is the safe one?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings

from apps.engine.codec import MAX_INTEGER
from apps.engine.errors import InvalidInput, UnknownName
from apps.engine.values import E8

MINUTE_MS = 60_000
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Limit:
    """One limit: its bounds, the setting it starts from, and whether a lower value is the tighter one."""

    name: str
    low: int
    high: int
    is_tighter_lower: bool
    from_settings: Callable[[], int]

    def check(self, value: object) -> int:
        """The value as it may be kept. Raises InvalidInput naming the limit."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput("must be a whole number", field=self.name)
        if not self.low <= value <= self.high:
            raise InvalidInput(f"must be between {self.low} and {self.high}", field=self.name)
        return value

    def is_looser(self, value: int, than: int) -> bool:
        return value > than if self.is_tighter_lower else value < than


def _e8(setting: str) -> Callable[[], int]:
    def read() -> int:
        count = Decimal(getattr(settings, setting)) * E8
        if count != int(count):
            raise InvalidInput(f"{setting} has more than 8 decimals")
        return int(count)

    return read


LIMITS: dict[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit("max_notional_e8", 1, MAX_INTEGER, True, _e8("MAX_NOTIONAL")),
        Limit("symbol_notional_cap_e8", 1, MAX_INTEGER, True, _e8("SYMBOL_NOTIONAL_CAP")),
        Limit("max_drawdown_bps", 1, 10_000, True, lambda: int(settings.MAX_DD_BPS)),
        # A longer window looks back to higher equity, so it trips sooner.
        Limit("drawdown_window_trades", 1, 512, False, lambda: int(settings.DRAWDOWN_WINDOW_TRADES)),
        Limit("breaker_ms", MINUTE_MS, 30 * DAY_MS, False, lambda: int(settings.BREAKER_MINUTES) * MINUTE_MS),
        Limit("orders_per_minute", 1, 60, True, lambda: int(settings.ORDERS_PER_MINUTE)),
        Limit("stale_after_ms", 1, DAY_MS, True, lambda: int(settings.STALE_AFTER_MS)),
    )
}


def limit_get(name: str) -> Limit:
    if name not in LIMITS:
        raise UnknownName(f"unknown limit; known: {', '.join(LIMITS)}", field=name)
    return LIMITS[name]


def limits_from_settings() -> dict[str, int]:
    """What the environment asks for. Raises InvalidInput naming the limit whose setting is out of bounds."""
    return {name: limit.check(limit.from_settings()) for name, limit in LIMITS.items()}


def loosened(changes: Mapping[str, int], current: Mapping[str, int]) -> list[str]:
    """The limits that a change would loosen."""
    return [name for name, value in changes.items() if limit_get(name).is_looser(value, current[name])]
