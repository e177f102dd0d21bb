"""No 60 seconds ever hold more orders than the limit: a million arrivals on a clock that steps back and forth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from apps.engine.guards.base import ALLOW
from apps.engine.guards.order_rate import order_rate_nb
from apps.engine.ledger import book_state, desk_of_nb, oldest_nb
from tests.support.engine import build_limits, build_order

WINDOW_MS = 60_000
STEP_MS = 5_000


def arrivals(n: int, limit: int) -> np.ndarray:
    """Stamps of orders that want to be sent: bursts, lulls, and a clock that is set by up to 5 s either way."""
    rng = np.random.Generator(np.random.PCG64(limit))
    gaps = rng.exponential(np.where(rng.random(n) < 0.7, 5_400.0, 90_000.0) / limit).astype(np.int64)
    steps = np.where(rng.random(n) < 0.05, rng.integers(-STEP_MS, STEP_MS + 1, n), 0)
    return 1_767_225_600_000 + np.cumsum(gaps + steps)


@njit
def sliding_nb(stamps: Any, book: Any, units: Any, order: Any, limits: Any) -> Any:
    """The desk's own count and guard; which arrivals were sent."""
    sent = np.zeros(stamps.shape[0], np.int64)
    for i in range(stamps.shape[0]):
        desk = desk_of_nb(book, units, units, 0, 0, stamps[i], 1, 0, 0)
        if order_rate_nb(desk, order, limits).verdict == ALLOW:
            sent[i] = 1
            book.order_times[0, oldest_nb(book.order_times[0])] = stamps[i]
    return sent


@njit
def fixed_nb(stamps: Any, limit: int) -> Any:
    """What the desk must not be: a counter that starts anew with every minute of the clock."""
    sent = np.zeros(stamps.shape[0], np.int64)
    minute, count = -1, 0
    for i in range(stamps.shape[0]):
        if stamps[i] // WINDOW_MS != minute:
            minute, count = stamps[i] // WINDOW_MS, 0
        if count < limit:
            sent[i] = 1
            count += 1
    return sent


def fullest_window(stamps: np.ndarray) -> int:
    """Offline, with two pointers over the sorted stamps: the most orders that any 60 s hold."""
    times = np.sort(stamps)
    first_outside = np.searchsorted(times, times + WINDOW_MS, side="left")
    return int((first_outside - np.arange(len(times))).max())


def sent_by_the_desk(stamps: np.ndarray, limit: int) -> np.ndarray:
    book = book_state(1, 10**14)
    limits = build_limits(orders_per_minute=limit)
    return stamps[sliding_nb(stamps, book, np.array([10]), build_order(), limits) == 1]


@pytest.mark.parametrize(("n", "limit"), [(1_000_000, 6), (200_000, 1), (200_000, 60)])
def test_no_sixty_seconds_hold_more_than_the_limit(n: int, limit: int) -> None:
    stamps = arrivals(n, limit)
    assert (np.diff(stamps) < 0).sum() > n // 200, "the clock does step back"
    assert fullest_window(stamps) > limit, "arrivals press against the limit"
    sent = sent_by_the_desk(stamps, limit)
    assert fullest_window(sent) == limit
    span_minutes = (stamps.max() - stamps.min()) / WINDOW_MS
    assert len(sent) > 0.25 * min(limit * span_minutes, n), "and the limit can be used"


def test_a_counter_per_minute_of_the_clock_is_found_out() -> None:
    stamps = arrivals(200_000, 6)
    assert fullest_window(stamps[fixed_nb(stamps, 6) == 1]) > 6


def test_the_offline_check_counts_as_a_person_would() -> None:
    assert fullest_window(np.array([0, 59_999, 60_000, 119_999, 60_001])) == 3
    assert fullest_window(np.array([0, 60_000, 120_000])) == 1
