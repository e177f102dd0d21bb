"""Bars that look like a market, and ways to spoil one of them."""

from __future__ import annotations

import random
from collections.abc import Iterable

from apps.engine.values import Bars
from apps.marketdata.selectors import bars_from_rows
from tests.marketdata.builders import E8, MINUTE, START

CENT = E8 // 100
Candle = tuple[int, ...]


def walk(n: int, *, seed: int = 7, first: int = 0, level_cents: int = 10_000_00) -> list[Candle]:
    """A quiet market around 10,000: moves of about 0.1 % a minute."""
    draw = random.Random(seed)
    candles, close = [], level_cents
    for at in range(first, first + n):
        opened, close = close, close + round(close * draw.gauss(0, 0.001))
        high, low = max(opened, close) + draw.randrange(300), min(opened, close) - draw.randrange(300)
        volume, trades = draw.randrange(5 * E8, 9 * E8), draw.randrange(50, 90)
        prices = (price * CENT for price in (opened, high, low, close))
        candles.append((START + at * MINUTE, *prices, volume, trades))
    return candles


def times(candle: Candle, factor: float) -> Candle:
    """The candle with all its prices multiplied, to the cent."""
    prices = (round(price * factor / CENT) * CENT for price in candle[1:5])
    return candle[0], *prices, *candle[5:]


def spiked(candle: Candle, factor: float) -> Candle:
    """The candle with only its close moved, and high and low where they must then be."""
    close = round(candle[4] * factor / CENT) * CENT
    opened = candle[1]
    return candle[0], opened, max(candle[2], close), min(candle[3], close), close, *candle[5:]


def bars_of(candles: Iterable[Candle]) -> Bars:
    return bars_from_rows(candles)
