"""The live fold of one symbol: rebuilt from stored bars and control rows at start, then moved bar by bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction

from apps.audit import selectors as audit
from apps.engine.coverage import RewardCoverage
from apps.engine.errors import IntegrityBreach
from apps.engine.observe_state import ViewRows, view_rows
from apps.engine.observer import Observer, ObserveSettings, float_columns
from apps.engine.router import RouterParams
from apps.engine.values import Bars
from apps.engine.view import View
from apps.marketdata import selectors as market
from apps.strategy.facts import FoldFacts, Stretch, changes, facts_of_controls, inactive_arms, stretches
from apps.strategy.models import FoldControl
from apps.strategy.selectors import fact_rows, fold_lock, fold_start_ms, view_newest_ms
from apps.strategy.services import coverage_values, fold_control_note, fold_gap_note, view_meet
from apps.strategy.situations import RING_BARS, ContextRing, Situation, version_of_controls

__all__ = ["Fold", "observe_settings", "router_params"]

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
        self.ring = ContextRing()
        self.situation = Situation()
        self.coverage = RewardCoverage(len(self.observer.runs), settings.HORIZON_BARS)

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
        controls = audit.controls_current()
        facts = facts_of_controls(controls)
        for kind, policy, value in changes(self.facts, facts):
            self._note(opened, kind, value, policy)
        self.facts = facts
        view = self.observer.observe(bars, inactive=inactive_arms(facts.disabled), is_bocpd=facts.is_bocpd)
        self.last_open_ms = opened
        self.coverage.follow(view, self.observer.core.reward)
        self.ring.push(view.record.bar_index, view.context)
        self.situation = self.ring.situation(version_of_controls(self.symbol, controls))
        return view

    def coverage_values(self) -> list[dict[str, Any]]:
        """How the forecasts of each arm's reward have done, as plain values."""
        return coverage_values([run.policy.policy_id for run in self.observer.runs], self.coverage.report())

    def rebuild(self, *, until_ms: int | None = None, progress: Callable[[int], None] | None = None) -> int:
        """Fold every stored bar since the fold's first; answers how many. The facts are those of the control rows.

        On the way it meets the newest stored view. Raises IntegrityBreach when that is not what its bars give.
        """
        bars = self._stored_bars(until_ms)
        met_ms = view_newest_ms(self.symbol)
        if met_ms is not None and (until_ms is None or met_ms < until_ms) and met_ms not in bars.open_time_ms:
            raise IntegrityBreach(f"{self.symbol}: the bar opening at {met_ms} was folded and is gone")
        seen = view_rows(_grid_bars(bars), len(self.observer.runs))
        n_seen = 0
        for first, last, facts in self._stretches(bars, met_ms):
            self.facts = facts
            n_seen += self._fold_many(bars.slice(first, last), ViewRows(*(rows[n_seen:] for rows in seen)))
            if self.last_open_ms == met_ms:
                view_meet(self.observer.view())
            if last > bars.n - RING_BARS:
                self.ring.push(int(bars.open_time_ms[last - 1]) // settings.INTERVAL_MS, self.observer.context())
            if progress:
                progress(last)
        index = bars.open_time_ms // settings.INTERVAL_MS
        self.coverage.follow_history(index, float_columns(bars)[0], seen, n_seen)
        self.situation = self.ring.situation(version_of_controls(self.symbol, audit.controls_current()))
        return bars.n

    def _fold_many(self, bars: Bars, seen: ViewRows) -> int:
        """Fold bars under the present facts; how many rows of `seen` that filled."""
        inactive = inactive_arms(self.facts.disabled)
        self.last_open_ms = int(bars.open_time_ms[-1])
        return self.observer.observe_many(bars, inactive=inactive, is_bocpd=self.facts.is_bocpd, seen=seen)

    @transaction.atomic
    def _stored_bars(self, until_ms: int | None) -> Bars:
        """The bars of the fold, oldest first. Holes among them are given up with the same lock: nothing fills them."""
        fold_lock(self.symbol)
        start_ms = fold_start_ms(self.symbol)
        bars = market.bars_load(self.symbol, settings.INTERVAL, start_ms=start_ms, end_ms=until_ms)
        if start_ms is None and bars.n:
            self._note(int(bars.open_time_ms[0]), FoldControl.START, int(bars.open_time_ms[0]))
        for row in np.flatnonzero(np.diff(bars.open_time_ms) != settings.INTERVAL_MS):
            last, opened = int(bars.open_time_ms[row]), int(bars.open_time_ms[row + 1])
            fold_gap_note(symbol=self.symbol, last_open_ms=last, bar_open_ms=opened)
        return bars

    def _stretches(self, bars: Bars, met_ms: int | None) -> list[Stretch]:
        """The bars cut where the facts change, after the bar at `met_ms`, and one by one where the ring begins."""
        cuts = list(range(max(bars.n - RING_BARS, 0), bars.n))
        if met_ms is not None:
            cuts.append(int(np.searchsorted(bars.open_time_ms, met_ms, side="right")))
        return stretches(fact_rows(self.symbol), bars.open_time_ms, cuts=cuts)

    def _note(self, opened: int, kind: str, value: int, policy: str = "") -> None:
        fold_control_note(symbol=self.symbol, bar_open_ms=opened, kind=kind, value=value, policy=policy)


def _grid_bars(bars: Bars) -> int:
    return int((bars.open_time_ms // settings.INTERVAL_MS % settings.HORIZON_BARS == 0).sum())
