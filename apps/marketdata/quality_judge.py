"""Does a bar look like the bars before it? The soft rules, asked against the last bars that were accepted."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from apps.engine.errors import UnknownName
from apps.engine.quality import Suspicion, schema_faults, suspicions
from apps.engine.values import Bars
from apps.marketdata import selectors
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.quarantine import Candle
from apps.marketdata.selectors import bars_from_rows, bars_load

N_HISTORY = 121  # the closes of 120 returns


class Judge(NamedTuple):
    """The yardstick of one series."""

    symbol: str
    interval: str
    tick_e8: int

    @property
    def interval_ms(self) -> int:
        return interval_ms(self.interval)

    def is_whole(self, candle: Candle, now_ms: int) -> bool:
        """Whether the candle by itself breaks no hard rule."""
        return not schema_faults(bars_from_rows([candle]), interval_ms=self.interval_ms, now_ms=now_ms)

    def suspicion(self, candle: Candle) -> Suspicion | None:
        """Why a whole candle is suspect after the bars stored before it; None when it is not."""
        found = self.suspicions(bars_from_rows([candle]), {})
        return found[0] if found else None

    def suspicions(self, bars: Bars, stored: Mapping[int, Candle]) -> list[Suspicion]:
        """The suspects among bars in order of time. Where a bar is stored, that one is looked back on, not judged."""
        if not bars.n:
            return []
        history = self.history_before(int(bars.open_time_ms[0]))
        found: list[Suspicion] = []
        for first, end, is_stored in _stretches(bars, stored):
            stretch = bars.slice(first, end)
            if is_stored:
                here = bars_from_rows(stored[opened] for opened in stretch.open_time_ms.tolist())
                history = _last(history, here)
                continue
            suspects = suspicions(stretch, history, tick_e8=self.tick_e8, interval_ms=self.interval_ms)
            found += [suspect._replace(row=first + suspect.row) for suspect in suspects]
            history = _last(history, _believed(stretch, suspects))
        return found

    def history_before(self, open_time_ms: int) -> Bars:
        """The last accepted bars that open before a time, oldest first."""
        return bars_load(self.symbol, self.interval, end_ms=open_time_ms, limit=N_HISTORY, folded_only=False)


def judge_of(symbol: str, interval: str) -> Judge:
    """The yardstick of a series; a tick of 1e-8 where the exchange's rules were never read."""
    try:
        return Judge(symbol, interval, selectors.filters_current(symbol).tick_e8)
    except UnknownName:
        return Judge(symbol, interval, 1)


def _stretches(bars: Bars, stored: Collection[int]) -> list[tuple[int, int, bool]]:
    """Stretches (first row, end row, is stored) of bars that are all stored already or all not."""
    if not stored:
        return [(0, bars.n, False)]
    known = np.isin(bars.open_time_ms, np.fromiter(stored, dtype=np.int64, count=len(stored)))
    edges = [0, *(np.flatnonzero(np.diff(known)) + 1).tolist(), bars.n]
    return [(first, end, bool(known[first])) for first, end in itertools.pairwise(edges)]


def _believed(bars: Bars, suspects: Sequence[Suspicion]) -> Bars:
    doubted = [suspect.row for suspect in suspects if not suspect.is_kept]
    return Bars(*(np.delete(column, doubted) for column in bars)) if doubted else bars


def _last(history: Bars, bars: Bars) -> Bars:
    """The newest bars of both that are enough to judge by."""
    both = Bars(*(np.concatenate(pair) for pair in zip(history, bars, strict=True)))
    return both.slice(max(0, both.n - N_HISTORY), both.n)
