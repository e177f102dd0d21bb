"""How long has the present segment lasted? Bayesian online change point detection (Adams & MacKay 2007).

Gaussian segments with a Normal-Inverse-Gamma prior and a constant hazard. What is kept is the posterior of L, the
number of observations in the current segment including the newest: one run per L. (The paper's P(r = 0) equals the
hazard whatever the data are, so nothing can be read from it; alarms go by P(L <= 10).)

Runs lighter than `prune_mass` are dropped and the rest renormalized; 0 keeps all of them and is exact. State is one
float and one integer array, unused room is zero, a copy is a snapshot. Masses are linear, rescaled to sum 1 at each
step: a run's predictive density underflows only where it is nothing beside that of the newest run.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.errors import InvalidInput
from apps.engine.values import Array1d, IntArray1d

RUN_CAP = 2000
RECENT = 10

B_MEAN0, B_KAPPA0, B_ALPHA0, B_BETA0, B_HAZARD, B_PRUNE_MASS, B_RATIO0 = 0, 1, 2, 3, 4, 5, 6
B_LOG_EVIDENCE, B_P_RECENT, B_MEAN_LENGTH = 7, 8, 9
B_RUNS = 10
# Columns of the runs, oldest first, each `cap` long: P(L), mean, 1 / beta, L, gamma ratio, and room to work
# (0 at rest).
C_MASS, C_MEAN, C_PRECISION, C_LENGTH, C_RATIO, C_WORK = 0, 1, 2, 3, 4, 5
COLUMNS = 6

J_CAP, J_COUNT, J_SEEN, J_MODE = 0, 1, 2, 3
BOCPD_INTS = 4

# Below these bounds of s and 2 alpha s the power (1 + u)^-alpha comes from short series, several runs at a time.
SMALL_S, SMALL_EXPONENT = 0.075, 8.0


def bocpd_floats(cap: int) -> int:
    """How many floats a detector of at most `cap` runs takes."""
    return B_RUNS + COLUMNS * cap


def bocpd_state(
    cap: int = RUN_CAP,
    *,
    prior: tuple[float, float, float, float] = (0.0, 1.0, 2.0, 1.0),
    hazard: float = 1.0 / 250.0,
    prune_mass: float = 1e-8,
) -> tuple[Array1d, IntArray1d]:
    """State before the first observation. `prior` is (mean, kappa, alpha, beta)."""
    mean, kappa, alpha, beta = prior
    if not (all(math.isfinite(value) for value in prior) and min(kappa, alpha, beta) > 0.0):
        raise InvalidInput(f"prior {prior} must be finite with kappa, alpha and beta above 0", field="prior")
    if not 0.0 < hazard < 1.0:
        raise InvalidInput(f"hazard must lie between 0 and 1, not {hazard}", field="hazard")
    if not 0.0 <= prune_mass < hazard:
        raise InvalidInput(f"prune_mass must be from 0 to below the hazard, not {prune_mass}", field="prune_mass")
    if cap < 2:
        raise InvalidInput(f"cap must be at least 2 runs, not {cap}", field="cap")
    f, i = np.zeros(bocpd_floats(cap)), np.zeros(BOCPD_INTS, dtype=np.int64)
    f[:B_RATIO0] = mean, kappa, alpha, beta, hazard, prune_mass
    f[B_RATIO0] = math.exp(math.lgamma(alpha + 0.5) - math.lgamma(alpha)) / math.sqrt(math.pi)
    i[J_CAP] = cap
    return f, i


@njit(cache=True, error_model="numpy", nogil=True)
def bocpd_update_nb(f: Array1d, i: IntArray1d, x: float) -> float:
    """Take in one finite observation; answers ln p(x | what came before)."""
    cap = i[J_CAP]
    if i[J_COUNT] == cap:
        _drop_lightest_nb(f, i)
    _birth_nb(f, i)
    start, end = B_RUNS, B_RUNS + i[J_COUNT]
    mass, mean = f[start:end], f[start + cap : end + cap]
    precision, length = f[start + 2 * cap : end + 2 * cap], f[start + 3 * cap : end + 3 * cap]
    ratio, work = f[start + 4 * cap : end + 4 * cap], f[start + 5 * cap : end + 5 * cap]
    _learn_nb(mass, mean, precision, length, ratio, work, f[B_KAPPA0], f[B_ALPHA0], x)
    _tail_powers_nb(mass, length, work, f[B_ALPHA0])
    total = _sum_nb(mass, mass.shape[0])
    f[B_LOG_EVIDENCE] += math.log(total)
    i[J_SEEN] += 1
    i[J_COUNT] = _prune_nb(mass, mean, precision, length, ratio, f[B_PRUNE_MASS] * total)
    _summarize_nb(f, i, mass, length)
    return math.log(total)


@njit(cache=True, error_model="numpy", nogil=True)
def _birth_nb(f: Array1d, i: IntArray1d) -> None:
    """Split the hazard off every run into one that starts with the coming observation."""
    cap, count, hazard = i[J_CAP], i[J_COUNT], f[B_HAZARD]
    for j in range(B_RUNS, B_RUNS + count):
        f[j] *= 1.0 - hazard
    at = B_RUNS + count
    f[at] = hazard if count > 0 else 1.0
    f[at + cap] = f[B_MEAN0]
    f[at + 2 * cap] = 1.0 / f[B_BETA0]
    f[at + 3 * cap] = 0.0
    f[at + 4 * cap] = f[B_RATIO0]
    i[J_COUNT] = count + 1


@njit(cache=True, error_model="numpy", nogil=True)
def _learn_nb(
    mass: Array1d, mean: Array1d, precision: Array1d, length: Array1d, ratio: Array1d, work: Array1d,
    kappa0: float, alpha0: float, x: float,
) -> None:  # fmt: skip
    """Update every run by x, and its mass by its Student-t predictive density but for the power, whose s goes to work.

    With u = kappa (x - mean)^2 / (2 (kappa + 1) beta) the density is
    ratio * sqrt(kappa / (2 (kappa + 1) beta')) * (1 + u)^-alpha, where beta' = beta (1 + u) and
    ratio(alpha) = Gamma(alpha + 1/2) / (Gamma(alpha) sqrt(pi)), so that ratio(a) ratio(a + 1/2) = a / pi.
    s = u / (2 + u). Divisions are what costs here, so one stands for the four by a, a + c, 2 a + c and pi ratio.
    """
    for j in range(mass.shape[0]):
        kappa = kappa0 + length[j]
        distance = x - mean[j]
        a = kappa + 1.0
        c = 0.5 * kappa * distance * distance * precision[j]  # u = c / a
        b, e, r = a + c, 2.0 * a + c, math.pi * ratio[j]
        ab, er = a * b, e * r
        inverse = 1.0 / (ab * er)
        per_a = inverse * er * b
        precision[j] *= inverse * er * a * a
        mass[j] *= ratio[j] * math.sqrt(0.5 * kappa * per_a * precision[j])
        mean[j] += distance * per_a
        ratio[j] = (alpha0 + 0.5 * length[j]) * inverse * ab * e
        work[j] = c * inverse * ab * r
        length[j] += 1.0


@njit(cache=True, error_model="numpy", nogil=True)
def _tail_powers_nb(mass: Array1d, length: Array1d, work: Array1d, alpha0: float) -> None:
    """Multiply each mass by (1 + u)^-alpha = exp(-2 alpha artanh(s)) and clear the work column."""
    before, n = 2.0 * alpha0 - 1.0, mass.shape[0]
    large = 0
    for j in range(n):
        large += (work[j] > SMALL_S) | (work[j] * (before + length[j]) > SMALL_EXPONENT)
    j = n - 1
    while large > 0:  # from the youngest, among which most of them are
        s = work[j]
        if (s > SMALL_S) | (s * (before + length[j]) > SMALL_EXPONENT):
            mass[j] *= math.exp(-0.5 * (before + length[j]) * math.log1p(2.0 * s / (1.0 - s)))
            work[j] = 0.0
            large -= 1
        j -= 1
    for j in range(n):
        s = work[j]
        q = s * s
        # artanh(s) to s^15, then exp(t / 64) to t^10 and six squarings.
        p = 1.0 / 13.0 + q * (1.0 / 15.0)
        p = 1.0 / 9.0 + q * (1.0 / 11.0 + q * p)
        p = 1.0 / 5.0 + q * (1.0 / 7.0 + q * p)
        p = 1.0 + q * (1.0 / 3.0 + q * p)
        t = (before + length[j]) * s * p * (-1.0 / 64.0)
        e = 1.0 / 362880.0 + t * (1.0 / 3628800.0)
        e = 1.0 / 5040.0 + t * (1.0 / 40320.0 + t * e)
        e = 1.0 / 120.0 + t * (1.0 / 720.0 + t * e)
        e = 1.0 / 6.0 + t * (1.0 / 24.0 + t * e)
        e = 1.0 + t * (1.0 + t * (0.5 + t * e))
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        mass[j] *= e * e
        work[j] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _dot_nb(x: Array1d, y: Array1d, n: int) -> float:
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
def _sum_nb(x: Array1d, n: int) -> float:
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
def _prune_nb(
    mass: Array1d, mean: Array1d, precision: Array1d, length: Array1d, ratio: Array1d, threshold: float
) -> int:
    """Drop the runs below the threshold, close the ranks, rescale to sum 1; answers how many are left."""
    light = 0
    for j in range(mass.shape[0]):
        light += mass[j] < threshold
    kept = mass.shape[0]
    if light > 0:
        kept = 0
        for j in range(mass.shape[0]):
            if mass[j] < threshold:
                continue
            if kept < j:
                mass[kept], mean[kept], precision[kept] = mass[j], mean[j], precision[j]
                length[kept], ratio[kept] = length[j], ratio[j]
            kept += 1
        for j in range(kept, mass.shape[0]):
            mass[j] = mean[j] = precision[j] = length[j] = ratio[j] = 0.0
    scale = 1.0 / _sum_nb(mass, kept)
    for j in range(kept):
        mass[j] *= scale
    return kept


@njit(cache=True, error_model="numpy", nogil=True)
def _drop_lightest_nb(f: Array1d, i: IntArray1d) -> None:
    """Make room in a full state."""
    cap, count = i[J_CAP], i[J_COUNT]
    mass = f[B_RUNS : B_RUNS + count]
    lightest = _lightest_nb(mass)
    least = mass[lightest]
    for column in range(COLUMNS - 1):
        _remove_nb(f[B_RUNS + column * cap : B_RUNS + column * cap + count], lightest)
    scale = 1.0 / (1.0 - least)
    for j in range(count - 1):
        mass[j] *= scale
    i[J_COUNT] = count - 1


@njit(cache=True, error_model="numpy", nogil=True)
def _remove_nb(column: Array1d, at: int) -> None:
    """Close the gap at one place of a column; the freed last place becomes 0."""
    target, source = column[at:], column[at + 1 :]
    for j in range(source.shape[0]):
        target[j] = source[j]
    target[source.shape[0]] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _lightest_nb(mass: Array1d) -> int:
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
def _heaviest_nb(mass: Array1d, n: int) -> int:
    """The place of the largest of the first n masses, the youngest of equals."""
    bits = mass.view(np.int64)
    most, at = bits[0], 0
    for j in range(n):
        most = max(most, bits[j])
    for j in range(n):
        at = max(at, j if bits[j] == most else 0)
    return at


@njit(cache=True, error_model="numpy", nogil=True)
def _summarize_nb(f: Array1d, i: IntArray1d, mass: Array1d, length: Array1d) -> None:
    """P(L <= 10), E[L] and the likeliest L (the shorter of equals)."""
    mode = _heaviest_nb(mass, i[J_COUNT])
    recent, j = 0.0, i[J_COUNT] - 1
    while j >= 0 and length[j] <= RECENT:
        recent += mass[j]
        j -= 1
    f[B_P_RECENT] = recent
    f[B_MEAN_LENGTH] = _dot_nb(mass, length, i[J_COUNT])
    i[J_MODE] = int(length[mode])


@njit(cache=True, error_model="numpy", nogil=True)
def bocpd_batch_nb(f: Array1d, i: IntArray1d, x: Array1d, recent: Array1d, mode: IntArray1d) -> None:
    """P(L <= 10) and the likeliest L after each observation."""
    for t in range(x.shape[0]):
        bocpd_update_nb(f, i, x[t])
        recent[t] = f[B_P_RECENT]
        mode[t] = i[J_MODE]


def segment_posterior(f: Array1d, i: IntArray1d) -> tuple[IntArray1d, Array1d]:
    """(L, P(L)) of the runs alive, shortest first."""
    cap, count = int(i[J_CAP]), int(i[J_COUNT])
    lengths = f[B_RUNS + 3 * cap : B_RUNS + 3 * cap + count][::-1].astype(np.int64)
    return lengths, f[B_RUNS : B_RUNS + count][::-1].copy()
