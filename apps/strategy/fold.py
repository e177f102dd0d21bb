"""The live fold of one symbol: rebuilt from stored bars and control rows at start, then moved bar by bar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from apps.audit import selectors as audit
from apps.engine.errors import IntegrityBreach
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.router import RouterParams
from apps.engine.values import Bars
from apps.engine.view import View
from apps.marketdata import selectors as market
from apps.strategy.facts import FoldFacts, Stretch, changes, facts_of_controls, inactive_arms, stretches
from apps.strategy.models import FoldControl
from apps.strategy.selectors import fold_lock, view_newest_ms
from apps.strategy.services import fold_control_note, fold_gap_note, view_meet

__all__ = ["Fold", "inactive_arms", "observe_settings", "router_params"]

MODES = {"thompson": 0, "ucb": 1, "greedy": 2}


def router_params() -> RouterParams:
    """The router's parameters under the settings."""
    return RouterParams()._replace(mode=MODES[settings.ROUTER_MODE])


def observe_settings(symbol: str) -> ObserveSettings:
    return ObserveSettings(
        symbol=symbol,
        interval_ms=settings.INTERVAL_MS,
        horizon_bars=settings.HORIZON_BARS,
        allow_short=settings.ALLOW_SHORT,
        params=router_params(),
    )


class Fold:
    """One symbol's observer with its place in the bars. Not thread-safe: the autopilot alone moves it."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.observer = Observer(observe_settings(symbol))
        self.last_open_ms: int | None = None
        self.facts = FoldFacts()

    @property
    def is_bocpd(self) -> bool:
        """Whether the regime's detector ran at the last folded bar."""
        return self.facts.is_bocpd

    def advance(self, bars: Bars) -> View:
        """Fold one new bar under the controls as they are now; what has changed since the last bar becomes a row."""
        opened = int(bars.open_time_ms[0])
        if self.last_open_ms is None:
            self._note(opened, FoldControl.START, opened)
        elif opened != self.last_open_ms + settings.INTERVAL_MS:
            fold_gap_note(symbol=self.symbol, last_open_ms=self.last_open_ms, bar_open_ms=opened)
        facts = facts_of_controls(audit.controls_current())
        for kind, policy, value in changes(self.facts, facts):
            self._note(opened, kind, value, policy)
        self.facts = facts
        view = self.observer.observe(bars, inactive=inactive_arms(facts.disabled), is_bocpd=facts.is_bocpd)
        self.last_open_ms = opened
        return view

    def rebuild(self, *, until_ms: int | None = None, progress: Callable[[int], None] | None = None) -> int:
        """Fold every stored bar since the fold's first; answers how many. The facts are those of the control rows.

        On the way it meets the newest stored view. Raises IntegrityBreach when that is not what its bars give.
        """
        bars = self._stored_bars(until_ms)
        met_ms = view_newest_ms(self.symbol)
        if met_ms is not None and (until_ms is None or met_ms < until_ms) and met_ms not in bars.open_time_ms:
            raise IntegrityBreach(f"{self.symbol}: the bar opening at {met_ms} was folded and is gone")
        for first, last, facts in self._stretches(bars, met_ms):
            self.facts = facts
            inactive = inactive_arms(facts.disabled)
            self.observer.observe_many(bars.slice(first, last), inactive=inactive, is_bocpd=facts.is_bocpd)
            self.last_open_ms = int(bars.open_time_ms[last - 1])
            if self.last_open_ms == met_ms:
                view_meet(self.observer.view())
            if progress:
                progress(last)
        return bars.n

    @transaction.atomic
    def _stored_bars(self, until_ms: int | None) -> Bars:
        """The bars of the fold, oldest first. Holes among them are given up with the same lock: nothing fills them."""
        fold_lock(self.symbol)
        start = self._rows(FoldControl.START).order_by("bar_open_ms").first()
        start_ms = start.bar_open_ms if start else None
        bars = market.bars_load(self.symbol, settings.INTERVAL, start_ms=start_ms, end_ms=until_ms)
        if start is None and bars.n:
            self._note(int(bars.open_time_ms[0]), FoldControl.START, int(bars.open_time_ms[0]))
        for row in np.flatnonzero(np.diff(bars.open_time_ms) != settings.INTERVAL_MS):
            last, opened = int(bars.open_time_ms[row]), int(bars.open_time_ms[row + 1])
            fold_gap_note(symbol=self.symbol, last_open_ms=last, bar_open_ms=opened)
        return bars

    def _stretches(self, bars: Bars, met_ms: int | None) -> list[Stretch]:
        """The bars cut where the facts change; one stretch ends with the bar at `met_ms`."""
        rows = self._rows(FoldControl.BOCPD, FoldControl.ACTIVE).order_by("bar_open_ms", "id")
        met = [] if met_ms is None else [int(np.searchsorted(bars.open_time_ms, met_ms, side="right"))]
        return stretches(rows.values_list("bar_open_ms", "kind", "policy", "value"), bars.open_time_ms, cuts=met)

    def _rows(self, *kinds: str) -> QuerySet[FoldControl]:
        return FoldControl.objects.filter(symbol=self.symbol, interval=settings.INTERVAL, kind__in=kinds)

    def _note(self, opened: int, kind: str, value: int, policy: str = "") -> None:
        fold_control_note(symbol=self.symbol, bar_open_ms=opened, kind=kind, value=value, policy=policy)
