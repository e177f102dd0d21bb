"""Small blocks of bars, rows and fakes that the tests of the market data share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.engine.values import Bars
from apps.marketdata.selectors import bars_from_rows

MINUTE = 60_000
START = 1_600_000_020_000 // MINUTE * MINUTE
E8 = 100_000_000


def bars_at(indexes: Iterable[int], *, close: int = 101) -> Bars:
    """Plain bars at START + index minutes, alike but for their volume: none repeats the one before it."""
    return bars_from_rows(
        (START + at * MINUTE, 100 * E8, 105 * E8, 95 * E8, close * E8, (7 + at) * E8, 3) for at in indexes
    )


def kline_row(at: int, *, close: str = "101.00000000") -> list[Any]:
    """The same bar as a row of a klines body."""
    opened = START + at * MINUTE
    return [
        *(opened, "100.00000000", "105.00000000", "95.00000000", close, f"{7 + at}.00000000", opened + MINUTE - 1),
        *("700.0", 3, "1.0", "100.0", "0"),
    ]
