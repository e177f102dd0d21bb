"""The account of a batch run as arrays: what the desk thread keeps as rows, with the same rules."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.decision import FLOATS, INTS, Workspace
from apps.engine.desk import UNKNOWN_MARK, DeskRecord
from apps.engine.values import Array1d, IntArray1d, IntArray2d

MAX_WINDOW = 512
MAX_RATE = 64


class BookState(NamedTuple):
    """The account of a run; arrays so that kernels can change it. `totals` is (cash, breaker until, window length)."""

    totals: IntArray1d
    positions: IntArray1d
    last_signals: Array1d
    marks: IntArray1d
    mark_index: IntArray1d
    window: IntArray1d
    order_times: IntArray2d
    due: IntArray1d


TOTAL_CASH, TOTAL_BREAKER, TOTAL_WINDOW = 0, 1, 2


def book_state(n_symbols: int, cash_e8: int) -> BookState:
    """A fresh account, flat, with no mark yet."""
    return BookState(
        totals=np.array([cash_e8, 0, 0], np.int64),
        positions=np.zeros(n_symbols, np.int64),
        last_signals=np.zeros(n_symbols),
        marks=np.zeros(n_symbols, np.int64),
        mark_index=np.full(n_symbols, -1, np.int64),
        window=np.zeros(MAX_WINDOW, np.int64),
        order_times=np.zeros((n_symbols, MAX_RATE), np.int64),
        due=np.zeros(n_symbols, np.int64),
    )


@njit(cache=True, error_model="numpy", nogil=True)
def orders_within_nb(times: IntArray1d, ts_ms: int) -> int:
    """Orders later than ts - 60 s, those of a clock that was stepped back included; unused places hold 0."""
    count = 0
    for j in range(times.shape[0]):
        if times[j] > ts_ms - 60_000 and times[j] > 0:
            count += 1
    return count


@njit(cache=True, error_model="numpy", nogil=True)
def desk_of_nb(
    book: BookState, units: IntArray1d, s: int, bar_index: int, ts_ms: int, window_limit: int, view_age_ms: int
) -> DeskRecord:
    """The desk as symbol `s` meets it when bar `bar_index` has closed.

    A position without this bar cannot be marked: it is left out of the sums, and the desk says so.
    """
    cash = book.totals[TOTAL_CASH]
    equity, other, unknown = cash, 0, 0
    for j in range(book.positions.shape[0]):
        if book.mark_index[j] != bar_index:
            if book.positions[j] != 0 or j == s:
                unknown |= UNKNOWN_MARK
            continue
        value = book.positions[j] * book.marks[j] * units[j]
        equity += value
        if j != s:
            other += abs(value)
    high_water = equity
    n = book.totals[TOTAL_WINDOW]
    for j in range(max(0, n - window_limit), n):
        high_water = max(high_water, book.window[j % MAX_WINDOW])
    return DeskRecord(
        ts_ms, cash, equity, high_water, book.positions[s], book.marks[s], other,
        orders_within_nb(book.order_times[s], ts_ms), 0, book.totals[TOTAL_BREAKER], 0, view_age_ms, unknown,
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True)
def settle_nb(book: BookState, s: int, ts_ms: int, w: Workspace) -> None:
    """Carry a decision's outputs into the account."""
    out = w.out_i
    book.totals[TOTAL_CASH] = out[INTS.cash_after_e8]
    book.positions[s] = out[INTS.position_after_lots]
    book.totals[TOTAL_BREAKER] = out[INTS.breaker_until_ms]
    if out[INTS.is_rearmed] == 1:
        book.totals[TOTAL_WINDOW] = 0
    if out[INTS.sent_lots] > 0:
        book.last_signals[s] = w.out_f[FLOATS.signal]
        times = book.order_times[s]
        oldest = 0
        for j in range(times.shape[0]):
            if times[j] < times[oldest]:
                oldest = j
        times[oldest] = ts_ms
    if out[INTS.filled_lots] > 0:
        n = book.totals[TOTAL_WINDOW]
        book.window[n % MAX_WINDOW] = out[INTS.equity_after_e8]
        book.totals[TOTAL_WINDOW] = n + 1
