"""How long is a bar? The intervals whose bars all open at a multiple of their length since 1970."""

from __future__ import annotations

from apps.engine.errors import InvalidInput

INTERVALS_MS = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}


def interval_ms(interval: str) -> int:
    """Length of the interval. Raises InvalidInput naming the known ones."""
    if interval not in INTERVALS_MS:
        raise InvalidInput(f"unknown interval {interval!r}; known: {', '.join(INTERVALS_MS)}", field="interval")
    return INTERVALS_MS[interval]
