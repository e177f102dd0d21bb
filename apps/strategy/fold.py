"""The live fold of one symbol: rebuilt from stored bars and control rows at start, then moved bar by bar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from django.conf import settings
from django.db import transaction

from apps.audit import selectors as audit
from apps.engine.errors import IntegrityBreach
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.policies import arms
from apps.engine.router import RouterParams
from apps.engine.values import Bars, IntArray1d
from apps.engine.view import View
from apps.flags import selectors as flags
from apps.marketdata import selectors as market
from apps.strategy.models import FoldControl
from apps.strategy.selectors import fold_lock, view_newest_ms
from apps.strategy.services import fold_control_note, fold_gap_note, view_meet

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


def inactive_arms() -> IntArray1d:
    """1 for each arm that may not be chosen; every registered policy is active."""
    return np.zeros(len(arms()), np.int64)


class Fold:
    """One symbol's observer with its place in the bars. Not thread-safe: the autopilot alone moves it."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.observer = Observer(observe_settings(symbol))
        self.last_open_ms: int | None = None
        self.is_bocpd = True

    def advance(self, bars: Bars) -> View:
        """Fold one new bar under the flags as they are now; what has changed since the last bar becomes a row."""
        opened = int(bars.open_time_ms[0])
        if self.last_open_ms is None:
            self._note(opened, FoldControl.START, opened)
        elif opened != self.last_open_ms + settings.INTERVAL_MS:
            fold_gap_note(symbol=self.symbol, last_open_ms=self.last_open_ms, bar_open_ms=opened)
        is_bocpd = bool(flags.flags_of_controls(audit.controls_current())["BOCPD"])
        if is_bocpd != self.is_bocpd:
            self._note(opened, FoldControl.BOCPD, int(is_bocpd))
            self.is_bocpd = is_bocpd
        view = self.observer.observe(bars, inactive=inactive_arms(), is_bocpd=is_bocpd)
        self.last_open_ms = opened
        return view

    def rebuild(self, *, until_ms: int | None = None, progress: Callable[[int], None] | None = None) -> int:
        """Fold every stored bar since the fold's first; answers how many. The flags are those of the control rows.

        On the way it meets the newest stored view. Raises IntegrityBreach when that is not what its bars give.
        """
        bars = self._stored_bars(until_ms)
        met_ms = view_newest_ms(self.symbol)
        if met_ms is not None and (until_ms is None or met_ms < until_ms) and met_ms not in bars.open_time_ms:
            raise IntegrityBreach(f"{self.symbol}: the bar opening at {met_ms} was folded and is gone")
        for first, last, is_bocpd in self._segments(bars, met_ms):
            self.is_bocpd = is_bocpd
            self.observer.observe_many(bars.slice(first, last), inactive=inactive_arms(), is_bocpd=is_bocpd)
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

    def _segments(self, bars: Bars, met_ms: int | None) -> list[tuple[int, int, bool]]:
        """(first, last, whether BOCPD ran) over stretches of equal flags; one of them ends with the bar at `met_ms`."""
        toggles = self._rows(FoldControl.BOCPD).order_by("bar_open_ms").values_list("bar_open_ms", "value")
        edges, states = [0], [True]
        for opened, value in toggles:
            edges.append(int(np.searchsorted(bars.open_time_ms, opened)))
            states.append(bool(value))
        edges.append(bars.n)
        cut = bars.n if met_ms is None else int(np.searchsorted(bars.open_time_ms, met_ms, side="right"))
        spans = zip(edges[:-1], edges[1:], states, strict=True)
        halves = [
            half for first, last, on in spans for half in ((first, min(last, cut), on), (max(first, cut), last, on))
        ]
        return [(first, last, on) for first, last, on in halves if first < last]

    def _rows(self, kind: str):  # type: ignore[no-untyped-def]
        return FoldControl.objects.filter(symbol=self.symbol, interval=settings.INTERVAL, kind=kind)

    def _note(self, opened: int, kind: str, value: int) -> None:
        fold_control_note(symbol=self.symbol, bar_open_ms=opened, kind=kind, value=value)
