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
# Columns of the runs, oldest first, each `cap` long: P(L), mean, beta, L, gamma ratio, and room to work (0 at rest).
C_MASS, C_MEAN, C_BETA, C_LENGTH, C_RATIO, C_WORK = 0, 1, 2, 3, 4, 5
COLUMNS = 6

J_CAP, J_COUNT, J_SEEN, J_MODE = 0, 1, 2, 3
BOCPD_INTS = 4

# Below these two bounds (1 + u)^-alpha comes from short series that a processor runs several runs at a time.
SMALL_U, SMALL_EXPONENT = 0.25, 24.0


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
    beta, length = f[start + 2 * cap : end + 2 * cap], f[start + 3 * cap : end + 3 * cap]
    ratio, work = f[start + 4 * cap : end + 4 * cap], f[start + 5 * cap : end + 5 * cap]
    _learn_nb(mass, mean, beta, length, ratio, work, f[B_KAPPA0], f[B_ALPHA0], x)
    _tail_powers_nb(mass, length, work, f[B_ALPHA0])
    total = _sum_nb(mass, mass.shape[0])
    f[B_LOG_EVIDENCE] += math.log(total)
    i[J_SEEN] += 1
    i[J_COUNT] = _prune_nb(mass, mean, beta, length, ratio, f[B_PRUNE_MASS] * total)
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
    f[at + 2 * cap] = f[B_BETA0]
    f[at + 3 * cap] = 0.0
    f[at + 4 * cap] = f[B_RATIO0]
    i[J_COUNT] = count + 1


@njit(cache=True, error_model="numpy", nogil=True)
def _learn_nb(
    mass: Array1d, mean: Array1d, beta: Array1d, length: Array1d, ratio: Array1d, work: Array1d,
    kappa0: float, alpha0: float, x: float,
) -> None:  # fmt: skip
    """Update every run by x, and its mass by its Student-t predictive density but for the power, whose u goes to work.

    With u = kappa (x - mean)^2 / (2 (kappa + 1) beta) the density is
    ratio * sqrt(kappa / (2 (kappa + 1) beta')) * (1 + u)^-alpha, where beta' = beta (1 + u) and
    ratio(alpha) = Gamma(alpha + 1/2) / (Gamma(alpha) sqrt(pi)), so that ratio(a) ratio(a + 1/2) = a / pi.
    """
    for j in range(mass.shape[0]):
        kappa = kappa0 + length[j]
        alpha = alpha0 + 0.5 * length[j]
        distance = x - mean[j]
        inverse = 1.0 / (kappa + 1.0)
        share = kappa * inverse
        u = share * distance * distance / (2.0 * beta[j])
        grown = beta[j] * (1.0 + u)
        mass[j] *= ratio[j] * math.sqrt(share / (2.0 * grown))
        mean[j] += distance * inverse
        beta[j] = grown
        ratio[j] = alpha / (math.pi * ratio[j])
        length[j] += 1.0
        work[j] = u


@njit(cache=True, error_model="numpy", nogil=True)
def _tail_powers_nb(mass: Array1d, length: Array1d, work: Array1d, alpha0: float) -> None:
    """Multiply each mass by (1 + u)^-alpha and clear the work column."""
    before = alpha0 - 0.5
    for j in range(mass.shape[0]):
        alpha = before + 0.5 * length[j]
        if work[j] > SMALL_U or work[j] * alpha > SMALL_EXPONENT:
            mass[j] *= math.exp(-alpha * math.log1p(work[j]))
            work[j] = 0.0
    for j in range(mass.shape[0]):
        s = work[j] / (2.0 + work[j])
        q = s * s
        # log1p(u) = 2 artanh(s), its series to s^19; then exp(t / 64) to t^13 and six squarings.
        p = 1.0 / 17.0 + q * (1.0 / 19.0)
        p = 1.0 / 13.0 + q * (1.0 / 15.0 + q * p)
        p = 1.0 / 9.0 + q * (1.0 / 11.0 + q * p)
        p = 1.0 / 5.0 + q * (1.0 / 7.0 + q * p)
        p = 1.0 + q * (1.0 / 3.0 + q * p)
        t = -(before + 0.5 * length[j]) * s * p / 32.0
        e = 1.0 / 479001600.0 + t * (1.0 / 6227020800.0)
        e = 1.0 / 3628800.0 + t * (1.0 / 39916800.0 + t * e)
        e = 1.0 / 40320.0 + t * (1.0 / 362880.0 + t * e)
        e = 1.0 / 720.0 + t * (1.0 / 5040.0 + t * e)
        e = 1.0 / 24.0 + t * (1.0 / 120.0 + t * e)
        e = 1.0 + t * (1.0 + t * (0.5 + t * (1.0 / 6.0 + t * e)))
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        mass[j] *= e * e
        work[j] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _sum_nb(x: Array1d, n: int) -> float:
    """Sum of the first n; four accumulators, so that additions need not wait for one another."""
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
def _prune_nb(mass: Array1d, mean: Array1d, beta: Array1d, length: Array1d, ratio: Array1d, threshold: float) -> int:
    """Drop the runs below the threshold, close the ranks, rescale to sum 1; answers how many are left."""
    kept = 0
    for j in range(mass.shape[0]):
        if mass[j] < threshold:
            continue
        if kept < j:
            mass[kept], mean[kept], beta[kept] = mass[j], mean[j], beta[j]
            length[kept], ratio[kept] = length[j], ratio[j]
        kept += 1
    for j in range(kept, mass.shape[0]):
        mass[j] = mean[j] = beta[j] = length[j] = ratio[j] = 0.0
    total = _sum_nb(mass, kept)
    for j in range(kept):
        mass[j] /= total
    return kept


@njit(cache=True, error_model="numpy", nogil=True)
def _drop_lightest_nb(f: Array1d, i: IntArray1d) -> None:
    """Make room in a full state."""
    cap, count = i[J_CAP], i[J_COUNT]
    lightest = 0
    for j in range(1, count):
        if f[B_RUNS + j] < f[B_RUNS + lightest]:
            lightest = j
    scale = 1.0 / (1.0 - f[B_RUNS + lightest])
    for column in range(COLUMNS):
        at = B_RUNS + column * cap
        for j in range(lightest, count - 1):
            f[at + j] = f[at + j + 1]
        f[at + count - 1] = 0.0
    for j in range(B_RUNS, B_RUNS + count - 1):
        f[j] *= scale
    i[J_COUNT] = count - 1


@njit(cache=True, error_model="numpy", nogil=True)
def _summarize_nb(f: Array1d, i: IntArray1d, mass: Array1d, length: Array1d) -> None:
    """P(L <= 10), E[L] and the likeliest L (the shorter of equals)."""
    expected, mode = 0.0, 0
    for j in range(i[J_COUNT]):
        expected += mass[j] * length[j]
        if mass[j] >= mass[mode]:
            mode = j
    recent, j = 0.0, i[J_COUNT] - 1
    while j >= 0 and length[j] <= RECENT:
        recent += mass[j]
        j -= 1
    f[B_P_RECENT] = recent
    f[B_MEAN_LENGTH] = expected
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
