"""What time is it on the market, for views of apps that sit below market data?

Market data registers its clock when it loads; until it knows the market's time, and in processes without a stream, wall
time stands in. Only interface modules call this: everything below takes `ts_ms`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.engine.errors import Unavailable


def wall_ms() -> int:
    """This machine's time in epoch milliseconds: for sessions, tokens and files."""
    return time.time_ns() // 1_000_000


_source: Callable[[], int] = wall_ms


def register(source: Callable[[], int]) -> None:
    """Make `source` the market's time; it may raise Unavailable while it does not know."""
    global _source
    _source = source


def market_ms() -> int:
    """Market time in epoch milliseconds."""
    try:
        return _source()
    except Unavailable:
        return wall_ms()
