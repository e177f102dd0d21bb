"""Exact decimal text of int64 counts of 1e-8, and back."""

from __future__ import annotations

from apps.engine.values import E8


def e8_text(count: int) -> str:
    """Decimal text without exponent or trailing zeros: 150000000 -> "1.5", 0 -> "0"."""
    whole, part = divmod(abs(count), E8)
    text = f"{whole}.{part:08d}".rstrip("0") if part else str(whole)
    return "-" + text if count < 0 else text
