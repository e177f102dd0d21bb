"""Do the stored views follow from the stored bars? Fold the bars again and meet every view on the way. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from apps.engine.codec import sha256_hex
from apps.engine.errors import IntegrityBreach
from apps.engine.observe_state import ViewRows
from apps.engine.observer import NO_ROWS, Observer, ObserveSettings
from apps.engine.values import Bars, IntArray1d
from apps.engine.view import snapshot_bytes
from apps.marketdata import selectors as market
from apps.strategy.fold import Fold
from apps.strategy.models import FoldControl
from apps.strategy.models import View as ViewRow

ROWS_AT_ONCE = 2_000
Progress = Callable[[int], None]


class Unmet(NamedTuple):
    """One view that its bars do not give. `what` is state, snapshot, or bar: that is gone."""

    symbol: str
    bar_open_ms: int
    what: str
    recorded: str | None
    recomputed: str | None


class Refolded(NamedTuple):
    """What folding a symbol anew came to; `foreign` views are another engine's, whose bits this one cannot give."""

    symbol: str
    bars: int
    views: int
    foreign: int
    unmet: list[Unmet]


class StoredView(NamedTuple):
    """The hashes of a stored view."""

    bar_open_ms: int
    state_hash: str
    snapshot_hash: str
    engine_hash: str


def viewed_symbols() -> list[str]:
    """Every symbol that has a stored view, in the watch list or not."""
    rows = ViewRow.objects.filter(interval=settings.INTERVAL).order_by("symbol")
    return list(rows.values_list("symbol", flat=True).distinct())


def stored_views(symbol: str, opens: Iterable[int]) -> dict[int, StoredView]:
    """The stored views of some bars of a symbol, by open time."""
    rows = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL, bar_open_ms__in=list(opens))
    return {row[0]: StoredView(*row) for row in rows.values_list(*StoredView._fields)}


def refold(symbol: str, *, until_ms: int | None = None, progress: Progress = lambda bars: None) -> Refolded:
    """Fold a symbol's bars again under its control rows; every view that opens before `until_ms` must come out.

    Live folded bar by bar; here stretches without a view are folded at once, which gives the same bits.
    """
    own = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL)
    if until_ms is not None:
        own = own.filter(bar_open_ms__lt=until_ms)
    foreign = own.exclude(engine_hash=settings.ENGINE_HASH).count()
    own = own.filter(engine_hash=settings.ENGINE_HASH)
    newest = own.order_by("-bar_open_ms").first()
    if newest is None:
        return Refolded(symbol, 0, 0, foreign, [])
    rows = own.order_by("bar_open_ms").values_list(*StoredView._fields).iterator(chunk_size=ROWS_AT_ONCE)
    fold = _Refold(symbol, (StoredView(*row) for row in rows), progress)
    bars = fold.meet_until(newest.bar_open_ms)
    return Refolded(symbol, bars, fold.meeting.met, foreign, fold.meeting.unmet)


class _Refold(Fold):
    """A fold that leaves no trace: no gap is given up, no start is noted, no snapshot is kept."""

    def __init__(self, symbol: str, views: Iterator[StoredView], progress: Progress) -> None:
        super().__init__(symbol)
        self.meeting = _Meeting(self.observer.settings, views, progress)
        self.observer = self.meeting

    def meet_until(self, newest_ms: int) -> int:
        """Fold and meet the views up to that of the bar opening at `newest_ms`; answers the number of bars."""
        end_ms = newest_ms + settings.INTERVAL_MS
        is_there = market.bars_load(self.symbol, settings.INTERVAL, start_ms=newest_ms, end_ms=end_ms).n == 1
        try:
            self.rebuild(until_ms=end_ms if is_there else newest_ms)
        except IntegrityBreach:
            # Of the newest view the fold says what was found already.
            if not self.meeting.unmet:
                raise
        self.meeting.miss_the_rest()
        return self.meeting.folded

    # Inside a transaction bars come from their rows: a copy of them in columns would hide a row that was changed.
    @transaction.atomic
    def _stored_bars(self, until_ms: int | None) -> Bars:
        starts = FoldControl.objects.filter(symbol=self.symbol, interval=settings.INTERVAL, kind=FoldControl.START)
        start_ms = starts.order_by("bar_open_ms").values_list("bar_open_ms", flat=True).first()
        return market.bars_load(self.symbol, settings.INTERVAL, start_ms=start_ms, end_ms=until_ms)


class _Meeting(Observer):
    """An observer that stops at every bar with a stored view and compares."""

    def __init__(self, given: ObserveSettings, views: Iterator[StoredView], progress: Progress) -> None:
        super().__init__(given)
        self.met = self.folded = 0
        self.unmet: list[Unmet] = []
        self._views, self._progress = views, progress
        self._next = next(views, None)

    def observe_many(self, bars: Bars, *, inactive: IntArray1d, is_bocpd: bool, seen: ViewRows = NO_ROWS) -> int:
        first, n_seen, opens = 0, 0, bars.open_time_ms

        def fold(end: int) -> int:
            room = ViewRows(*(rows[n_seen:] for rows in seen))
            return super(_Meeting, self).observe_many(
                bars.slice(first, end), inactive=inactive, is_bocpd=is_bocpd, seen=room
            )

        while self._next is not None and bars.n and self._next.bar_open_ms <= int(opens[-1]):
            row = int(opens.searchsorted(self._next.bar_open_ms))
            if int(opens[row]) != self._next.bar_open_ms:
                self._miss(self._next)
            else:
                n_seen += fold(row + 1)
                first = row + 1
                self._meet(self._next)
            self._next = next(self._views, None)
            self._progress(self.folded + first)
        n_seen += fold(bars.n)
        self.folded += bars.n
        return n_seen

    def miss_the_rest(self) -> None:
        """Views after the last bar: theirs are gone."""
        while self._next is not None:
            self._miss(self._next)
            self._next = next(self._views, None)

    def _miss(self, stored: StoredView) -> None:
        self.unmet.append(Unmet(self.settings.symbol, stored.bar_open_ms, "bar", stored.state_hash, None))

    def _meet(self, stored: StoredView) -> None:
        view = self.view()
        found = {"state": (stored.state_hash, view.state_hash)}
        found["snapshot"] = (stored.snapshot_hash, sha256_hex(snapshot_bytes(view)))
        self.met += 1
        for what, (kept, given) in found.items():
            if kept != given:
                self.unmet.append(Unmet(view.symbol, stored.bar_open_ms, what, kept, given))
