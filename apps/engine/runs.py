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
# Columns of the runs, oldest first, each `cap` long: P(L), mean, 1 / beta, the length n of which kappa and alpha are
# made, gamma ratio, L - n (0 until a run is merged), and room to work (0 at rest).
C_MASS, C_MEAN, C_PRECISION, C_LENGTH, C_RATIO, C_OFFSET, C_WORK = 0, 1, 2, 3, 4, 5, 6
COLUMNS = 7

J_CAP, J_COUNT, J_SEEN, J_MODE, J_LIMIT = 0, 1, 2, 3, 4
BOCPD_INTS = 5

COARSE = 3  # what part of its room a full detector goes on with
MERGES = 16  # pairs merged at a time


@njit(cache=True, error_model="numpy", nogil=True)
def mean_length_nb(mass: Array1d, length: Array1d, offset: Array1d, n: int) -> float:
    """Sum of mass times told length over the first n; eight accumulators need not wait for one another."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    body = n - n % 8
    for j in range(0, body, 8):
        s0 += mass[j] * (length[j] + offset[j])
        s1 += mass[j + 1] * (length[j + 1] + offset[j + 1])
        s2 += mass[j + 2] * (length[j + 2] + offset[j + 2])
        s3 += mass[j + 3] * (length[j + 3] + offset[j + 3])
        s4 += mass[j + 4] * (length[j + 4] + offset[j + 4])
        s5 += mass[j + 5] * (length[j + 5] + offset[j + 5])
        s6 += mass[j + 6] * (length[j + 6] + offset[j + 6])
        s7 += mass[j + 7] * (length[j + 7] + offset[j + 7])
    for j in range(body, n):
        s0 += mass[j] * (length[j] + offset[j])
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@njit(cache=True, error_model="numpy", nogil=True)
def sum_nb(x: Array1d, n: int) -> float:
    """Sum of the first n; eight accumulators."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    body = n - n % 8
    for j in range(0, body, 8):
        s0 += x[j]
        s1 += x[j + 1]
        s2 += x[j + 2]
        s3 += x[j + 3]
        s4 += x[j + 4]
        s5 += x[j + 5]
        s6 += x[j + 6]
        s7 += x[j + 7]
    for j in range(body, n):
        s0 += x[j]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@njit(cache=True, error_model="numpy", nogil=True)
def prune_nb(
    mass: Array1d, mean: Array1d, precision: Array1d, length: Array1d, ratio: Array1d, offset: Array1d,
    threshold: float, total: float,
) -> int:  # fmt: skip
    """Drop the runs below the threshold, close the ranks, rescale to sum 1; answers how many are left.

    `total` is the sum of all masses.
    """
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
                length[kept], ratio[kept], offset[kept] = length[j], ratio[j], offset[j]
            kept += 1
        for j in range(kept, mass.shape[0]):
            mass[j] = mean[j] = precision[j] = length[j] = ratio[j] = offset[j] = 0.0
        total = sum_nb(mass, kept)
    scale = 1.0 / total
    for j in range(kept):
        mass[j] *= scale
    return kept


@njit(cache=True, error_model="numpy", nogil=True)
def make_room_nb(f: Array1d, i: IntArray1d) -> None:
    """Merge the neighbors that differ least; the lightest run goes where only short runs are left.

    A detector that was full goes on with a third of its room, until a change leaves it less than half of that: what is
    merged differs so little that more runs would show nothing, and a series full of changes never gets here.
    """
    cap, count = i[J_CAP], i[J_COUNT]
    limit = max(cap // COARSE, 2)
    i[J_LIMIT] = limit
    goal = max(limit - MERGES, limit // 2, 1)
    while i[J_COUNT] > goal and merge_some_nb(f, i, i[J_COUNT] - goal):
        pass
    if i[J_COUNT] < cap:
        return
    mass, at = f[B_RUNS : B_RUNS + count], 0
    at = lightest_nb(mass)
    scale = 1.0 / (1.0 - mass[at])
    for j in range(count):
        mass[j] *= scale
    for column in range(COLUMNS - 1):
        start = B_RUNS + column * cap
        for j in range(start + at, start + count - 1):
            f[j] = f[j + 1]
        f[start + count - 1] = 0.0
    i[J_COUNT] = count - 1


@njit(cache=True, error_model="numpy", nogil=True)
def merge_some_nb(f: Array1d, i: IntArray1d, wanted: int) -> bool:
    """Merge up to MERGES pairs, none of them neighbors of one another; False where no pair may be merged."""
    cap, count = i[J_CAP], i[J_COUNT]
    start, end = B_RUNS, B_RUNS + count
    mass, mean = f[start:end], f[start + cap : end + cap]
    precision, length = f[start + 2 * cap : end + 2 * cap], f[start + 3 * cap : end + 3 * cap]
    ratio, offset = f[start + 4 * cap : end + 4 * cap], f[start + 5 * cap : end + 5 * cap]
    work = f[start + 6 * cap : end + 6 * cap]
    _losses_nb(mass, mean, precision, length, offset, work, f[B_KAPPA0], f[B_ALPHA0])
    n_merged = 0
    while n_merged < min(wanted, MERGES):
        at = lightest_nb(work)
        if not work[at] < math.inf:
            break
        _merge_nb(mass, mean, precision, length, ratio, offset, at, f[B_KAPPA0], f[B_ALPHA0])
        work[max(at - 1, 0)] = work[at] = work[at + 1] = math.inf
        n_merged += 1
    for j in range(count):
        work[j] = 0.0
    if n_merged > 0:
        i[J_COUNT] = prune_nb(mass, mean, precision, length, ratio, offset, 0.0, 1.0)
    return n_merged > 0


@njit(cache=True, error_model="numpy", nogil=True)
def _losses_nb(
    mass: Array1d, mean: Array1d, precision: Array1d, length: Array1d, offset: Array1d, work: Array1d,
    kappa0: float, alpha0: float,
) -> None:  # fmt: skip
    """How much is lost by merging each run with the next one; infinite where that one is short.

    Moments are kept, so what is lost goes by the square of how far the two are apart, in their own uncertainty.
    """
    for j in range(mass.shape[0] - 1):
        rate, next_rate = (alpha0 + 0.5 * length[j]) * precision[j], (alpha0 + 0.5 * length[j + 1]) * precision[j + 1]
        both, told = rate + next_rate, length[j + 1] + offset[j + 1]
        between, unlike = mean[j] - mean[j + 1], (rate - next_rate) / both
        gap = 1.0 - told / (length[j] + offset[j])
        apart = (kappa0 + length[j]) * (0.5 * both * between * between + 2.0 * unlike * unlike) + gap
        loss = min(mass[j], mass[j + 1]) * apart * apart
        work[j] = loss if told > MERGE_FROM else math.inf
    work[mass.shape[0] - 1] = math.inf


@njit(cache=True, error_model="numpy", nogil=True)
def _merge_nb(
    mass: Array1d, mean: Array1d, precision: Array1d, length: Array1d, ratio: Array1d, offset: Array1d, at: int,
    kappa0: float, alpha0: float,
) -> None:  # fmt: skip
    """Put two neighbors' mass into the first one, with what they expect together of mu and lambda = 1 / sigma^2.

    E[lambda], E[log lambda], E[mu lambda] and E[mu^2 lambda] give mean, beta, kappa and alpha. One length stands for
    the last two, their mean: merged runs know a little less than their observations would make one of them know.
    log a - digamma(a) is 1 / (2 a) + 1 / (12 a^2) here, a being above 10. The second run's mass becomes -1.
    """
    after = at + 1
    total = mass[at] + mass[after]
    b = mass[after] / total if total > 0.0 else 0.5
    a = 1.0 - b
    alpha1, alpha2 = alpha0 + 0.5 * length[at], alpha0 + 0.5 * length[after]
    rate1, rate2 = alpha1 * precision[at], alpha2 * precision[after]
    rate, between = a * rate1 + b * rate2, mean[after] - mean[at]
    share = b * rate2 / rate
    spread = a / (kappa0 + length[at]) + b / (kappa0 + length[after]) + a * rate1 * share * between * between
    deficit = a * (0.5 / alpha1 + 1.0 / (12.0 * alpha1 * alpha1) + math.log(rate / rate1))
    deficit += b * (0.5 / alpha2 + 1.0 / (12.0 * alpha2 * alpha2) + math.log(rate / rate2))
    alpha = (1.0 + math.sqrt(1.0 + 4.0 / 3.0 * deficit)) / (4.0 * deficit)
    told = a * (length[at] + offset[at]) + b * (length[after] + offset[after])
    n = max(0.5 * (1.0 / spread - kappa0) + (alpha - alpha0), MERGE_FROM)
    alpha = alpha0 + 0.5 * n
    mean[at] += share * between
    precision[at] = rate / alpha
    length[at], offset[at] = n, told - n
    ratio[at] = gamma_ratio_nb(alpha)
    mass[at], mass[after] = total, -1.0


@njit(cache=True, error_model="numpy", nogil=True)
def gamma_ratio_nb(alpha: float) -> float:
    """Gamma(alpha + 1/2) / (Gamma(alpha) sqrt(pi)) for alpha from 10 on, relative error below 1e-11."""
    r = 1.0 / (8.0 * alpha)
    series = 1.0 + r * (-1.0 + r * (0.5 + r * (2.5 + r * (-2.625 + r * (-49.875 + r * (54.3125 + r * 2457.8125))))))
    return math.sqrt(alpha / math.pi) * series


@njit(cache=True, error_model="numpy", nogil=True)
def lightest_nb(mass: Array1d) -> int:
    """The place of the smallest mass, the oldest of equals. Bits of numbers from 0 on are ordered as they are."""
    bits, n = mass.view(np.int64), mass.shape[0]
    least, at = bits[0], n
    for j in range(n):
        least = min(least, bits[j])
    for j in range(n):
        at = min(at, j if bits[j] == least else n)
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
