"""Is this bar like the ones before it? The soft rules, asked bar by bar; a suspect is no measure for later bars.

Every rule looks back only. A move is judged by Hampel's rule: its distance from the median of the last returns, in
units of 1.4826 times their median absolute deviation (MAD), which is never taken smaller than one tick. A spike that
was let in therefore hides no later one, as it would with mean and standard deviation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from apps.engine.quality_reasons import SOFT, BarFault
from apps.engine.values import Array1d, Array2d, Bars, IntArray1d
from apps.engine.windows import MAD_SCALE


class SpikeLimits(NamedTuple):
    """What is still believed. Moves are fractions of the price, `_k` counts of robust standard deviations."""

    window: int = 120
    min_samples: int = 30
    spike_k: float = 10.0
    spike_move: float = 0.015
    jump_move: float = 0.20
    gap_k: float = 10.0
    gap_move: float = 0.015
    wick_k: float = 20.0
    wick_move: float = 0.03
    volume_ratio: float = 400.0
    kept_share: float = 0.5
    unit_slack: float = 0.1


LIMITS = SpikeLimits()

_CODE = {reason: code for code, reason in enumerate(SOFT, start=1)}
STALE_REPEAT = _CODE[BarFault.STALE_REPEAT]
MOVE_WITHOUT_VOLUME = _CODE[BarFault.MOVE_WITHOUT_VOLUME]
TRADES_WITHOUT_VOLUME = _CODE[BarFault.TRADES_WITHOUT_VOLUME]
VOLUME_WITHOUT_TRADES = _CODE[BarFault.VOLUME_WITHOUT_TRADES]
PRICE_UNIT = _CODE[BarFault.PRICE_UNIT]
JUMP = _CODE[BarFault.JUMP]
SPIKE = _CODE[BarFault.SPIKE]
OPEN_GAP = _CODE[BarFault.OPEN_GAP]
WICK = _CODE[BarFault.WICK]
VOLUME_UNIT = _CODE[BarFault.VOLUME_UNIT]

# Rows of the table of measures kept per accepted bar.
RETURN, GAP, REACH, VOLUME = 0, 1, 2, 3
N_MEASURES = 4
LOG_TEN = math.log(10.0)


class Judged(NamedTuple):
    """Per row: the code of the first rule it breaks (0: none), by how much, and whether the next bar stays there."""

    codes: IntArray1d
    scores: Array1d
    kept: npt.NDArray[np.bool_]


def judge(bars: Bars, n_history: int, *, tick_e8: int, interval_ms: int, limits: SpikeLimits) -> Judged:
    """The soft rules for every row from `n_history` on; the rows before it are believed."""
    judged = Judged(np.zeros(bars.n, np.int64), np.zeros(bars.n), np.zeros(bars.n, np.bool_))
    measures, accepted, work = np.empty((N_MEASURES, bars.n)), np.empty(bars.n, np.int64), np.empty(limits.window)
    judge_nb(bars, n_history, tick_e8, interval_ms, limits, measures, accepted, work, judged)
    return judged


@njit(cache=True, error_model="numpy", nogil=True)
def judge_nb(
    bars: Bars,
    n_history: int,
    tick_e8: int,
    interval_ms: int,
    limits: SpikeLimits,
    measures: Array2d,
    accepted: IntArray1d,
    work: Array1d,
    judged: Judged,
) -> None:
    """Walk the rows once. Measures and `accepted` hold the believed bars, oldest first."""
    count, pending = 0, -1
    for row in range(bars.open_time_ms.shape[0]):
        if pending >= 0 and stays_nb(bars, accepted[count - 1], pending, row, limits):
            judged.kept[pending] = True
            count = accept_nb(bars, pending, count, measures, accepted)
        pending = -1
        if row >= n_history and count > 0:
            code, score = rule_nb(bars, row, count, tick_e8, interval_ms, limits, measures, accepted, work)
            if code > 0:
                judged.codes[row], judged.scores[row] = code, score
                if code in (JUMP, SPIKE, OPEN_GAP):
                    pending = row
                continue
        count = accept_nb(bars, row, count, measures, accepted)


@njit(cache=True, error_model="numpy", nogil=True)
def accept_nb(bars: Bars, row: int, count: int, measures: Array2d, accepted: IntArray1d) -> int:
    """Make the bar part of what later ones are measured by."""
    if count > 0:
        before = bars.close_e8[accepted[count - 1]]
        measures[RETURN, count] = math.log(bars.close_e8[row] / before)
        measures[GAP, count] = math.log(bars.open_e8[row] / before)
    measures[REACH, count] = reach_nb(bars, row)
    measures[VOLUME, count] = bars.volume_e8[row]
    accepted[count] = row
    return count + 1


@njit(cache=True, error_model="numpy", nogil=True)
def reach_nb(bars: Bars, row: int) -> float:
    """How far the longer wick goes beyond the body, as a log return."""
    top, bottom = max(bars.open_e8[row], bars.close_e8[row]), min(bars.open_e8[row], bars.close_e8[row])
    return max(math.log(bars.high_e8[row] / top), math.log(bottom / bars.low_e8[row]))


@njit(cache=True, error_model="numpy", nogil=True)
def stays_nb(bars: Bars, before: int, suspect: int, after: int, limits: SpikeLimits) -> bool:
    """Whether the close after a suspect keeps more than half of its move. A mere repeat of the suspect says nothing."""
    if repeats_nb(bars, suspect, after):
        return False
    level = bars.close_e8[before]
    moved, kept = bars.close_e8[suspect] - level, bars.close_e8[after] - level
    return kept > limits.kept_share * moved if moved > 0 else kept < limits.kept_share * moved


@njit(cache=True, error_model="numpy", nogil=True)
def repeats_nb(bars: Bars, one: int, other: int) -> bool:
    """Whether two bars say the same of price and volume."""
    return (
        bars.volume_e8[one] == bars.volume_e8[other]
        and bars.close_e8[one] == bars.close_e8[other]
        and bars.open_e8[one] == bars.open_e8[other]
        and bars.high_e8[one] == bars.high_e8[other]
        and bars.low_e8[one] == bars.low_e8[other]
    )


@njit(cache=True, error_model="numpy", nogil=True)
def rule_nb(
    bars: Bars,
    row: int,
    count: int,
    tick_e8: int,
    interval_ms: int,
    limits: SpikeLimits,
    measures: Array2d,
    accepted: IntArray1d,
    work: Array1d,
) -> tuple[int, float]:
    """The first soft rule that the bar breaks, with its score; (0, 0.0) when it breaks none."""
    last = accepted[count - 1]
    code, score = volume_rule_nb(bars, row, count, limits, measures, accepted, work)
    if code > 0 and code != VOLUME_UNIT:
        return code, score
    price_code, price_score = price_rule_nb(bars, row, last, count, tick_e8, interval_ms, limits, measures, work)
    return (price_code, price_score) if price_code > 0 else (code, score)


@njit(cache=True, error_model="numpy", nogil=True)
def price_rule_nb(
    bars: Bars,
    row: int,
    last: int,
    count: int,
    tick_e8: int,
    interval_ms: int,
    limits: SpikeLimits,
    measures: Array2d,
    work: Array1d,
) -> tuple[int, float]:
    """Close, open and wicks against the last believed bar."""
    before = bars.close_e8[last]
    tick = tick_e8 / before
    close_return, open_return = math.log(bars.close_e8[row] / before), math.log(bars.open_e8[row] / before)
    tens = abs(close_return) / LOG_TEN
    if tens > 0.5 and abs(tens - math.floor(tens + 0.5)) < limits.unit_slack:
        return PRICE_UNIT, tens
    move = abs(bars.close_e8[row] / before - 1.0)
    if move > limits.jump_move:
        return JUMP, move
    # Over a hole of n bars a market moves about sqrt(n) times as far.
    span = math.sqrt(max(1.0, (bars.open_time_ms[row] - bars.open_time_ms[last]) / interval_ms))
    if move >= limits.spike_move:
        score = hampel_nb(measures[RETURN], count, close_return, tick, limits, work) / span
        if score >= limits.spike_k:
            return SPIKE, score
    if abs(bars.open_e8[row] / before - 1.0) >= limits.gap_move:
        score = hampel_nb(measures[GAP], count, open_return, tick, limits, work) / span
        if score >= limits.gap_k:
            return OPEN_GAP, score
    reach = reach_nb(bars, row)
    if reach >= limits.wick_move:
        score = hampel_nb(measures[REACH], count, reach, tick, limits, work)
        if score >= limits.wick_k:
            return WICK, score
    return 0, 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def volume_rule_nb(
    bars: Bars,
    row: int,
    count: int,
    limits: SpikeLimits,
    measures: Array2d,
    accepted: IntArray1d,
    work: Array1d,
) -> tuple[int, float]:
    """Volume, trades and repeats against the last believed bars."""
    volume, last = bars.volume_e8[row], accepted[count - 1]
    if volume == 0:
        if bars.trades[row] > 0:
            return TRADES_WITHOUT_VOLUME, float(bars.trades[row])
        if bars.high_e8[row] > bars.low_e8[row] or bars.close_e8[row] != bars.close_e8[last]:
            return MOVE_WITHOUT_VOLUME, abs(math.log(bars.close_e8[row] / bars.close_e8[last]))
        return 0, 0.0
    first = max(0, count - limits.window)
    for at in range(count - 1, first - 1, -1):
        if repeats_nb(bars, row, accepted[at]):
            return STALE_REPEAT, float(count - at)
    if bars.trades[row] == 0 and bars.trades[last] > 0:
        return VOLUME_WITHOUT_TRADES, 0.0
    if count - first >= limits.min_samples:
        usual = median_of_nb(measures[VOLUME], first, count, work)
        if usual > 0.0 and (volume > limits.volume_ratio * usual or volume * limits.volume_ratio < usual):
            return VOLUME_UNIT, abs(math.log10(volume / usual))
    return 0, 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def hampel_nb(measure: Array1d, count: int, value: float, tick: float, limits: SpikeLimits, work: Array1d) -> float:
    """Distance of `value` from the median of the last measures in robust standard deviations; 0 while they are few."""
    first = max(1, count - limits.window)
    if count - first < limits.min_samples:
        return 0.0
    center = median_of_nb(measure, first, count, work)
    for at in range(count - first):
        work[at] = abs(measure[first + at] - center)
    mad = median_nb(work, count - first)
    return abs(value - center) / (MAD_SCALE * max(mad, tick))


@njit(cache=True, error_model="numpy", nogil=True)
def median_of_nb(measure: Array1d, first: int, end: int, work: Array1d) -> float:
    """Median of measure[first:end]."""
    for at in range(end - first):
        work[at] = measure[first + at]
    return median_nb(work, end - first)


@njit(cache=True, error_model="numpy", nogil=True)
def median_nb(work: Array1d, n: int) -> float:
    """Median of the first n values, which are sorted in place."""
    for i in range(1, n):
        value, at = work[i], i
        while at > 0 and work[at - 1] > value:
            work[at] = work[at - 1]
            at -= 1
        work[at] = value
    half = n // 2
    return work[half] if n % 2 == 1 else 0.5 * (work[half - 1] + work[half])
