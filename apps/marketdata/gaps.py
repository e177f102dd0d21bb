"""What became of every bar that is not here? The ledger of gaps: written down, asked for again, in the end given up.

Nothing is ever made up to fill a gap. A stretch leaves the ledger's open state only when its bars have come, when the
exchange itself was asked three times and does not have them, or when it was known to be closed.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from channels.db import database_sync_to_async
from django.db import transaction

from apps.engine.errors import DataError, Unavailable
from apps.engine.values import IntArray1d
from apps.marketdata import grid
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.grid import FILLED, STATES
from apps.marketdata.models import Gap, Symbol
from apps.marketdata.services import symbol_ensure
from apps.marketdata.storing import BarStore
from apps.marketdata.sync import sync_bars

TRIES = 3
RETRY_BASE_MS = 30_000  # market time; an outage of minutes must not use up the three tries

log = logging.getLogger(__name__)


class GapReport(NamedTuple):
    """A window of the grid, counted: `missing` bars by the state of their gap."""

    symbol: str
    interval: str
    first_ms: int
    end_ms: int
    expected: int
    stored: int
    missing: dict[str, int]
    found: int
    settled: int


class GapSpan(NamedTuple):
    """A row of the ledger."""

    first_ms: int
    end_ms: int
    state: str
    attempts: int
    n_bars: int
    found_ts_ms: int


@transaction.atomic
def gaps_reconcile(*, symbol: str, interval: str, start_ms: int, end_ms: int, ts_ms: int) -> GapReport:
    """Make the ledger say exactly which bars with start_ms <= open < end_ms are missing, of those closed by `ts_ms`.

    Rows that reach over the window are judged whole. `found` stretches are new; `settled` ones were missing and no
    longer are.
    """
    length = interval_ms(interval)
    first, end = grid.on_grid(start_ms, min(end_ms, ts_ms // length * length), length)
    symbol_ensure(name=symbol)
    Symbol.objects.select_for_update().get(name=symbol)  # two ledger keepers of one symbol take turns
    rows = list(_rows(symbol, interval, first, end))
    missing = grid.missing_opens(
        symbol, interval, min([first, *(row.first_ms for row in rows)]), max([end, *(row.end_ms for row in rows)])
    )
    missing = missing[_within(missing, first, end) | _in_rows(missing, rows)]
    found, settled = _rewrite(symbol, interval, rows, missing, ts_ms)
    inside = missing[_within(missing, first, end)]
    counts = Counter(STATES[state] for state in grid.states_of(symbol, interval, inside).tolist())
    expected = max(0, (end - first) // length)
    return GapReport(
        symbol, interval, first, end, expected, expected - inside.size, dict(sorted(counts.items())), found, settled
    )


async def gaps_backfill(
    client: ExchangeClient,
    symbol: str,
    interval: str,
    *,
    store: BarStore,
    now_ms: int,
    due_only: bool = True,
    uniform: Callable[[float, float], float] = random.uniform,
) -> int:
    """Ask the exchange once for every open gap, or every one that is due at `now_ms`. Returns how many bars came.

    An exchange that does not answer has not said that it lacks the bars: only an answer without them counts as a try.
    """
    came = 0
    for gap in await database_sync_to_async(gaps_open)(symbol, interval, now_ms if due_only else None):
        try:
            report = await sync_bars(client, symbol, interval, start_ms=gap.first_ms, end_ms=gap.end_ms, store=store)
        except (Unavailable, DataError) as error:
            log.warning("gap of %s %s from %s stays open: %s", symbol, interval, gap.first_ms, error)
            await database_sync_to_async(_postpone)(symbol, interval, gap, now_ms, uniform)
            continue
        came += report.stored.inserted
        await database_sync_to_async(_asked)(symbol, interval, gap, now_ms, uniform)
    return came


def gaps_open(symbol: str, interval: str, due_ms: int | None = None) -> list[GapSpan]:
    """Open gaps, oldest first; with `due_ms` those whose next try is due by then."""
    rows = Gap.objects.filter(symbol_id=symbol, interval=interval, state=Gap.OPEN)
    if due_ms is not None:
        rows = rows.filter(next_try_ts_ms__lte=due_ms)
    return [_span(row) for row in rows.order_by("first_ms")]


def gaps_listed(symbol: str, interval: str, *, start_ms: int | None = None, end_ms: int | None = None) -> list[GapSpan]:
    """The ledger's rows that touch the window and are not filled, oldest first."""
    rows = Gap.objects.filter(symbol_id=symbol, interval=interval).exclude(state=Gap.FILLED)
    if start_ms is not None:
        rows = rows.filter(end_ms__gt=start_ms)
    if end_ms is not None:
        rows = rows.filter(first_ms__lt=end_ms)
    return [_span(row) for row in rows.order_by("first_ms")]


def _rows(symbol: str, interval: str, first_ms: int, end_ms: int) -> list[Gap]:
    rows = Gap.objects.filter(symbol_id=symbol, interval=interval, first_ms__lt=end_ms, end_ms__gt=first_ms)
    return list(rows.exclude(state=Gap.FILLED).order_by("first_ms"))


def _within(opens: IntArray1d, first_ms: int, end_ms: int) -> np.ndarray:
    return (opens >= first_ms) & (opens < end_ms)


def _in_rows(opens: IntArray1d, rows: list[Gap]) -> np.ndarray:
    return _row_of(opens, rows) >= 0


def _row_of(opens: IntArray1d, rows: list[Gap]) -> np.ndarray:
    """Per open time the place of the row it lies in, -1 for none. The rows are in order and do not overlap."""
    starts = np.array([row.first_ms for row in rows], dtype=np.int64)
    ends = np.array([row.end_ms for row in rows] or [0], dtype=np.int64)
    place = np.searchsorted(starts, opens, side="right") - 1
    return np.where((place >= 0) & (opens < ends[np.maximum(place, 0)]), place, -1)


def _rewrite(symbol: str, interval: str, rows: list[Gap], missing: IntArray1d, ts_ms: int) -> tuple[int, int]:
    """Cut the rows into stretches of one state and add what is new. Returns (new stretches, settled ones)."""
    length = interval_ms(interval)
    known = [np.arange(row.first_ms, row.end_ms, length, dtype=np.int64) for row in rows]
    cells = np.union1d(missing, np.concatenate([np.empty(0, np.int64), *known]))
    states = np.full(cells.shape, FILLED, dtype=np.int8)
    states[np.isin(cells, missing, assume_unique=True)] = grid.states_of(symbol, interval, missing)
    origin = _row_of(cells, rows)
    added, settled, n_found = [], 0, 0
    for start, stop in grid.runs(cells, length, states, origin):
        first, end, state = int(cells[start]), int(cells[stop - 1]) + length, STATES[states[start]]
        row = rows[origin[start]] if origin[start] >= 0 else None
        if row is None:
            n_found += 1
            added.append(_settle(Gap(symbol_id=symbol, interval=interval, found_ts_ms=ts_ms), first, end, state, ts_ms))
            continue
        settled += state == Gap.FILLED
        if row.first_ms != first:
            added.append(_settle(_heir(row), first, end, state, ts_ms))
        elif (row.end_ms, row.state) != (end, state):
            _settle(row, first, end, state, ts_ms).save()
    Gap.objects.bulk_create(added, batch_size=500)
    return n_found, settled


def _heir(row: Gap) -> Gap:
    """A new row for a later part of an old one."""
    return Gap(
        symbol_id=row.symbol_id,
        interval=row.interval,
        state=row.state,
        attempts=row.attempts,
        found_ts_ms=row.found_ts_ms,
        next_try_ts_ms=row.next_try_ts_ms,
        resolved_ts_ms=row.resolved_ts_ms,
    )


def _settle(gap: Gap, first_ms: int, end_ms: int, state: str, ts_ms: int) -> Gap:
    changed = gap.state != state
    gap.first_ms, gap.end_ms, gap.state = first_ms, end_ms, state
    if changed:
        gap.next_try_ts_ms = ts_ms if state == Gap.OPEN else None
        gap.resolved_ts_ms = None if state in (Gap.OPEN, Gap.HELD) else ts_ms
    return gap


def _asked(symbol: str, interval: str, gap: GapSpan, now_ms: int, uniform: Callable[[float, float], float]) -> None:
    """The exchange answered: what it sent is filled, what it did not send has used up a try."""
    with transaction.atomic():
        gaps_reconcile(symbol=symbol, interval=interval, start_ms=gap.first_ms, end_ms=gap.end_ms, ts_ms=now_ms)
        for row in _rows(symbol, interval, gap.first_ms, gap.end_ms):
            if row.state != Gap.OPEN:
                continue
            row.attempts += 1
            if row.attempts >= TRIES:
                _settle(row, row.first_ms, row.end_ms, Gap.ABSENT, now_ms)
            else:
                row.next_try_ts_ms = now_ms + _wait_ms(row.attempts, uniform)
            row.save()


def _postpone(symbol: str, interval: str, gap: GapSpan, now_ms: int, uniform: Callable[[float, float], float]) -> None:
    rows = Gap.objects.filter(symbol_id=symbol, interval=interval, state=Gap.OPEN, first_ms=gap.first_ms)
    rows.update(next_try_ts_ms=now_ms + _wait_ms(gap.attempts + 1, uniform))


def _wait_ms(attempts: int, uniform: Callable[[float, float], float]) -> int:
    """Market time until the next try: doubling, with half of it left to chance so that symbols do not ask at once."""
    most = RETRY_BASE_MS * 2**attempts
    return int(uniform(most / 2, most))


def _span(row: Gap) -> GapSpan:
    n_bars = (row.end_ms - row.first_ms) // interval_ms(row.interval)
    return GapSpan(row.first_ms, row.end_ms, row.state, row.attempts, n_bars, row.found_ts_ms)
