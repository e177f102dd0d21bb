"""Which bars of the grid are not stored, and why not? Computed from the rows each time, never remembered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from django.db.models import F, Max, Min, Window
from django.db.models.functions import Lead

from apps.engine.values import IntArray1d
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.maintenance import in_halt
from apps.marketdata.models import Bar, Gap, Quarantine

STATES = (Gap.FILLED, Gap.OPEN, Gap.ABSENT, Gap.MAINTENANCE, Gap.HELD)
FILLED, OPEN, ABSENT, MAINTENANCE, HELD = range(len(STATES))


class Stretch(NamedTuple):
    """Neighboring bars of the grid with first_ms <= open < end_ms that are missing for one reason."""

    first_ms: int
    end_ms: int
    state: str


def missing_opens(symbol: str, interval: str, first_ms: int, end_ms: int) -> IntArray1d:
    """Open times of the bars with first_ms <= open < end_ms that are not stored. Both bounds lie on the grid."""
    length = interval_ms(interval)
    if first_ms >= end_ms:
        return np.empty(0, dtype=np.int64)
    stored = Bar.objects.filter(
        symbol_id=symbol, interval=interval, open_time_ms__gte=first_ms, open_time_ms__lt=end_ms
    )
    edge = stored.aggregate(oldest=Min("open_time_ms"), newest=Max("open_time_ms"))
    if edge["oldest"] is None:
        return np.arange(first_ms, end_ms, length, dtype=np.int64)
    # The database walks the index and names only the edges of holes: a whole year is never lifted into Python.
    follower = Window(Lead("open_time_ms"), order_by=F("open_time_ms").asc())
    inner = stored.annotate(next_ms=follower).filter(next_ms__gt=F("open_time_ms") + length)
    holes = [(before + length, after) for before, after in inner.values_list("open_time_ms", "next_ms")]
    bounds = [(first_ms, edge["oldest"]), *holes, (edge["newest"] + length, end_ms)]
    return np.concatenate([np.arange(start, stop, length, dtype=np.int64) for start, stop in bounds])


def stretches_missing(symbol: str, interval: str, first_ms: int, end_ms: int) -> list[Stretch]:
    """What is missing in a window and why, oldest first, without touching the ledger's rows."""
    first_ms, end_ms = on_grid(first_ms, end_ms, interval_ms(interval))
    missing = missing_opens(symbol, interval, first_ms, end_ms)
    states = states_of(symbol, interval, missing)
    return [
        Stretch(int(missing[start]), int(missing[stop - 1]) + interval_ms(interval), STATES[states[start]])
        for start, stop in runs(missing, interval_ms(interval), states)
    ]


def states_of(symbol: str, interval: str, missing: IntArray1d) -> npt.NDArray[np.int8]:
    """Why each of these bars is missing. Held wins over a halt, a halt over what the ledger calls absent."""
    states = np.full(missing.shape, OPEN, dtype=np.int8)
    if not missing.size:
        return states
    window = {"symbol_id": symbol, "interval": interval}
    last = int(missing[-1])
    absent = Gap.objects.filter(**window, state=Gap.ABSENT, end_ms__gt=int(missing[0]), first_ms__lte=last)
    for first_ms, end_ms in absent.values_list("first_ms", "end_ms"):
        states[(missing >= first_ms) & (missing < end_ms)] = ABSENT
    states[in_halt(missing, interval_ms(interval))] = MAINTENANCE
    held = Quarantine.objects.filter(
        **window, status=Quarantine.PENDING, open_time_ms__range=(int(missing[0]), last)
    ).values_list("open_time_ms", flat=True)
    states[np.isin(missing, np.array(list(held), dtype=np.int64))] = HELD
    return states


def runs(opens: IntArray1d, length_ms: int, *labels: npt.NDArray[np.generic]) -> list[tuple[int, int]]:
    """Slices of ascending open times that follow each other on the grid and share all labels."""
    if not opens.size:
        return []
    breaks = np.diff(opens) != length_ms
    for label in labels:
        breaks |= label[1:] != label[:-1]
    cuts = [0, *(np.flatnonzero(breaks) + 1).tolist(), opens.size]
    return list(zip(cuts, cuts[1:], strict=False))


def on_grid(first_ms: int, end_ms: int, length_ms: int) -> tuple[int, int]:
    """The bounds moved to the next open times, so that first_ms <= open < end_ms means the same bars."""
    return -(-first_ms // length_ms) * length_ms, -(-end_ms // length_ms) * length_ms
