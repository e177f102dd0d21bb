"""The whole desk over a history, slice by slice, so that progress can be told; the bits are those of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from apps.engine.ledger import BookState, book_state
from apps.engine.observer import Observer
from apps.engine.run import RunResult, run
from apps.engine.values import Bars, IntArray1d
from apps.research.backtests.history import History
from apps.research.backtests.request import BacktestRequest, Ruleset

SLICE_BARS = 20_000
Progress = Callable[[int], None]


class Simulated(NamedTuple):
    """What a run left: decisions in order, their regime, and equity at every bar of the grid."""

    decisions: Any
    floats: Any
    regime: IntArray1d
    equity_e8: IntArray1d
    book: BookState


def simulate(
    history: History, request: BacktestRequest, rules: Ruleset, fills: str, progress: Progress = lambda bars: None
) -> Simulated:
    """Run under one fill setting; `progress` is told the number of grid bars each slice moved."""
    settings = rules.run_settings(request, fills)
    observer = Observer(rules.observe)
    book = book_state(1, request.cash_e8)
    inactive = np.zeros(len(observer.runs), np.int64)
    parts: list[RunResult] = []
    for span, bars in _slices(history, request.interval_ms):
        parts.append(
            run(
                [observer], [bars], [rules.filters], settings,
                inactive=inactive, is_bocpd=rules.is_bocpd, book=book, span=span,
            )
        )  # fmt: skip
        progress(span[1] - span[0])
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Simulated._fields[:-1]}
    return Simulated(**joined, book=book)


def _slices(history: History, interval_ms: int) -> list[tuple[tuple[int, int], Bars]]:
    """Spans of bar indices, each with its bars."""
    first, end = history.first_ms // interval_ms, history.end_ms // interval_ms
    edges = [*range(first, end, SLICE_BARS), end]
    rows = np.searchsorted(history.bars.open_time_ms, np.array(edges, np.int64) * interval_ms)
    return [
        ((edges[at], edges[at + 1]), history.bars.slice(int(rows[at]), int(rows[at + 1])))
        for at in range(len(edges) - 1)
    ]
