"""Through which hands do bars reach the table? The desk's own once it has named them, else the plain ones."""

from __future__ import annotations

from typing import Protocol

from apps.engine.values import Bars
from apps.marketdata.services import StoreResult, bars_store


class BarStore(Protocol):
    """Writes a block of bars in one transaction. The desk's own store adds which bars are too late to be folded."""

    def __call__(self, *, symbol: str, interval: str, bars: Bars, source: str, ts_ms: int) -> StoreResult: ...


_desk: list[BarStore] = []


def register_store(store: BarStore) -> None:
    """Name the store that knows which bars come too late to be folded. It is used wherever no other is given."""
    _desk[:] = [store]


def desk_store() -> BarStore:
    """The registered store; the plain one where no desk is assembled."""
    return _desk[0] if _desk else bars_store
