"""How do a record's values read? Decimal texts, counts of 1e-8 and codes as numbers with units and as words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.dashboard import formats
from apps.engine.decision import GATE_FAULTY, GATE_GAP, GATE_INACTIVE, GATE_WARM_UP
from apps.engine.guards import GUARDS
from apps.engine.reasons import TradingState
from apps.engine.values import E8
from apps.web.values import parse_decimal_e8

GATE_WORDS = {
    GATE_WARM_UP: "warming up",
    GATE_GAP: "a gap in its bars",
    GATE_INACTIVE: "not active",
    GATE_FAULTY: "its signal was no number from -1 to 1",
}
FEATURE_WORDS = {
    "one": "Constant",
    "long_momentum": "Return over 96 bars, in its own sd, halved",
    "short_momentum": "Return over 24 bars, in its own sd",
    "variance_ratio": "Trending (above 0) or reverting (below): log variance ratio of 12 bars to 1",
    "volatility_slope": "Volatility rising or falling: log ratio of the fast to the slow estimate",
    "volatility_level": "Volatility against its trailing median, log",
    "relative_strength": "RSI over 14 bars: (RSI - 50) / 20",
    "band_position": "Distance from the 48-bar mean, in sd, halved",
    "fall_from_high": "Distance below the 240-bar high, in sd",
    "volume_surprise": "Log volume against its trailing mean, in sd, divided by 3",
    "regime_age": "Expected age of the regime in horizons, divided by 300",
}


def plain(code: str | None) -> str:
    """A code as words: `bull_trend` reads bull trend."""
    return code.replace("_", " ") if code else formats.MISSING


def gate_words(gate: int) -> str:
    """Why an arm could not be chosen; empty when it could."""
    return ", ".join(words for bit, words in GATE_WORDS.items() if gate & bit)


def e8_of(text: Any) -> int | None:
    """The count of 1e-8 behind a decimal text; None where there is none."""
    return None if text is None else parse_decimal_e8(text, "record")


def quantity(text: Any, asset: str = "") -> str:
    """An exact quantity with its asset."""
    return formats.decimal_e8(e8_of(text)) + (f" {asset}" if asset and text is not None else "")


def money(text: Any, *, signed: bool = False) -> str:
    return formats.money(e8_of(text), signed=signed)


def price(text: Any) -> str:
    """A price with as many decimals as its size calls for; `None` reads as missing."""
    return price_e8(e8_of(text))


def price_e8(count: int | None) -> str:
    if count is None:
        return formats.MISSING
    return formats.decimal_e8(count, 2 if count >= 100 * E8 else 4 if count >= E8 else 8)


def reward(value: Any) -> str:
    """An expected reward in its own unit, the standard deviation of the horizon's return."""
    return formats.number(value, 3, signed=True)


def seconds(duration_ms: Any) -> str:
    """A duration as it was measured: 120 ms, 4.2 s, 15 min."""
    if not formats.is_number(duration_ms) or duration_ms < 0:
        return "unknown"
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    return f"{formats.number(duration_ms / 1000, 1)} s" if duration_ms < 120_000 else formats.age(duration_ms)


def unit_of(guard: Mapping[str, Any]) -> str:
    """The unit of a recorded guard's numbers; records of a guard that is gone show bare counts."""
    return GUARDS.get(guard["name"]).unit if guard["name"] in GUARDS else ""


def in_unit(text: str, unit: str, *, step_e8: int, asset: str) -> str:
    """What a guard observed, or its limit, in units for people."""
    count = int(text)
    match unit:
        case "quote_e8":
            return formats.money(count)
        case "lots":
            return f"{formats.decimal_e8(count * step_e8)} {asset}".rstrip()
        case "bps":
            return formats.percent(count / 10_000)
        case "ms":
            return seconds(count)
        case "state":
            return TradingState(count).name
    return f"{formats.number(count, 0)} {unit.removesuffix('s') if count == 1 else unit}"
