"""The desk with FILLS=bars: an order decided on bar t fills at the open of bar t + 1, committed when that bar closed.

All symbols move together, bar index by bar index and in the order of the watch list, so that the live shell takes the
same steps as the batch loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.conf import settings

from apps.engine.decision import SOURCE_ROUTER
from apps.engine.values import Bars
from apps.execution.autopilot import Autopilot
from apps.execution.desk_thread import desk_thread
from apps.execution.facts import MarketFacts
from apps.execution.models import Execution
from apps.execution.requests import AUTOPILOT, DecisionRequest, Prepared
from apps.execution.services import decide_and_record


class BarsAutopilot(Autopilot):
    """Decisions become due at a grid bar and are committed before any later bar is folded."""

    def step(self) -> None:
        """Take every step for which all symbols have their bar, or have missed it for good."""
        waiting = {symbol: self.next_bars(symbol, fold) for symbol, fold in self.folds.items()}
        while self._is_complete(waiting):
            opened = min(int(queue[0].open_time_ms[0]) for queue in waiting.values() if queue)
            bars = {
                symbol: queue.pop(0)
                for symbol, queue in waiting.items()
                if queue and int(queue[0].open_time_ms[0]) == opened
            }
            self._take_step(bars)
            self._mark_equity()

    def _is_complete(self, waiting: dict[str, list[Bars]]) -> bool:
        """Every symbol has a next bar, or has waited out the hole behind the newest one."""
        if not any(waiting.values()):
            return False
        last = {symbol: fold.last_open_ms or 0 for symbol, fold in self.folds.items()}
        return all(queue or self._is_hole_old(last[symbol]) for symbol, queue in waiting.items())

    def _take_step(self, bars: dict[str, Bars]) -> None:
        for symbol in settings.SYMBOLS:
            if symbol in self.due and settings.AUTOPILOT:
                self._commit(symbol, bars.get(symbol))
                self.due.discard(symbol)
        for symbol, bar in bars.items():
            self.fold_bar(symbol, bar)

    def _commit(self, symbol: str, following: Bars | None) -> None:
        """Decide with the clock, counters and marks of the view's bar; fill at the open of the bar after it."""
        ref = self.latest[symbol]
        opened, closed_ms = ref.view.record.bar_open_ms, ref.view.close_ms
        if Execution.objects.filter(symbol=symbol, bar_open_ms=opened, attempt=0).exists():
            return
        is_next = following is not None and int(following.open_time_ms[0]) == closed_ms
        facts = MarketFacts(
            ts_ms=closed_ms,
            marks={name: close for name, (at, close) in self.closes.items() if at == opened},
            data_age_ms=0,
            filters_age_ms=0,
            next_open_e8=int(following.open_e8[0]) if following is not None and is_next else 0,
            next_volume_e8=int(following.volume_e8[0]) if following is not None and is_next else 0,
        )
        request = DecisionRequest(symbol=symbol, source=SOURCE_ROUTER, actor=AUTOPILOT, reason="grid bar")
        prepared = Prepared(request, ref, None, closed_ms)
        desk_thread().run(partial(decide_and_record, prepared=prepared, read_facts=lambda: facts))

    def warm(self, progress: Callable[[str], None] = lambda line: None) -> None:
        """As live, but only a grid bar is due; one that was decided already is not decided again."""
        super().warm(progress)
        for symbol, ref in self.latest.items():
            if not ref.view.is_grid:
                self.due.discard(symbol)
