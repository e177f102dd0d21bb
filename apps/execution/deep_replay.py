"""Replay from the bars on: every decision names the view of its bar, and every view follows from the bars before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from django.conf import settings

from apps.audit.records import StoredRecord
from apps.audit.selectors import snapshot_get
from apps.engine.errors import IntegrityBreach, UnknownName
from apps.engine.view import view_from_snapshot
from apps.strategy.refolding import Refolded, StoredView, Unmet, refold, stored_views, viewed_symbols

RECORDS_AT_ONCE = 500
Progress = Callable[[str, int], None]


class Named(NamedTuple):
    """What decisions said about their views: how many were checked, how many cannot be, and what does not fit."""

    checked: int
    foreign: int
    unmet: list[Unmet]


class DeepResult(NamedTuple):
    """The bars against the views, symbol by symbol, and the views against the decisions."""

    symbols: list[Refolded]
    named: Named

    @property
    def unmet(self) -> list[Unmet]:
        """Everything that does not follow."""
        return [*(unmet for symbol in self.symbols for unmet in symbol.unmet), *self.named.unmet]


class _Naming(NamedTuple):
    symbol: str
    bar_open_ms: int
    snapshot: str
    engine: str


def deep_replay(records: Iterable[StoredRecord], *, progress: Progress = lambda symbol, bars: None) -> DeepResult:
    """Refold every symbol and meet its stored views; the views that the records name must be those."""
    refolded = [refold(symbol, progress=partial(progress, symbol)) for symbol in viewed_symbols()]
    return DeepResult(refolded, views_named(records))


def deep_replay_of(record: StoredRecord) -> DeepResult:
    """The same for one record: the bars of its symbol up to its own."""
    refolded = [
        refold(naming.symbol, until_ms=naming.bar_open_ms + settings.INTERVAL_MS) for naming in _namings([record])
    ]
    return DeepResult(refolded, views_named([record]))


def views_named(records: Iterable[StoredRecord]) -> Named:
    """Compare the views that decisions name with the stored ones of their bars."""
    checked, foreign, unmet = 0, 0, []
    namings = _namings(records)
    while page := list(islice(namings, RECORDS_AT_ONCE)):
        views = {
            symbol: stored_views(symbol, {naming.bar_open_ms for naming in page if naming.symbol == symbol})
            for symbol in {naming.symbol for naming in page}
        }
        for naming in page:
            found = _judged(naming, views[naming.symbol].get(naming.bar_open_ms))
            checked += found is not None
            foreign += found is None
            unmet += found or []
    return Named(checked, foreign, unmet)


def _namings(records: Iterable[StoredRecord]) -> Iterator[_Naming]:
    for record in records:
        if not record.inputs_hash:
            continue
        content: dict[str, Any] = record.content
        inputs = content["inputs"]
        if isinstance(inputs.get("snapshot"), str) and "draw" in inputs:
            opened = int(inputs["draw"]["bar_open_ms"])
            yield _Naming(record.symbol, opened, inputs["snapshot"], content["versions"]["engine"])


def _judged(naming: _Naming, stored: StoredView | None) -> list[Unmet] | None:
    """What does not fit; None where nothing can be said: the view is of another engine or of another interval."""
    if stored is not None and stored.engine_hash != naming.engine:
        return None
    if stored is not None and stored.snapshot_hash == naming.snapshot:
        return []
    if stored is None and _is_of_other_interval(naming.snapshot):
        return None
    kept = stored.snapshot_hash if stored is not None else None
    return [Unmet(naming.symbol, naming.bar_open_ms, "named", naming.snapshot, kept)]


def _is_of_other_interval(snapshot: str) -> bool:
    try:
        return view_from_snapshot(snapshot_get(snapshot)).interval_ms != settings.INTERVAL_MS
    except (UnknownName, IntegrityBreach):
        return False
