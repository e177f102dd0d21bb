"""How does a number read on screen? Grouped, signed where the sign matters, with its unit, never a bare None."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from apps.engine.values import E8
from apps.web.values import iso_ms

MISSING = "—"
MINUS = "\u2212"
NARROW_SPACE = "\u202f"
UP, DOWN, FLAT = "up", "down", "flat"
ARROWS = {UP: "▲", DOWN: "▼", FLAT: "■"}


def is_number(value: Any) -> bool:
    """Whether this can be shown as a number: not missing, not text, finite."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def decimal_e8(count: Any, places: int | None = None) -> str:
    """A count of 1e-8 as grouped decimal text: exact and trimmed, or rounded half away from zero to `places`."""
    if not is_number(count):
        return MISSING
    if places is None:
        whole, fraction = divmod(abs(int(count)), E8)
        digits = f"{fraction:08d}".rstrip("0")
        is_negative = count < 0
    else:
        unit = 10 ** (8 - places)
        rounded = (abs(int(count)) + unit // 2) // unit
        whole, fraction = divmod(rounded, 10**places)
        digits = f"{fraction:0{places}d}" if places else ""
        is_negative = count < 0 and rounded > 0
    return (MINUS if is_negative else "") + f"{whole:,}" + (f".{digits}" if digits else "")


def money(count: Any, currency: str = "USDT", *, signed: bool = False) -> str:
    """A count of 1e-8 of a currency, to the cent, with the currency behind it."""
    text = decimal_e8(count, 2)
    return MISSING if text == MISSING else f"{_plus(text) if signed else text} {currency}"


def price(count: Any) -> str:
    """A price: at least two decimals, and as many more as it has."""
    text = decimal_e8(count)
    if text == MISSING:
        return text
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.ljust(2, '0')}"


def number(value: Any, places: int = 2, *, signed: bool = False) -> str:
    """A statistic, grouped, to `places` decimals."""
    if not is_number(value):
        return MISSING
    text = f"{abs(value):,.{places}f}"
    is_negative = value < 0 and any(digit in "123456789" for digit in text)
    text = (MINUS if is_negative else "") + text
    return _plus(text) if signed else text


def percent(fraction: Any, places: int = 2, *, signed: bool = False) -> str:
    """A fraction as per cent: 0.0125 reads 1.25 %."""
    return MISSING if not is_number(fraction) else f"{number(fraction * 100, places, signed=signed)}{NARROW_SPACE}%"


def bps(value: Any, *, signed: bool = False) -> str:
    """Basis points: whole ones as they are, others to one decimal."""
    if not is_number(value):
        return MISSING
    places = 0 if float(value).is_integer() else 1
    return f"{number(value, places, signed=signed)} bps"


def age(duration_ms: Any) -> str:
    """How long ago, in the largest unit that says enough: 4 s, 2 min, 3 h, 5 d."""
    if not is_number(duration_ms):
        return MISSING
    seconds = max(0, int(duration_ms)) // 1000
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"


def time_short(ts_ms: Any) -> str:
    """The time of day in UTC: 14:03:07."""
    return iso_ms(int(ts_ms))[11:19] if is_number(ts_ms) else MISSING


def date_time(ts_ms: Any) -> str:
    """Date and time in UTC: 2026-01-31 14:03:07."""
    return iso_ms(int(ts_ms))[:19].replace("T", " ") if is_number(ts_ms) else MISSING


def hash_short(text: Any) -> str:
    """Enough of a hash to recognize it."""
    return str(text)[:10] if text else MISSING


def tone(value: Any) -> str:
    """The class for a signed number: up, down or flat. Also for a side: buy is up, sell is down."""
    if isinstance(value, str):
        return {"buy": UP, "sell": DOWN}.get(value.lower(), FLAT)
    if not is_number(value) or value == 0:
        return FLAT
    return UP if value > 0 else DOWN


def pretty_json(value: Any) -> str:
    """Indented JSON for reading; a text that already is JSON is indented anew."""
    if isinstance(value, str | bytes):
        value = json.loads(value)
    return json.dumps(value, indent=2, ensure_ascii=False)


def finite(values: Iterable[Any]) -> list[float]:
    """The values that are numbers, in their order."""
    return [float(value) for value in values if is_number(value)]


def points(heights: Sequence[float], width: int, height: int) -> str:
    """The `points` of an SVG polyline through two or more values, scaled to the box."""
    low, high = min(heights), max(heights)
    span, step = (high - low) or 1.0, width / (len(heights) - 1)
    margin = 1.5
    room = height - 2 * margin
    return " ".join(
        f"{index * step:.1f},{margin + room * (1 - (value - low) / span):.1f}" for index, value in enumerate(heights)
    )


def _plus(text: str) -> str:
    is_zero = not any(digit in "123456789" for digit in text)
    return text if is_zero or text.startswith(MINUS) else f"+{text}"
