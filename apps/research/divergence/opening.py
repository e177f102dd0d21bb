"""The account as it stood when the span began: both sides trade on from the same rows."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from apps.engine.decision import DecisionInputs
from apps.engine.ledger import (
    MAX_RATE,
    MAX_WINDOW,
    TOTAL_BREAKER,
    TOTAL_CASH,
    TOTAL_DAY,
    TOTAL_DAY_LATCHED,
    TOTAL_DAY_START,
    TOTAL_HARD_LATCHED,
    TOTAL_PEAK,
    TOTAL_WINDOW,
    BookState,
    book_state,
    oldest_nb,
)
from apps.engine.trips import OPEN, trip_nb
from apps.execution.spans import PROTECTIVE, FillRow, SentRow, fills_between, orders_before
from apps.research.divergence.outcome import filled_of
from apps.research.divergence.request import Series, Span

RATE_WINDOW_MS = 60_000


def opening_book(span: Span, first: dict[str, DecisionInputs]) -> BookState:
    """The account at the start of the span. `first` is each symbol's first live decision in it: what breakers and
    latches remembered then stands in its record."""
    book = book_state(len(span.series), span.epoch.initial_cash_e8)
    fills = fills_between(span.epoch.number, 0, span.start_ms)
    for s, series in enumerate(span.series):
        _take_fills(book, s, series, [row for row in fills if row.symbol == series.symbol])
        if series.symbol in first:
            book.last_signals[s] = first[series.symbol].terms.last_signal
            book.repeat_latched[s] = first[series.symbol].desk.is_repeat_latched
    book.totals[TOTAL_CASH] += sum(fill.cash_e8 for fill in filled_of(fills))
    sent = orders_before(span.epoch.number, span.start_ms)
    _take_orders(book, span, sent)
    if first and not span.is_from_the_first:
        _take_memory(book, min(first.values(), key=lambda inputs: inputs.desk.ts_ms), sent)
    return book


def _take_fills(book: BookState, s: int, series: Series, rows: list[FillRow]) -> None:
    """Position, dust and round trips of one symbol from its fills, event by event."""
    step_e8, held = series.rules.filters.step_e8, 0
    for _, group in groupby(rows, key=lambda row: row.audit_id):
        event = list(group)
        fills, before = filled_of(event), _lots(held, step_e8)
        held += sum(fill.held_e8 for fill in fills)
        flow, notional = sum(fill.cash_e8 for fill in fills), sum(fill.notional_e8 for fill in fills)
        profit = int(trip_nb(book.trips[s], before, _lots(held, step_e8), flow, notional, event[0].ts_ms))
        if profit != OPEN:
            place = oldest_nb(book.closed_times[s])
            book.closed_times[s, place], book.closed_profits[s, place] = event[0].ts_ms, profit
    book.positions[s] = _lots(held, step_e8)
    book.dust[s] = held - int(book.positions[s]) * step_e8


def _lots(held_e8: int, step_e8: int) -> int:
    """Whole lots of a holding, toward zero."""
    lots = abs(held_e8) // step_e8
    return lots if held_e8 >= 0 else -lots


def _take_orders(book: BookState, span: Span, sent: list[SentRow]) -> None:
    """The orders that the throttle still counts; those of the router also by side."""
    sides = {"BUY": 1, "SELL": -1}
    for s, series in enumerate(span.series):
        recent = [
            row
            for row in sent
            if row.symbol == series.symbol
            and row.origin != PROTECTIVE
            and row.decided_ts_ms > span.start_ms - RATE_WINDOW_MS
        ][-MAX_RATE:]
        for place, row in enumerate(recent):
            book.order_times[s, place] = row.decided_ts_ms
            book.order_sides[s, place] = sides[row.side] if row.origin == "router" else 0


def _take_memory(book: BookState, first: DecisionInputs, sent: list[SentRow]) -> None:
    """What the breakers kept, and the window of the rolling one: what lies above its high water had left it before."""
    desk, totals = first.desk, book.totals
    totals[TOTAL_BREAKER], totals[TOTAL_PEAK] = desk.breaker_until_ms, desk.peak_e8
    totals[TOTAL_DAY], totals[TOTAL_DAY_START] = desk.day_index, desk.day_start_e8
    totals[TOTAL_DAY_LATCHED], totals[TOTAL_HARD_LATCHED] = desk.is_day_latched, desk.is_hard_latched
    window = np.array([row.equity_after_e8 for row in sent if row.filled_e8 > 0][-MAX_WINDOW:], np.int64)
    above = np.flatnonzero(window > desk.high_water_e8)
    window = window[int(above[-1]) + 1 :] if above.size else window
    book.window[: window.shape[0]] = window
    totals[TOTAL_WINDOW] = window.shape[0]
