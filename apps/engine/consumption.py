"""How much of the displayed depth have we already taken?

A paper fill does not change the real book, so the same displayed lots would fill us again and again. The ledger keeps,
per side and price, what was displayed when we took from it and how much we took. A level resets only when new data
changes its displayed size. A level that has left the displayed window is remembered as it was: nobody has said that
it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from apps.engine.errors import IntegrityBreach
from apps.engine.order_types import BUY, SELL
from apps.engine.order_values import Depth

MAX_LEVELS_PER_SIDE = 128


class TakenLevel(NamedTuple):
    """`book_side` is +1 for the orders of buyers and -1 for those of sellers."""

    book_side: int
    price_ticks: int
    displayed_lots: int
    taken_lots: int


class Consumption(NamedTuple):
    """The ledger of one symbol, shared by all our orders; levels in order of side and price."""

    symbol: str
    ts_ms: int
    levels: tuple[TakenLevel, ...]

    def to_json(self) -> dict[str, Any]:
        return {"symbol": self.symbol, "ts_ms": self.ts_ms, "levels": [list(level) for level in self.levels]}


def empty_consumption(symbol: str) -> Consumption:
    return Consumption(symbol, 0, ())


def consumption_from_json(body: Mapping[str, Any]) -> Consumption:
    return Consumption(body["symbol"], body["ts_ms"], tuple(TakenLevel(*level) for level in body["levels"]))


def refresh(ledger: Consumption, depth: Depth) -> Consumption:
    """The ledger after a book: levels whose displayed size has changed are whole again. An older book says nothing."""
    if depth.symbol != ledger.symbol:
        raise IntegrityBreach(f"the ledger of {ledger.symbol} met a book of {depth.symbol}")
    if depth.ts_ms < ledger.ts_ms:
        return ledger
    shown = {side: dict(depth.side(side)) for side in (BUY, SELL)}
    kept = tuple(level for level in ledger.levels if not _has_changed(level, depth, shown[level.book_side]))
    return Consumption(ledger.symbol, depth.ts_ms, kept)


def taken_at(ledger: Consumption, book_side: int, price_ticks: int) -> int:
    """Lots we have taken at a price since its displayed size last changed."""
    for level in ledger.levels:
        if level.book_side == book_side and level.price_ticks == price_ticks:
            return level.taken_lots
    return 0


def available(ledger: Consumption, depth: Depth, book_side: int) -> list[tuple[int, int]]:
    """(ticks, lots) still to be had, best first; broken levels and those we emptied left out."""
    taken = {level.price_ticks: level.taken_lots for level in ledger.levels if level.book_side == book_side}
    offers = ((ticks, lots - taken.get(ticks, 0)) for ticks, lots in depth.side(book_side) if ticks > 0)
    return [(ticks, lots) for ticks, lots in offers if lots > 0]


def take(ledger: Consumption, depth: Depth, book_side: int, taken: list[tuple[int, int]]) -> Consumption:
    """The ledger after taking (ticks, lots) from a book it has been refreshed with."""
    shown = dict(depth.side(book_side))
    levels = {(level.book_side, level.price_ticks): level for level in ledger.levels}
    for ticks, lots in taken:
        before = levels.get((book_side, ticks), TakenLevel(book_side, ticks, shown[ticks], 0))
        levels[book_side, ticks] = before._replace(taken_lots=before.taken_lots + lots)
    return ledger._replace(levels=_bounded(levels.values()))


def _has_changed(level: TakenLevel, depth: Depth, shown: dict[int, int]) -> bool:
    if level.price_ticks in shown:
        return shown[level.price_ticks] != level.displayed_lots
    side = depth.side(level.book_side)
    return bool(side) and (side[-1][0] - level.price_ticks) * level.book_side < 0


def _bounded(levels: Iterable[TakenLevel]) -> tuple[TakenLevel, ...]:
    """Sorted, and per side no more than the levels nearest to the touch."""
    kept: list[TakenLevel] = []
    everything = list(levels)
    for side in (SELL, BUY):
        of_side = sorted(level for level in everything if level.book_side == side)
        kept += of_side[-MAX_LEVELS_PER_SIDE:] if side == BUY else of_side[:MAX_LEVELS_PER_SIDE]
    return tuple(kept)
