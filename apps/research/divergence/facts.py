"""What is known of the bars of the span besides their values: which came late, and which were doubted."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from django.conf import settings

from apps.engine.desk import DeskRecord
from apps.marketdata import selectors as market
from apps.research.divergence.request import Series, Span
from apps.web.values import iso_ms

REVISED = "the stored bars do not give the view that was decided on: a bar was revised"


class DataEvent(NamedTuple):
    """One bar that the live desk met otherwise than the backtest does."""

    open_time_ms: int
    kind: str
    text: str


@dataclass
class DataFacts:
    """Events by symbol, oldest first."""

    events: dict[str, list[DataEvent]] = field(default_factory=dict)

    def words(self, symbol: str, bar_open_ms: int, desk: DeskRecord) -> str:
        """Why the data of a decision was not the backtest's: the newest event up to its bar."""
        if desk.data_age_ms < 0 or desk.view_age_ms < 0:
            return "nobody knew how old the price or the view was"
        known = self.events.get(symbol, [])
        place = bisect_right([event.open_time_ms for event in known], bar_open_ms + settings.INTERVAL_MS)
        if place:
            return known[place - 1].text
        return f"the price was {desk.data_age_ms} ms old" if desk.data_age_ms else REVISED

    def missed(self, symbol: str, bar_open_ms: int) -> str:
        """Why a bar was not folded in time; empty when it was."""
        found = [event.text for event in self.events.get(symbol, []) if event.open_time_ms == bar_open_ms]
        return found[0] if found else ""


def data_facts(span: Span) -> DataFacts:
    """The events of every symbol, from the fold's first bar to the end of the span."""
    return DataFacts({one.symbol: _events(one, span.end_ms) for one in span.series})


def _events(series: Series, end_ms: int) -> list[DataEvent]:
    opens = series.bars.open_time_ms
    late = np.setdiff1d(opens, series.folded.open_time_ms).tolist()
    # A bar that neither side has is no difference; one that came after it was given up is one.
    found = [DataEvent(at, "late", f"the bar of {iso_ms(at)} came too late for the live desk: a gap") for at in late]
    doubted = market.quarantine_between(series.symbol, settings.INTERVAL, series.start_ms, end_ms)
    found += [
        DataEvent(one.open_time_ms, "quarantined", _doubt(one.open_time_ms, one.reason, one.status)) for one in doubted
    ]
    return sorted((event for event in found if event.open_time_ms < end_ms), key=lambda event: event.open_time_ms)


def _doubt(opened: int, reason: str, status: str) -> str:
    return f"the bar of {iso_ms(opened)} was doubted ({reason.replace('_', ' ')}) and is {status}"
