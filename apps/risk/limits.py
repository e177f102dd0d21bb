"""Which limits are there, what may they be, and which direction is the safe one?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings

from apps.engine.codec import MAX_INTEGER
from apps.engine.errors import InvalidInput, UnknownName
from apps.engine.values import E8
from apps.web.values import decimal_text

MINUTE_MS = 60_000
DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS


class Kind(NamedTuple):
    """What a limit counts: its unit for people, counts in one unit of its setting, decimals the setting may have."""

    unit: str
    per_setting: int
    decimals: int


MONEY = Kind("quote currency", E8, 8)
FRACTION = Kind("fraction", 10_000, 4)
COUNT = Kind("count", 1, 0)
MS = Kind("ms", 1, 0)
MINUTES = Kind("ms", MINUTE_MS, 0)
HOURS = Kind("ms", 60 * MINUTE_MS, 0)


@dataclass(frozen=True)
class Limit:
    """One limit: the member of the API that names it, the setting it starts from, its bounds, and its safe direction.

    `is_tighter_lower`: a lower value allows less. `is_off_at_zero`: 0 switches the rule off, looser than anything else.
    """

    name: str
    member: str
    setting: str
    kind: Kind
    low: int
    high: int
    is_tighter_lower: bool = True
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

    def from_settings(self) -> int:
        """What the environment asks for. Raises InvalidInput when it is finer than the limit can be kept."""
        count = Decimal(getattr(settings, self.setting)) * self.kind.per_setting
        if count != int(count):
            raise InvalidInput(f"{self.setting} has more than {self.kind.decimals} decimals", field=self.name)
        return int(count)

    def counted(self, value: Decimal) -> int:
        """What people write, as it is kept. Raises InvalidInput when it is finer than that."""
        count = value * (self.kind.per_setting if self.kind.decimals else 1)
        if count != int(count):
            raise InvalidInput(f"must have at most {self.kind.decimals} decimals", field=self.name)
        return int(count)

    def told(self, value: int) -> str | float | int:
        """The value as people read it: money as a decimal text, basis points as a fraction."""
        if self.kind is MONEY:
            return decimal_text(value)
        return value / FRACTION.per_setting if self.kind is FRACTION else value


LIMITS: dict[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit("max_notional_e8", "max_notional", "MAX_NOTIONAL", MONEY, 1, MAX_INTEGER),
        Limit("symbol_notional_cap_e8", "symbol_notional_cap", "SYMBOL_NOTIONAL_CAP", MONEY, 1, MAX_INTEGER),
        Limit("max_drawdown_bps", "max_drawdown", "MAX_DD", FRACTION, 1, 10_000),
        # A longer window looks back to higher equity, so it trips sooner.
        Limit(
            "drawdown_window_trades",
            "drawdown_window_trades",
            "DRAWDOWN_WINDOW_TRADES",
            COUNT,
            1,
            512,
            is_tighter_lower=False,
        ),
        Limit("breaker_ms", "breaker_ms", "BREAKER_MINUTES", MINUTES, MINUTE_MS, MONTH_MS, is_tighter_lower=False),
        Limit("orders_per_minute", "max_orders_per_minute", "ORDERS_PER_MINUTE", COUNT, 1, 60),
        Limit("stale_after_ms", "stale_after_ms", "STALE_AFTER_MS", MS, 1, DAY_MS),
        Limit("order_cap_e8", "max_order_notional", "MAX_ORDER_NOTIONAL", MONEY, 0, MAX_INTEGER, is_off_at_zero=True),
        Limit("hard_drawdown_bps", "hard_drawdown", "HARD_DD", FRACTION, 0, 10_000, is_off_at_zero=True),
        Limit("daily_loss_bps", "daily_loss", "DAILY_LOSS", FRACTION, 0, 10_000, is_off_at_zero=True),
        Limit("repeat_orders", "repeat_orders", "REPEAT_ORDERS", COUNT, 0, 1_000, is_off_at_zero=True),
        Limit("collar_bps", "price_collar", "PRICE_COLLAR", FRACTION, 0, 10_000, is_off_at_zero=True),
        Limit(
            "filters_stale_after_ms",
            "filters_stale_after_ms",
            "FILTERS_STALE_HOURS",
            HOURS,
            0,
            365 * DAY_MS,
            is_off_at_zero=True,
        ),
        Limit("cooldown_ms", "cooldown_ms", "COOLDOWN_MINUTES", MINUTES, 0, MONTH_MS, is_tighter_lower=False),
        Limit("stop_guard_trades", "stoploss_guard_trades", "STOPLOSS_GUARD_TRADES", COUNT, 0, 64, is_off_at_zero=True),
        Limit(
            "stop_guard_window_ms",
            "stoploss_guard_lookback_ms",
            "STOPLOSS_GUARD_LOOKBACK_MINUTES",
            MINUTES,
            MINUTE_MS,
            MONTH_MS,
            is_tighter_lower=False,
        ),
        Limit(
            "stop_guard_pause_ms",
            "stoploss_guard_ms",
            "STOPLOSS_GUARD_MINUTES",
            MINUTES,
            MINUTE_MS,
            MONTH_MS,
            is_tighter_lower=False,
        ),
        Limit("low_profit_trades", "low_profit_trades", "LOW_PROFIT_TRADES", COUNT, 0, 64, is_off_at_zero=True),
        Limit("low_profit_bps", "low_profit", "LOW_PROFIT", FRACTION, -10_000, 10_000, is_tighter_lower=False),
        Limit(
            "low_profit_window_ms",
            "low_profit_lookback_ms",
            "LOW_PROFIT_LOOKBACK_MINUTES",
            MINUTES,
            MINUTE_MS,
            MONTH_MS,
            is_tighter_lower=False,
        ),
        Limit(
            "low_profit_pause_ms",
            "low_profit_ms",
            "LOW_PROFIT_MINUTES",
            MINUTES,
            MINUTE_MS,
            MONTH_MS,
            is_tighter_lower=False,
        ),
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
