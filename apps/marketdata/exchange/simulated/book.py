"""Which orders rest around the last trade? A pure function of (market, last trade, moment).

A level's size belongs to its price and a span of a few seconds, so that a book moves as a real one does: most levels
stay as they were, some change, and a level that comes back is the one that left.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apps.engine.values import E8
from apps.marketdata.exchange.simulated.noise import mixed, mixed_array, nearly_normal
from apps.marketdata.exchange.simulated.symbols import Spec

TICK_MS = 100
_LEVEL_BPS = 0.3
_LIFE_MS = 3_000
_SPREAD_LIFE_MS = 1_000
_SPREAD_UNITS = 3
_SIZE_SPREAD = 0.7

Level = tuple[int, int]


class LastTrade(NamedTuple):
    """The newest trade: where the price is, and which side was hit."""

    price_e8: int
    buyer_is_maker: bool
    ts_ms: int


class Depth(NamedTuple):
    """Resting orders, best first, as (price, quantity) in 1e-8."""

    update_id: int
    bids: list[Level]
    asks: list[Level]


def update_id_at(ts_ms: int) -> int:
    """Books change on a grid of 100 ms of market time; the grid's index is the update id."""
    return ts_ms // TICK_MS


def book_around(spec: Spec, key: int, last: LastTrade, ts_ms: int, levels: int) -> Depth:
    """The book at the grid moment before `ts_ms`: the last trade stands at one of its two best prices."""
    moment = ts_ms // TICK_MS * TICK_MS
    ticks = max(last.price_e8 // spec.tick_e8, 1)
    unit = max(1, round(_LEVEL_BPS / 10_000.0 * 2.0 ** round(math.log2(ticks))))
    spread = unit * (1 + mixed(key ^ mixed(moment // _SPREAD_LIFE_MS)) % _SPREAD_UNITS)
    bid = ticks if last.buyer_is_maker else max(ticks - spread, 1)
    ask = bid + spread
    below = _ladder(bid, (bid - 1) // unit, -1, unit, levels)
    above = _ladder(ask, ask // unit + 1, 1, unit, levels)
    return Depth(
        update_id_at(moment),
        _sized(spec, key, below[below > 0], moment),
        _sized(spec, key ^ 1, above, moment),
    )


def _ladder(best: int, first: int, direction: int, unit: int, levels: int) -> np.ndarray:
    """The best price, then prices on the unit grid away from it."""
    return np.concatenate(([best], (first + direction * np.arange(levels - 1, dtype=np.int64)) * unit))


def _sized(spec: Spec, key: int, ticks: np.ndarray, moment: int) -> list[Level]:
    places = mixed_array(ticks.astype(np.uint64) ^ np.uint64(key))
    # Each price has its own phase, so that levels do not all change at once.
    spans = (np.uint64(moment) + places % np.uint64(_LIFE_MS)) // np.uint64(_LIFE_MS)
    chance = nearly_normal(mixed_array(places ^ spans))
    lots = spec.level_notional / (ticks * (spec.tick_e8 / E8)) * (E8 / spec.step_e8) * np.exp(_SIZE_SPREAD * chance)
    quantities = np.maximum(np.rint(lots), 1.0).astype(np.int64) * spec.step_e8
    return list(zip((ticks * spec.tick_e8).tolist(), quantities.tolist(), strict=True))
