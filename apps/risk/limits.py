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
    """One limit: its bounds, the setting it starts from, and whether a lower value is the tighter one.

    `is_off_at_zero`: 0 switches the rule off, which is looser than any other value.
    """

    name: str
    low: int
    high: int
    is_tighter_lower: bool
    from_settings: Callable[[], int]
    is_off_at_zero: bool = False

    def check(self, value: object) -> int:
        """The value as it may be kept. Raises InvalidInput naming the limit."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput("must be a whole number", field=self.name)
        if not self.low <= value <= self.high:
            raise InvalidInput(f"must be between {self.low} and {self.high}", field=self.name)
        return value

    def is_looser(self, value: int, than: int) -> bool:
        if self.is_off_at_zero and 0 in (value, than):
            return value == 0 != than
        return value > than if self.is_tighter_lower else value < than


def _e8(setting: str) -> Callable[[], int]:
    def read() -> int:
        count = Decimal(getattr(settings, setting)) * E8
        if count != int(count):
            raise InvalidInput(f"{setting} has more than 8 decimals")
        return int(count)

    return read


def _bps(setting: str) -> Callable[[], int]:
    def read() -> int:
        count = Decimal(getattr(settings, setting)) * 10_000
        if count != int(count):
            raise InvalidInput(f"{setting} has more than 4 decimals")
        return int(count)

    return read


def _minutes(setting: str) -> Callable[[], int]:
    return lambda: int(getattr(settings, setting)) * MINUTE_MS


def _count(setting: str) -> Callable[[], int]:
    return lambda: int(getattr(settings, setting))


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
        Limit("order_cap_e8", 0, MAX_INTEGER, True, _e8("MAX_ORDER_NOTIONAL"), is_off_at_zero=True),
        Limit("hard_drawdown_bps", 0, 10_000, True, _bps("HARD_DD"), is_off_at_zero=True),
        Limit("daily_loss_bps", 0, 10_000, True, _bps("DAILY_LOSS"), is_off_at_zero=True),
        Limit("repeat_orders", 0, 1_000, True, _count("REPEAT_ORDERS"), is_off_at_zero=True),
        Limit("collar_bps", 0, 10_000, True, _bps("PRICE_COLLAR"), is_off_at_zero=True),
        Limit(
            *("filters_stale_after_ms", 0, 365 * DAY_MS, True),
            lambda: int(settings.FILTERS_STALE_HOURS) * 60 * MINUTE_MS,
            is_off_at_zero=True,
        ),
        Limit("cooldown_ms", 0, 30 * DAY_MS, False, _minutes("COOLDOWN_MINUTES")),
        Limit("stop_guard_trades", 0, 64, True, _count("STOPLOSS_GUARD_TRADES"), is_off_at_zero=True),
        Limit("stop_guard_window_ms", MINUTE_MS, 30 * DAY_MS, False, _minutes("STOPLOSS_GUARD_LOOKBACK_MINUTES")),
        Limit("stop_guard_pause_ms", MINUTE_MS, 30 * DAY_MS, False, _minutes("STOPLOSS_GUARD_MINUTES")),
        Limit("low_profit_trades", 0, 64, True, _count("LOW_PROFIT_TRADES"), is_off_at_zero=True),
        Limit("low_profit_bps", -10_000, 10_000, False, _bps("LOW_PROFIT")),
        Limit("low_profit_window_ms", MINUTE_MS, 30 * DAY_MS, False, _minutes("LOW_PROFIT_LOOKBACK_MINUTES")),
        Limit("low_profit_pause_ms", MINUTE_MS, 30 * DAY_MS, False, _minutes("LOW_PROFIT_MINUTES")),
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
