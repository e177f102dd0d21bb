"""The runs of a change point detector as columns of one array: sums over them, dropping light ones, making room.

State is one float and one integer array. Columns are `cap` long, oldest run first; unused room is zero.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.values import Array1d, IntArray1d

MERGE_FROM = 20.0  # shorter runs are never merged: alarms are read from them

B_MEAN0, B_KAPPA0, B_ALPHA0, B_BETA0, B_HAZARD, B_PRUNE_MASS, B_RATIO0 = 0, 1, 2, 3, 4, 5, 6
B_LOG_EVIDENCE, B_P_RECENT, B_MEAN_LENGTH = 7, 8, 9
B_RUNS = 10
# Columns of the runs, oldest first, each `cap` long: P(L), mean, 1 / beta, L, gamma ratio, and room to work
# (0 at rest).
C_MASS, C_MEAN, C_PRECISION, C_LENGTH, C_RATIO, C_WORK = 0, 1, 2, 3, 4, 5
COLUMNS = 6

J_CAP, J_COUNT, J_SEEN, J_MODE = 0, 1, 2, 3
BOCPD_INTS = 4


@njit(cache=True, error_model="numpy", nogil=True)
def dot_nb(x: Array1d, y: Array1d, n: int) -> float:
    """Sum of the first n products; four accumulators, so that additions need not wait for one another."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    body = n - n % 4
    for j in range(0, body, 4):
        a += x[j] * y[j]
        b += x[j + 1] * y[j + 1]
        c += x[j + 2] * y[j + 2]
        d += x[j + 3] * y[j + 3]
    for j in range(body, n):
        a += x[j] * y[j]
    return (a + b) + (c + d)


@njit(cache=True, error_model="numpy", nogil=True)
def sum_nb(x: Array1d, n: int) -> float:
    """Sum of the first n; four accumulators."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    body = n - n % 4
    for j in range(0, body, 4):
        a += x[j]
        b += x[j + 1]
        c += x[j + 2]
        d += x[j + 3]
    for j in range(body, n):
        a += x[j]
    return (a + b) + (c + d)


@njit(cache=True, error_model="numpy", nogil=True)
def prune_nb(
    mass: Array1d, mean: Array1d, precision: Array1d, length: Array1d, ratio: Array1d, threshold: float
) -> int:
    """Drop the runs below the threshold, close the ranks, rescale to sum 1; answers how many are left."""
    light = 0
    for j in range(mass.shape[0]):
        light += mass[j] < threshold
    kept = mass.shape[0]
    if light > 0:
        kept = 0
        while not mass[kept] < threshold:
            kept += 1
        for j in range(kept, mass.shape[0]):
            if mass[j] < threshold:
                continue
            if kept < j:
                mass[kept], mean[kept], precision[kept] = mass[j], mean[j], precision[j]
                length[kept], ratio[kept] = length[j], ratio[j]
            kept += 1
        for j in range(kept, mass.shape[0]):
            mass[j] = mean[j] = precision[j] = length[j] = ratio[j] = 0.0
    scale = 1.0 / sum_nb(mass, kept)
    for j in range(kept):
        mass[j] *= scale
    return kept


@njit(cache=True, error_model="numpy", nogil=True)
def make_room_nb(f: Array1d, i: IntArray1d) -> None:
    """Merge the two neighbors that differ least; the lightest run goes where only short runs are left.

    A run between two weighted by their masses predicts what they predict but for terms of the second order in
    (difference / length), which is what pairs are judged by. Mass and mean length stay as they are.
    """
    cap, count = i[J_CAP], i[J_COUNT]
    mass = f[B_RUNS : B_RUNS + count]
    length = f[B_RUNS + C_LENGTH * cap : B_RUNS + C_LENGTH * cap + count]
    work = f[B_RUNS + C_WORK * cap : B_RUNS + C_WORK * cap + count]
    for j in range(count - 1):
        gap = (length[j] - length[j + 1]) / length[j]
        loss = min(mass[j], mass[j + 1]) * gap * gap
        work[j] = loss if length[j + 1] > MERGE_FROM else math.inf
    work[count - 1] = math.inf
    at = lightest_nb(work)
    is_merged = work[at] < math.inf
    for j in range(count):
        work[j] = 0.0
    if is_merged:
        total = mass[at] + mass[at + 1]
        share = mass[at + 1] / total
        for column in range(1, COLUMNS - 1):
            own = B_RUNS + column * cap + at
            f[own] += share * (f[own + 1] - f[own])
        mass[at] = total
        at += 1
    else:
        at = lightest_nb(mass)
        scale = 1.0 / (1.0 - mass[at])
        for j in range(count):
            mass[j] *= scale
    for column in range(COLUMNS - 1):
        start = B_RUNS + column * cap
        _remove_nb(f, start + at, start + count - 1)
    i[J_COUNT] = count - 1


@njit(cache=True, error_model="numpy", nogil=True)
def _remove_nb(f: Array1d, at: int, last: int) -> None:
    """Close the gap at one place of a column that ends at `last`; the freed last place becomes 0."""
    for j in range(at, last):
        f[j] = f[j + 1]
    f[last] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def lightest_nb(mass: Array1d) -> int:
    """The place of the smallest mass, the oldest of equals. Bits of numbers from 0 on are ordered as they are."""
    bits, n = mass.view(np.int64), mass.shape[0]
    least = bits[0]
    for j in range(n):
        least = min(least, bits[j])
    at = 0
    while bits[at] > least:
        at += 1
    return at


@njit(cache=True, error_model="numpy", nogil=True)
def heaviest_nb(mass: Array1d, n: int) -> int:
    """The place of the largest of the first n masses, the youngest of equals."""
    bits = mass.view(np.int64)
    most, at = bits[0], 0
    for j in range(n):
        most = max(most, bits[j])
    for j in range(n):
        at = max(at, j if bits[j] == most else 0)
    return at
