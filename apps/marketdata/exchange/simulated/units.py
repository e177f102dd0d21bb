"""How does the exchange write an exact number? With eight decimals, always."""

from __future__ import annotations

from apps.engine.values import E8


def text8(value_e8: int) -> str:
    """A count of 1e-8 as the exchange prints it."""
    whole, part = divmod(value_e8, E8)
    return f"{whole}.{part:08d}"
