"""The desk on its own: pull closed bars, fold them, decide on the grid. One thread of the lease holder runs this."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.db import Error as DatabaseFault
from django.db import connections

from apps.engine.decision import SOURCE_ROUTER
from apps.engine.errors import IntegrityBreach, TradedeskError, Unavailable
from apps.engine.values import Bars
from apps.engine.view import View
from apps.execution import desk
from apps.execution.desk_thread import desk_thread
from apps.execution.equity import equity_record
from apps.execution.lease import LeaseLost
from apps.execution.models import Execution
from apps.execution.protective import is_protecting, protective_keep
from apps.execution.requests import AUTOPILOT, DecisionRequest, Prepared
from apps.marketdata import selectors as bars
from apps.marketdata.market import market_view
from apps.strategy.fold import Fold
from apps.strategy.selectors import ViewRef
from apps.strategy.services import regime_values, view_write

log = logging.getLogger(__name__)
GAP_WAIT_MS = 20_000
POLL_S = 1.0


class Autopilot:
    """Folds and decides for every symbol of the watch list."""

    def __init__(self, *, may_act: Callable[[], bool] = lambda: True) -> None:
        self._may_act = may_act
        self.folds: dict[str, Fold] = {symbol: Fold(symbol) for symbol in settings.SYMBOLS}
        self.latest: dict[str, ViewRef] = {}
        self.due: set[str] = set()
        self.closes: dict[str, tuple[int, int]] = {}
        self._first: set[str] = set()
        self._nudge = threading.Event()
        self._stop = threading.Event()
        self._equity_open_ms = 0

    def warm(self, progress: Callable[[str], None] = lambda line: None) -> None:
        """Rebuild every fold from stored bars and meet the stored view. The last closed bar is due at once.

        Raises IntegrityBreach when a rebuilt view is not the stored one.
        """
        self.folds = {symbol: Fold(symbol) for symbol in settings.SYMBOLS}
        for symbol, fold in self.folds.items():
            count = fold.rebuild()
            progress(f"engine warmed: {symbol}, {count} bars")
            if count:
                self._keep(symbol, fold.observer.view(), may_exist=True)
                newest = bars.bars_load(symbol, settings.INTERVAL, limit=1)
                self.closes[symbol] = (int(newest.open_time_ms[0]), int(newest.close_e8[0]))
                self.due.add(symbol)
                self._first.add(symbol)

    def nudge(self, *_: object) -> None:
        """A bar was stored; called from any thread."""
        self._nudge.set()

    def stop(self) -> None:
        self._stop.set()
        self._nudge.set()

    def run(self) -> None:
        """Step at every nudge, and once a second, until stopped. A step that fails is logged and tried again.

        While another process holds the lease it does nothing, and afterwards rebuilds from the rows of the other.
        Raises IntegrityBreach, and whatever nobody expected: then the desk must not go on by itself.
        """
        is_whole = True
        try:
            while not self._stop.is_set():
                self._nudge.wait(POLL_S)
                self._nudge.clear()
                if self._stop.is_set():
                    break
                is_whole = self._may_act() and self._try_step(is_whole)
        finally:
            connections.close_all()

    def _try_step(self, is_whole: bool) -> bool:
        """One step; False when the database failed on the way, so that what is in memory may be ahead of the rows."""
        try:
            if not is_whole:
                self.warm()
            self.step()
        except IntegrityBreach:
            raise
        except (TradedeskError, DatabaseFault) as error:
            log.warning("autopilot: %s: %s", type(error).__name__, error)
            if isinstance(error, LeaseLost):
                return False
            if isinstance(error, DatabaseFault):
                connections.close_all()
                return False
        return True

    def step(self) -> None:
        """Fold what has come and decide what is due."""
        for symbol, fold in self.folds.items():
            self._pull(symbol, fold)
        if settings.AUTOPILOT and self.due:
            self._decide_due()
        if is_protecting() and market_view().clock.is_set:
            desk_thread().run(partial(protective_keep, ts_ms=market_view().now_ms()))
        self._mark_equity()

    def _pull(self, symbol: str, fold: Fold) -> None:
        for bar in self.next_bars(symbol, fold):
            self.fold_bar(symbol, bar)

    def fold_bar(self, symbol: str, bar: Bars) -> None:
        """Fold one bar; a grid bar makes a decision due, and any bar ends what was due before it.

        The decision right after a start is of the newest bar: one that closes while it waits takes its place.
        """
        is_first_due = symbol in self._first and symbol in self.due
        view = self._keep(symbol, self.folds[symbol].advance(bar))
        self.closes[symbol] = (int(bar.open_time_ms[0]), int(bar.close_e8[0]))
        if view.is_grid or not is_first_due:
            self._first.discard(symbol)
            self.due.discard(symbol)
        if view.is_grid:
            self.due.add(symbol)

    def next_bars(self, symbol: str, fold: Fold) -> list[Bars]:
        """Stored bars after the fold's last, one by one. Stops before a hole that may still be filled."""
        after = fold.last_open_ms
        start = None if after is None else after + settings.INTERVAL_MS
        block = bars.bars_load(symbol, settings.INTERVAL, start_ms=start)
        found = []
        for row in range(block.n):
            bar = block.slice(row, row + 1)
            opened = int(bar.open_time_ms[0])
            if after is not None and opened != after + settings.INTERVAL_MS and not self._is_hole_old(after):
                break
            found.append(bar)
            after = opened
        return found

    def _is_hole_old(self, last_open_ms: int) -> bool:
        """Whether the bar after this one should have closed 20 s of market time ago."""
        return market_view().now_ms() >= last_open_ms + 2 * settings.INTERVAL_MS + GAP_WAIT_MS

    def _keep(self, symbol: str, view: View, *, may_exist: bool = False) -> View:
        fold = self.folds[symbol]
        regime = regime_values(fold.observer.regime(), is_enabled=fold.is_bocpd)
        digest = view_write(
            view=view,
            regime=regime,
            ts_ms=view.close_ms,
            situation=fold.situation,
            coverage=fold.coverage_values() if view.is_grid else (),
            may_exist=may_exist,
        )
        self.latest[symbol] = ViewRef(view, digest, regime, fold.situation)
        return view

    def _decide_due(self) -> None:
        """Freeze every due symbol first, then wait and commit one after another: none waits on another's commit."""
        prepared: list[Prepared] = []
        for symbol in settings.SYMBOLS:
            if symbol in self.due and self._may_decide(symbol):
                request = DecisionRequest(symbol=symbol, source=SOURCE_ROUTER, actor=AUTOPILOT, reason="grid bar")
                market = market_view()
                prepared.append(Prepared(request, self.latest[symbol], market.book(symbol), market.now_ms()))
        for item in prepared:
            try:
                desk.commit(item, desk.wait_for_arrival(item))
            except Unavailable as error:
                log.warning("no decision on %s: %s", item.request.symbol, error)
                continue
            self.due.discard(item.request.symbol)

    def _may_decide(self, symbol: str) -> bool:
        """Not before the market's time and the symbol's book are known, nor twice on one bar.

        The decision right after a start waits for fresh prices; one on the grid is taken, and refused if they are old.
        """
        market = market_view()
        if not market.clock.is_set or market.book(symbol) is None:
            return False
        if symbol in self._first and market.is_stale(symbol, settings.STALE_AFTER_MS):
            return False
        opened = self.latest[symbol].view.record.bar_open_ms
        if Execution.objects.filter(symbol=symbol, bar_open_ms=opened, attempt=0).exists():
            self.due.discard(symbol)
            return False
        return True

    def _mark_equity(self) -> None:
        """One equity point per bar that every symbol has folded."""
        opened = {at for at, _ in self.closes.values()}
        if len(self.closes) == len(self.folds) and len(opened) == 1 and opened != {self._equity_open_ms}:
            (self._equity_open_ms,) = opened
            closes = {symbol: close for symbol, (_, close) in self.closes.items()}
            equity_record(ts_ms=self._equity_open_ms + settings.INTERVAL_MS, closes=closes)
