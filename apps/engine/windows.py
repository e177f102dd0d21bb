"""What are median, spread and rank of the last n values? Rolling windows kept both in order of arrival and sorted.

A window is a block of a float array, `ring[capacity]` followed by `ordered[capacity]`, at `at`, and three integers
(capacity, count, next position) at `head`. Nothing is summed incrementally, so nothing drifts.

Signatures are given: the compiler would make each function anew for every constant that it is called with.
"""

from __future__ import annotations

import math

from numba import njit

from apps.engine.values import Array1d, IntArray1d

WINDOW_INTS = 3
MAD_SCALE = 1.4826
MIN_SAMPLES = 30


def window_floats(capacity: int) -> int:
    """How many floats a window of this capacity takes."""
    return 2 * capacity


@njit("i8(f8[::1], i8, i8, f8)", cache=True, error_model="numpy", nogil=True)
def rank_nb(f: Array1d, start: int, count: int, value: float) -> int:
    """How many of the sorted values f[start : start + count] are below `value`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if f[start + middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit("void(f8[::1], i8, i8[::1], i8, f8)", cache=True, error_model="numpy", nogil=True)
def window_push_nb(f: Array1d, at: int, i: IntArray1d, head: int, value: float) -> None:
    """Append a finite value; the oldest leaves a full window."""
    capacity, count, position = i[head], i[head + 1], i[head + 2]
    ordered = at + capacity
    place, hole = rank_nb(f, ordered, count, value), count
    if count == capacity:
        hole = rank_nb(f, ordered, count, f[at + position])
    else:
        i[head + 1] = count + 1
    # Only what lies between the hole and the place of the new value moves.
    if place > hole:
        place -= 1
        for j in range(ordered + hole, ordered + place):
            f[j] = f[j + 1]
    else:
        for j in range(ordered + hole, ordered + place, -1):
            f[j] = f[j - 1]
    f[ordered + place] = value
    f[at + position] = value
    position += 1
    i[head + 2] = 0 if position == capacity else position


@njit("f8(f8[::1], i8, i8[::1], i8)", cache=True, error_model="numpy", nogil=True)
def window_median_nb(f: Array1d, at: int, i: IntArray1d, head: int) -> float:
    """Median of a window that is not empty."""
    ordered, count = at + i[head], i[head + 1]
    half = count // 2
    if count % 2 == 1:
        return f[ordered + half]
    return 0.5 * (f[ordered + half - 1] + f[ordered + half])


@njit("f8(f8[::1], i8, i8, f8, i8)", cache=True, error_model="numpy", nogil=True)
def _nearest_nb(f: Array1d, ordered: int, count: int, center: float, k: int) -> float:
    """Distance from `center` to the k-th nearest of the sorted values (k from 1).

    The k nearest are neighbors, f[low : low + k]: moving right, the distance to the left end falls and that to the
    right end grows, so the best `low` is where they cross.
    """
    low, high = 0, count - k
    while low < high:
        middle = (low + high) // 2
        if center - f[ordered + middle] > f[ordered + middle + k] - center:
            low = middle + 1
        else:
            high = middle
    return max(center - f[ordered + low], f[ordered + low + k - 1] - center)


@njit("f8(f8[::1], i8, i8[::1], i8, f8)", cache=True, error_model="numpy", nogil=True)
def window_mad_nb(f: Array1d, at: int, i: IntArray1d, head: int, center: float) -> float:
    """Median absolute deviation from `center` of a window that is not empty, unscaled."""
    ordered, count = at + i[head], i[head + 1]
    half = count // 2
    if count % 2 == 1:
        return _nearest_nb(f, ordered, count, center, half + 1)
    return 0.5 * (_nearest_nb(f, ordered, count, center, half) + _nearest_nb(f, ordered, count, center, half + 1))


@njit("f8(f8[::1], i8, i8[::1], i8, f8)", cache=True, error_model="numpy", nogil=True)
def window_standardize_nb(f: Array1d, at: int, i: IntArray1d, head: int, value: float) -> float:
    """(value - median) / (1.4826 MAD); NaN below 30 values or without spread."""
    if i[head + 1] < MIN_SAMPLES:
        return math.nan
    median = window_median_nb(f, at, i, head)
    spread = MAD_SCALE * window_mad_nb(f, at, i, head, median)
    if not spread > 0.0:
        return math.nan
    return (value - median) / spread


@njit("f8(f8[::1], i8, i8[::1], i8, f8)", cache=True, error_model="numpy", nogil=True)
def window_quantile_nb(f: Array1d, at: int, i: IntArray1d, head: int, value: float) -> float:
    """Share of the window below `value`, ties counting half."""
    ordered, count = at + i[head], i[head + 1]
    below = rank_nb(f, ordered, count, value)
    ties = 0
    while below + ties < count and f[ordered + below + ties] <= value:
        ties += 1
    return (below + 0.5 * ties) / count


@njit("f8(f8[::1], i8, i8[::1], i8, i8)", cache=True, error_model="numpy", nogil=True)
def ring_mean_nb(f: Array1d, at: int, i: IntArray1d, head: int, n: int) -> float:
    """Mean of the newest n values of a window's ring; n is at most its count."""
    total = 0.0
    position = i[head + 2]
    newest = min(n, position)
    for j in range(position - newest, position):
        total += f[at + j]
    capacity = i[head]
    for j in range(capacity - (n - newest), capacity):
        total += f[at + j]
    return total / n


@njit("void(f8[::1], i8, i8[::1], i8, f8)", cache=True, error_model="numpy", nogil=True)
def ring_push_nb(f: Array1d, at: int, i: IntArray1d, head: int, value: float) -> None:
    """Append to a ring that keeps no sorted copy (capacity floats only)."""
    capacity, position = i[head], i[head + 2]
    f[at + position] = value
    i[head + 1] = min(i[head + 1] + 1, capacity)
    i[head + 2] = 0 if position + 1 == capacity else position + 1


@njit("UniTuple(f8, 2)(f8[::1], i8, i8, f8)", cache=True, error_model="numpy", nogil=True)
def centered_moments_nb(f: Array1d, start: int, n: int, reference: float) -> tuple[float, float]:
    """(mean - reference, population sd) of f[start : start + n].

    Taken afresh from the values less `reference` (the newest of them), so a flat window gives exactly (0, 0) and
    nothing drifts. Four accumulators each: the additions need not wait for one another.
    """
    sum_a, sum_b, sum_c, sum_d = 0.0, 0.0, 0.0, 0.0
    square_a, square_b, square_c, square_d = 0.0, 0.0, 0.0, 0.0
    body = n - n % 4
    for j in range(start, start + body, 4):
        a, b, c, d = f[j] - reference, f[j + 1] - reference, f[j + 2] - reference, f[j + 3] - reference
        sum_a += a
        sum_b += b
        sum_c += c
        sum_d += d
        square_a += a * a
        square_b += b * b
        square_c += c * c
        square_d += d * d
    for j in range(start + body, start + n):
        a = f[j] - reference
        sum_a += a
        square_a += a * a
    mean = ((sum_a + sum_b) + (sum_c + sum_d)) / n
    square = ((square_a + square_b) + (square_c + square_d)) / n
    return mean, math.sqrt(max(square - mean * mean, 0.0))


@njit("void(f8[::1], i8, f8, f8)", cache=True, error_model="numpy", nogil=True)
def ewma_push_nb(f: Array1d, at: int, alpha: float, value: float) -> None:
    """Feed an exponentially weighted mean kept as weighted sum f[at] and weight f[at + 1], both started at 0.

    Their ratio is the mean with normalized weights: no seed, hence no memory of an arbitrary first value.
    """
    f[at] += alpha * (value - f[at])
    f[at + 1] += alpha * (1.0 - f[at + 1])
