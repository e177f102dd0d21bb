"""The backtest side: the batch run's own steps over the span, one decision at a time, so that each can be taken apart.

Same kernels, same order, same account as `engine.run.run`; a test holds both to equal bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings

from apps.engine.decision import ArrivalRecord, DecisionInputs, Draw, ViewRecord
from apps.engine.ledger import TOTAL_CASH, BookState, desk_of_nb, holding_value_nb, settle_nb
from apps.engine.observe_state import (
    ROW_INDEX,
    ROW_LABEL,
    ROW_MISSING,
    S_ADV,
    S_AGE,
    S_RECENT,
    S_SIGMA,
    ViewRows,
    view_rows,
)
from apps.engine.observer import NO_ROWS, Observer
from apps.engine.rng import philox_uniform_nb, symbol_id
from apps.engine.run import RunSettings
from apps.engine.values import Array2d, IntArray1d, IntArray2d
from apps.research.divergence.outcome import Outcome, decide_into, outcome_of
from apps.research.divergence.request import Series, Span
from apps.strategy.facts import inactive_arms, stretches

FILLS = "base"
Progress = Callable[[int], None]


class SeenBar(NamedTuple):
    """The view of a grid bar: what a decision reads of it."""

    record: ViewRecord
    arms: Array2d
    gates: IntArray1d


class Taken(NamedTuple):
    """One decision of the backtest: inputs, outcome, and the closes (1e-8) that the account was marked at."""

    inputs: DecisionInputs
    outcome: Outcome
    closes: dict[str, int]


@dataclass(frozen=True)
class Baseline:
    """The backtest over the span: decisions by (symbol, bar open), equity at every close, the account at the end."""

    taken: dict[tuple[str, int], Taken]
    equity_e8: IntArray1d
    book: BookState


class Market(NamedTuple):
    """Open, close and volume of one symbol by bar index."""

    rows: dict[int, tuple[int, int, int]]


def seen_bars(series: Series, first_ms: int, end_ms: int) -> dict[int, SeenBar]:
    """The views of the grid bars of the span by bar index, folded from the fold's first bar under its control rows."""
    bars = series.bars
    observer = Observer(series.rules.observe)
    opens = bars.open_time_ms
    found: dict[int, SeenBar] = {}
    for start, stop, facts in stretches(series.facts, opens, cuts=np.searchsorted(opens, [first_ms, end_ms]).tolist()):
        opened = int(opens[start])
        if opened >= end_ms:
            break
        room = (stop - start) // settings.HORIZON_BARS + 2
        seen = view_rows(room, len(observer.runs)) if opened >= first_ms else NO_ROWS
        n = observer.observe_many(
            bars.slice(start, stop), inactive=inactive_arms(facts.disabled), is_bocpd=facts.is_bocpd, seen=seen
        )  # fmt: skip
        found |= {int(seen.ints[row, ROW_INDEX]): _seen(seen, row) for row in range(n)}
    return found


def _seen(rows: ViewRows, row: int) -> SeenBar:
    index, floats = int(rows.ints[row, ROW_INDEX]), [float(value) for value in rows.floats[row]]
    record = ViewRecord(
        index * settings.INTERVAL_MS, index, int(rows.ints[row, ROW_MISSING]), int(rows.ints[row, ROW_LABEL]),
        floats[S_SIGMA], floats[S_ADV], floats[S_AGE], floats[S_RECENT],
    )  # fmt: skip
    return SeenBar(record, rows.arms[row].copy(), rows.gates[row].copy())


class _Desk:
    """The account of the backtest while it goes through the span."""

    def __init__(self, span: Span, book: BookState) -> None:
        self.span, self.book = span, book
        self.rules: list[RunSettings] = [one.rules.run_settings(one.request, FILLS) for one in span.series]
        filters = [one.rules.filters for one in span.series]
        self.units = np.array([rule.unit_e8 for rule in filters], np.int64)
        self.steps = np.array([rule.step_e8 for rule in filters], np.int64)
        self.views = [seen_bars(one, span.first_ms, span.end_ms) for one in span.series]
        self.markets = [_market(one, span) for one in span.series]
        self.empty: IntArray2d = np.zeros((0, 2), np.int64)

    def step(self, index: int, taken: dict[tuple[str, int], Taken]) -> int:
        """Commit what is due at this bar's open, then mark; answers the equity at the close."""
        for s, series in enumerate(self.span.series):
            if self.book.due[s]:
                found = self._commit(s, index)
                taken[series.symbol, found.inputs.view.bar_open_ms] = found
                self.book.due[s] = 0
        is_grid = index % settings.HORIZON_BARS == 0
        total = int(self.book.totals[TOTAL_CASH])
        for s, series in enumerate(self.span.series):
            bar = self.markets[s].rows.get(index)
            if bar is not None:
                self.book.due[s] = int(is_grid)
                self.book.marks[s] = bar[1] // series.rules.filters.tick_e8
                self.book.mark_index[s] = index
            total += int(holding_value_nb(self.book, s, int(self.units[s]), int(self.steps[s])))
        return total

    def _commit(self, s: int, index: int) -> Taken:
        series, run = self.span.series[s], self.rules[s]
        filters, seen = series.rules.filters, self.views[s][int(self.book.mark_index[s])]
        decided_on = seen.record.bar_index
        ts_ms = (decided_on + 1) * settings.INTERVAL_MS
        desk = desk_of_nb(
            self.book, self.units, self.steps, s, decided_on, ts_ms, run.window_trades, run.lookback_ms, 0
        )  # fmt: skip
        bar = self.markets[s].rows.get(index)
        opened, volume = (0, 0) if bar is None else (bar[0] // filters.tick_e8, bar[2] // filters.step_e8)
        number = symbol_id(series.symbol)
        u = float(philox_uniform_nb(run.seed, number, seen.record.bar_open_ms, 0))
        last_signal = float(self.book.last_signals[s])
        inputs = DecisionInputs(
            symbol=series.symbol, snapshot=None, view=seen.record, arms=seen.arms, gates=seen.gates, desk=desk,
            limits=run.limits, terms=run.terms._replace(last_signal=last_signal), params=series.rules.observe.params,
            arrival=ArrivalRecord(0, 0, opened, volume), bids=self.empty, asks=self.empty,
            seen_ts_ms=0, seen_bids=self.empty, seen_asks=self.empty, arrival_ts_ms=0, filters=filters,
            draw=Draw(run.seed, number, seen.record.bar_open_ms, 0, u),
        )  # fmt: skip
        w = decide_into(inputs)
        outcome = outcome_of(inputs, w)
        settle_nb(self.book, s, ts_ms, w)
        return Taken(inputs, outcome, self._closes(decided_on))

    def _closes(self, index: int) -> dict[str, int]:
        """The closes of a bar, of every symbol that has it."""
        rows = [market.rows.get(index) for market in self.markets]
        return {one.symbol: bar[1] for one, bar in zip(self.span.series, rows, strict=True) if bar is not None}


def _market(series: Series, span: Span) -> Market:
    bars: Any = series.bars
    start, stop = np.searchsorted(bars.open_time_ms, [span.first_ms, span.end_ms])
    indices = (bars.open_time_ms[start:stop] // settings.INTERVAL_MS).tolist()
    columns = [column[start:stop].tolist() for column in (bars.open_e8, bars.close_e8, bars.volume_e8)]
    return Market(dict(zip(indices, zip(*columns, strict=True), strict=True)))


def baseline(span: Span, book: BookState, progress: Progress = lambda bars: None) -> Baseline:
    """Run the backtest over the span from the account in `book`, which is moved."""
    desk, taken = _Desk(span, book), {}  # type: tuple[_Desk, dict[tuple[str, int], Taken]]
    equity = []
    for index in range(span.first_ms // settings.INTERVAL_MS, span.end_ms // settings.INTERVAL_MS):
        equity.append(desk.step(index, taken))
        progress(1)
    return Baseline(taken, np.array(equity, np.int64), book)
