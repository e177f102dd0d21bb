"""What changed in a book since the last frame? The update stream from which a client keeps a book of its own."""

from __future__ import annotations

from typing import NamedTuple

from apps.marketdata.exchange.simulated.book import Depth, Level

# Changes further away than this are not streamed; the real exchange streams the whole book.
DIFF_LEVELS = 1_000


class Diff(NamedTuple):
    """Levels that changed in the updates first..last; a quantity of zero removes the level."""

    first_id: int
    last_id: int
    bids: list[Level]
    asks: list[Level]


class BookDiffs:
    """The book each stream has told so far. Updates follow each other without holes in their ids."""

    def __init__(self) -> None:
        self._told: dict[str, Depth] = {}

    def keep(self, names: set[str]) -> None:
        """Forget the books nobody listens to."""
        self._told = {name: depth for name, depth in self._told.items() if name in names}

    def next(self, name: str, depth: Depth) -> Diff | None:
        """What to tell this stream now; None for its first book and while the book stands still."""
        last = self._told.get(name)
        if last is not None and last.update_id >= depth.update_id:
            return None
        self._told[name] = depth
        if last is None:
            return None
        return Diff(
            last.update_id + 1, depth.update_id, _changed(last.bids, depth.bids), _changed(last.asks, depth.asks)
        )


def _changed(before: list[Level], after: list[Level]) -> list[Level]:
    old, new = dict(before), dict(after)
    gone = [(price, 0) for price in old if price not in new]
    return [level for level in after if old.get(level[0]) != level[1]] + gone
