"""What do the usual indicators say of a whole series? Batch kernels in TA-Lib's conventions.

Exponential averages start at the mean of their first values, Wilder's at the mean of the first changes, Bollinger's
deviation is the population's, both averages of the MACD start at the same bar. Two departures: the relative strength
of a flat series is 50, and Donchian's channel leaves out the present bar. What is not defined yet is NaN in the output;
input must be finite. A value depends on its past alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.errors import InvalidInput
from apps.engine.metrics import finite_array
from apps.engine.values import Array1d, IntArray1d


class Bands(NamedTuple):
    """A line between two others."""

    lower: Array1d
    middle: Array1d
    upper: Array1d


class Macd(NamedTuple):
    """Fast less slow average, the average of that, and their difference."""

    line: Array1d
    signal: Array1d
    histogram: Array1d


def sma(x: Array1d, bars: int) -> Array1d:
    """Mean of the last `bars` values, from index bars - 1."""
    (values,) = _columns(bars, 1, x=x)
    out = _blank(values)
    sma_nb(values, bars, out)
    return out


def ema(x: Array1d, bars: int) -> Array1d:
    """Exponential average, weight 2 / (bars + 1), started at the mean of the first `bars` values."""
    (values,) = _columns(bars, 1, x=x)
    out = _blank(values)
    ema_nb(values, 0, bars, out)
    return out


def rsi(close: Array1d, bars: int = 14) -> Array1d:
    """Wilder's relative strength index, from index `bars`; 50 where no price has changed."""
    (values,) = _columns(bars, 2, close=close)
    out = _blank(values)
    rsi_nb(values, bars, out)
    return out


def true_range(high: Array1d, low: Array1d, close: Array1d) -> Array1d:
    """The bar's range and the way from the last close, whichever is larger; from index 1."""
    highs, lows, closes = _columns(1, 1, high=high, low=low, close=close)
    out = _blank(closes)
    true_range_nb(highs, lows, closes, out)
    return out


def atr(high: Array1d, low: Array1d, close: Array1d, bars: int = 14) -> Array1d:
    """Wilder's average of the true range, from index `bars`."""
    highs, lows, closes = _columns(bars, 1, high=high, low=low, close=close)
    out = _blank(closes)
    atr_nb(highs, lows, closes, bars, out)
    return out


def bollinger(close: Array1d, bars: int = 20, deviations: float = 2.0) -> Bands:
    """Mean of the last `bars` closes and so many population deviations around it."""
    (values,) = _columns(bars, 1, close=close)
    if not (math.isfinite(deviations) and deviations >= 0.0):
        raise InvalidInput(f"deviations must be finite and not below 0, not {deviations}", field="deviations")
    bands = Bands(_blank(values), _blank(values), _blank(values))
    bollinger_nb(values, bars, deviations, *bands)
    return bands


def macd(close: Array1d, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """Convergence of two exponential averages, both started at bar slow - 1; the line begins there."""
    (values,) = _columns(min(fast, signal), 1, close=close)
    if not fast < slow:
        raise InvalidInput(f"fast must be below slow, not {fast} and {slow}", field="fast")
    out = Macd(_blank(values), _blank(values), _blank(values))
    macd_nb(values, fast, slow, signal, *out)
    return out


def donchian(high: Array1d, low: Array1d, bars: int = 20) -> Bands:
    """Highest high and lowest low of the `bars` bars before the present one, and their middle; from index `bars`."""
    highs, lows = _columns(bars, 1, high=high, low=low)
    bands = Bands(_blank(highs), _blank(highs), _blank(highs))
    queue = np.zeros(bars, np.int64)
    previous_max_nb(highs, bars, 1.0, queue, bands.upper)
    previous_max_nb(lows, bars, -1.0, queue, bands.lower)
    bands.middle[:] = 0.5 * (bands.lower + bands.upper)
    return bands


@njit(cache=True, error_model="numpy", nogil=True)
def sma_nb(x: Array1d, bars: int, out: Array1d) -> None:
    """A running sum, taken afresh once per window so that nothing drifts."""
    total = 0.0
    for t in range(x.shape[0]):
        if (t + 1) % bars == 0:
            total = 0.0
            for j in range(t - bars + 1, t + 1):
                total += x[j]
        else:
            total += x[t]
            if t >= bars:
                total -= x[t - bars]
        if t >= bars - 1:
            out[t] = total / bars


@njit(cache=True, error_model="numpy", nogil=True)
def ema_nb(x: Array1d, start: int, bars: int, out: Array1d) -> None:
    """The average of x[start:], whose first value is at start + bars - 1."""
    first = start + bars - 1
    if first >= x.shape[0]:
        return
    total = 0.0
    for t in range(start, first + 1):
        total += x[t]
    level, weight = total / bars, 2.0 / (bars + 1.0)
    out[first] = level
    for t in range(first + 1, x.shape[0]):
        level += weight * (x[t] - level)
        out[t] = level


@njit(cache=True, error_model="numpy", nogil=True)
def rsi_nb(close: Array1d, bars: int, out: Array1d) -> None:
    gain = loss = 0.0
    for t in range(1, close.shape[0]):
        change = close[t] - close[t - 1]
        up, down = max(change, 0.0), max(-change, 0.0)
        if t <= bars:
            gain += up
            loss += down
            if t == bars:
                gain /= bars
                loss /= bars
        else:
            gain = (gain * (bars - 1) + up) / bars
            loss = (loss * (bars - 1) + down) / bars
        if t >= bars:
            total = gain + loss
            out[t] = 100.0 * (gain / total) if total > 0.0 else 50.0


@njit(cache=True, error_model="numpy", nogil=True)
def true_range_nb(high: Array1d, low: Array1d, close: Array1d, out: Array1d) -> None:
    for t in range(1, close.shape[0]):
        out[t] = max(high[t] - low[t], max(abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1])))


@njit(cache=True, error_model="numpy", nogil=True)
def atr_nb(high: Array1d, low: Array1d, close: Array1d, bars: int, out: Array1d) -> None:
    level = 0.0
    for t in range(1, close.shape[0]):
        way = max(high[t] - low[t], max(abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1])))
        if t <= bars:
            level += way
            if t == bars:
                level /= bars
                out[t] = level
        else:
            level = (level * (bars - 1) + way) / bars
            out[t] = level


@njit(cache=True, error_model="numpy", nogil=True)
def bollinger_nb(close: Array1d, bars: int, deviations: float, lower: Array1d, middle: Array1d, upper: Array1d) -> None:
    """Each deviation from its own window's mean: a running sum of squares would lose it at high prices."""
    sma_nb(close, bars, middle)
    for t in range(bars - 1, close.shape[0]):
        square = 0.0
        for j in range(t - bars + 1, t + 1):
            square += (close[j] - middle[t]) * (close[j] - middle[t])
        width = deviations * math.sqrt(square / bars)
        lower[t], upper[t] = middle[t] - width, middle[t] + width


@njit(cache=True, error_model="numpy", nogil=True)
def macd_nb(
    close: Array1d, fast: int, slow: int, signal: int, line: Array1d, signal_line: Array1d, histogram: Array1d
) -> None:
    """The fast average starts late, so that both have their first value at slow - 1."""
    ema_nb(close, slow - fast, fast, line)
    ema_nb(close, 0, slow, signal_line)
    for t in range(slow - 1, close.shape[0]):
        line[t] -= signal_line[t]
        signal_line[t] = math.nan
    ema_nb(line, slow - 1, signal, signal_line)
    for t in range(slow + signal - 2, close.shape[0]):
        histogram[t] = line[t] - signal_line[t]


@njit(cache=True, error_model="numpy", nogil=True)
def previous_max_nb(x: Array1d, bars: int, sign: float, queue: IntArray1d, out: Array1d) -> None:
    """Largest of the `bars` values before each one (smallest with sign -1); `queue` is room for `bars` indexes.

    The queue holds what may yet be a maximum: falling values, oldest first, in a ring. Each value enters and leaves
    once.
    """
    head, count = 0, 0
    for t in range(x.shape[0]):
        if t >= bars:
            if queue[head] < t - bars:
                head = (head + 1) % bars
                count -= 1
            out[t] = x[queue[head]]
        while count > 0 and sign * x[queue[(head + count - 1) % bars]] <= sign * x[t]:
            count -= 1
        if count == bars:  # the oldest, t - bars, is past use for the next bar
            head = (head + 1) % bars
            count -= 1
        queue[(head + count) % bars] = t
        count += 1


def _columns(bars: int, least: int, **columns: Array1d) -> tuple[Array1d, ...]:
    """The columns as finite contiguous floats of one length."""
    if bars < least:
        raise InvalidInput(f"bars must be at least {least}, not {bars}", field="bars")
    arrays = tuple(np.ascontiguousarray(finite_array(values, name)) for name, values in columns.items())
    if len({array.shape[0] for array in arrays}) > 1:
        raise InvalidInput("columns differ in length", field=next(iter(columns)))
    return arrays


def _blank(like: Array1d) -> Array1d:
    return np.full(like.shape[0], math.nan)
