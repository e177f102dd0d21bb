"""The account of a batch run as arrays: what the desk thread keeps as rows, with the same rules."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from apps.engine.decision import FLOATS, INTS, Workspace
from apps.engine.desk import UNKNOWN_MARK, DeskRecord
from apps.engine.portfolio import dust_value_nb
from apps.engine.trips import N_TRIP, OPEN, TRIP_EXIT_MS, trip_nb
from apps.engine.values import Array1d, IntArray1d, IntArray2d

MAX_WINDOW = 512  # a power of 2
MAX_RATE = 64
MAX_CLOSED = 64
# Numbers of numpy's: numba compiles what they are handed to once, and not again for each plain constant.
_SIDES: Any = np.array([0, 1, -1], np.int64)
BOTH, BOUGHT, SOLD = _SIDES


class BookState(NamedTuple):
    """The account of a run; arrays so that kernels can change it. `totals` has the columns TOTAL_*.

    `trips` holds per symbol what `trip_nb` keeps of its open and closed round trips.
    """

    totals: IntArray1d
    positions: IntArray1d
    dust: IntArray1d
    trips: IntArray2d
    closed_times: IntArray2d
    closed_profits: IntArray2d
    last_signals: Array1d
    marks: IntArray1d
    mark_index: IntArray1d
    window: IntArray1d
    order_times: IntArray2d
    order_sides: IntArray2d
    repeat_latched: IntArray1d
    due: IntArray1d


TOTAL_CASH, TOTAL_BREAKER, TOTAL_WINDOW = 0, 1, 2
TOTAL_DAY, TOTAL_DAY_START, TOTAL_DAY_LATCHED, TOTAL_PEAK, TOTAL_HARD_LATCHED = 3, 4, 5, 6, 7
N_TOTALS = 8


def book_state(n_symbols: int, cash_e8: int) -> BookState:
    """A fresh account, flat, with no mark yet."""
    totals = np.zeros(N_TOTALS, np.int64)
    totals[TOTAL_CASH] = cash_e8
    return BookState(
        totals=totals,
        positions=np.zeros(n_symbols, np.int64),
        dust=np.zeros(n_symbols, np.int64),
        trips=np.zeros((n_symbols, N_TRIP), np.int64),
        closed_times=np.zeros((n_symbols, MAX_CLOSED), np.int64),
        closed_profits=np.zeros((n_symbols, MAX_CLOSED), np.int64),
        last_signals=np.zeros(n_symbols),
        marks=np.zeros(n_symbols, np.int64),
        mark_index=np.full(n_symbols, -1, np.int64),
        window=np.zeros(MAX_WINDOW, np.int64),
        order_times=np.zeros((n_symbols, MAX_RATE), np.int64),
        order_sides=np.zeros((n_symbols, MAX_RATE), np.int64),
        repeat_latched=np.zeros(n_symbols, np.int64),
        due=np.zeros(n_symbols, np.int64),
    )


@njit(cache=True, error_model="numpy", nogil=True)
def orders_within_nb(times: IntArray1d, sides: IntArray1d, side: int, ts_ms: int) -> int:
    """Orders later than ts - 60 s, those of a clock that was stepped back included; unused places hold 0.

    `side` is BOTH, BOUGHT or SOLD.
    """
    count = 0
    for j in range(times.shape[0]):
        if times[j] > ts_ms - 60_000 and times[j] > 0 and (side == 0 or sides[j] == side):
            count += 1
    return count


@njit(cache=True, error_model="numpy", nogil=True)
def closed_within_nb(times: IntArray1d, profits: IntArray1d, after_ms: int) -> tuple[int, int]:
    """(number, summed profit in bps) of the round trips that closed later than `after_ms`."""
    count, total = 0, 0
    for j in range(times.shape[0]):
        if times[j] > after_ms and times[j] > 0:
            count += 1
            total += profits[j]
    return count, total


@njit(cache=True, error_model="numpy", nogil=True)
def holding_value_nb(book: BookState, s: int, unit_e8: int, step_e8: int) -> int:
    """What is held of a symbol at its mark, dust included."""
    lot = book.marks[s] * unit_e8
    value = book.positions[s] * lot
    return value if book.dust[s] == 0 else value + dust_value_nb(book.dust[s], lot, step_e8)


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def desk_of_nb(
    book: BookState, units: IntArray1d, steps: IntArray1d, s: int, bar_index: int, ts_ms: int, window_limit: int,
    lookback_ms: int, view_age_ms: int,
) -> DeskRecord:  # fmt: skip
    """The desk as symbol `s` meets it when bar `bar_index` has closed.

    A position without this bar cannot be marked: it is left out of the sums, and the desk says so.
    """
    t = book.totals
    equity, other, unknown = t[TOTAL_CASH], 0, 0
    for j in range(book.positions.shape[0]):
        if book.mark_index[j] != bar_index:
            if book.positions[j] != 0 or book.dust[j] != 0 or j == s:
                unknown |= UNKNOWN_MARK
            continue
        equity += holding_value_nb(book, j, units[j], steps[j])
        if j != s:
            other += abs(book.positions[j]) * book.marks[j] * units[j]
    high_water = equity
    n = t[TOTAL_WINDOW]
    for j in range(max(0, n - window_limit), n):
        high_water = max(high_water, book.window[j & (MAX_WINDOW - 1)])
    times, sides = book.order_times[s], book.order_sides[s]
    closed, profit = closed_within_nb(book.closed_times[s], book.closed_profits[s], ts_ms - lookback_ms)
    exit_ms = book.trips[s, TRIP_EXIT_MS]
    since_exit_ms = ts_ms - exit_ms if exit_ms > 0 else -1
    return DeskRecord(
        ts_ms, t[TOTAL_CASH], equity, high_water, book.positions[s], book.marks[s], other,
        orders_within_nb(times, sides, BOTH, ts_ms), 0, t[TOTAL_BREAKER], 0, view_age_ms, unknown, 0, 0, 0, 0, 0, 0,
        t[TOTAL_DAY], t[TOTAL_DAY_START], t[TOTAL_DAY_LATCHED], t[TOTAL_PEAK], t[TOTAL_HARD_LATCHED],
        orders_within_nb(times, sides, BOUGHT, ts_ms), orders_within_nb(times, sides, SOLD, ts_ms),
        book.repeat_latched[s], since_exit_ms, closed, profit, -1, 0, book.dust[s],
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True)
def oldest_nb(times: IntArray1d) -> int:
    """The place of the smallest time; unused places come first."""
    oldest = 0
    for j in range(times.shape[0]):
        if times[j] < times[oldest]:
            oldest = j
    return oldest


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def settle_latches_nb(book: BookState, s: int, out: IntArray1d) -> None:
    """Keep what the breakers have moved."""
    t = book.totals
    t[TOTAL_BREAKER] = out[INTS.breaker_until_ms]
    t[TOTAL_DAY] = out[INTS.day_index]
    t[TOTAL_DAY_START] = out[INTS.day_start_e8]
    t[TOTAL_DAY_LATCHED] = out[INTS.is_day_latched]
    t[TOTAL_PEAK] = out[INTS.peak_e8]
    t[TOTAL_HARD_LATCHED] = out[INTS.is_hard_latched]
    if out[INTS.is_rearmed] == 1:
        t[TOTAL_WINDOW] = 0
    if out[INTS.is_repeat_tripped] == 1:
        book.repeat_latched[s] = 1


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def settle_nb(book: BookState, s: int, ts_ms: int, w: Workspace) -> None:
    """Carry a decision's outputs into the account."""
    out = w.out_i
    settle_latches_nb(book, s, out)
    flow = out[INTS.cash_after_e8] - book.totals[TOTAL_CASH]
    book.totals[TOTAL_CASH] = out[INTS.cash_after_e8]
    if out[INTS.sent_lots] > 0:
        book.last_signals[s] = w.out_f[FLOATS.signal]
        place = oldest_nb(book.order_times[s])
        book.order_times[s, place] = ts_ms
        book.order_sides[s, place] = out[INTS.side]
    if out[INTS.filled_lots] > 0:
        after = out[INTS.position_after_lots]
        profit = trip_nb(book.trips[s], book.positions[s], after, flow, out[INTS.notional_e8], ts_ms)
        if profit != OPEN:
            place = oldest_nb(book.closed_times[s])
            book.closed_times[s, place] = ts_ms
            book.closed_profits[s, place] = profit
        n = book.totals[TOTAL_WINDOW]
        book.window[n & (MAX_WINDOW - 1)] = out[INTS.equity_after_e8]
        book.totals[TOTAL_WINDOW] = n + 1
    book.positions[s] = out[INTS.position_after_lots]
    book.dust[s] = out[INTS.dust_after_e8]
