"""How long has the present segment lasted? Bayesian online change point detection (Adams & MacKay 2007).

Gaussian segments with a Normal-Inverse-Gamma prior and a constant hazard. What is kept is the posterior of L, the
number of observations in the current segment including the newest: one run per L. (The paper's P(r = 0) equals the
hazard whatever the data are, so nothing can be read from it; alarms go by P(L <= 10).)

Runs lighter than `prune_mass` are dropped and the rest renormalized; 0 keeps all of them and is exact. Where more than
`cap` runs have weight (stationary data: every one of them), neighbors are merged. State is one float and one integer
array (runs.py), a copy is a snapshot. Masses are linear, rescaled to sum 1 at each
step: a run's predictive density underflows only where it is nothing beside that of the newest run.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.borrowing import borrowed
from apps.engine.errors import InvalidInput
from apps.engine.runs import (
    B_ALPHA0,
    B_BETA0,
    B_HAZARD,
    B_KAPPA0,
    B_LOG_EVIDENCE,
    B_MEAN0,
    B_MEAN_LENGTH,
    B_P_RECENT,
    B_PRUNE_MASS,
    B_RATIO0,
    B_RUNS,
    BOCPD_INTS,
    COLUMNS,
    J_CAP,
    J_COUNT,
    J_LIMIT,
    J_MODE,
    J_SEEN,
    heaviest_nb,
    make_room_nb,
    mean_length_nb,
    prune_nb,
    sum_nb,
)
from apps.engine.values import Array1d, IntArray1d

RUN_CAP = 2000
RECENT = 10
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
    prune_mass: float = 1e-12,
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
    i[J_CAP] = i[J_LIMIT] = cap
    return f, i


@njit(cache=True, error_model="numpy", nogil=True)
def bocpd_update_nb(f: Array1d, i: IntArray1d, x: float) -> float:
    """Take in one finite observation; answers ln p(x | what came before)."""
    f, i = borrowed(f), borrowed(i)
    cap = i[J_CAP]
    if i[J_COUNT] >= i[J_LIMIT]:
        make_room_nb(f, i)
    _birth_nb(f, i)
    start, end = B_RUNS, B_RUNS + i[J_COUNT]
    mass, mean = f[start:end], f[start + cap : end + cap]
    precision, length = f[start + 2 * cap : end + 2 * cap], f[start + 3 * cap : end + 3 * cap]
    ratio, offset = f[start + 4 * cap : end + 4 * cap], f[start + 5 * cap : end + 5 * cap]
    work = f[start + 6 * cap : end + 6 * cap]
    _learn_nb(mass, mean, precision, length, ratio, work, f[B_KAPPA0], f[B_ALPHA0], 1.0 - f[B_HAZARD], x)
    total = sum_nb(mass, mass.shape[0])
    f[B_LOG_EVIDENCE] += math.log(total)
    i[J_SEEN] += 1
    i[J_COUNT] = prune_nb(mass, mean, precision, length, ratio, offset, f[B_PRUNE_MASS] * total, total)
    if i[J_LIMIT] < cap and i[J_COUNT] < i[J_LIMIT] // 2:
        i[J_LIMIT] = cap
    _summarize_nb(f, i, mass, length, offset)
    return math.log(total)


@njit(cache=True, error_model="numpy", nogil=True)
def _birth_nb(f: Array1d, i: IntArray1d) -> None:
    """A run that starts with the coming observation. Its mass is the hazard's share; 1 - hazard meets all at once."""
    cap, count, hazard = i[J_CAP], i[J_COUNT], f[B_HAZARD]
    at = B_RUNS + count
    f[at] = (hazard if count > 0 else 1.0) / (1.0 - hazard)
    f[at + cap] = f[B_MEAN0]
    f[at + 2 * cap] = 1.0 / f[B_BETA0]
    f[at + 3 * cap] = 0.0
    f[at + 4 * cap] = f[B_RATIO0]
    f[at + 5 * cap] = 0.0
    i[J_COUNT] = count + 1


@njit(cache=True, error_model="numpy", nogil=True)
def _learn_nb(
    mass: Array1d, mean: Array1d, precision: Array1d, length: Array1d, ratio: Array1d, work: Array1d,
    kappa0: float, alpha0: float, survival: float, x: float,
) -> None:  # fmt: skip
    """Update every run by x, and its mass by its survival of a step and its Student-t predictive density.

    With u = kappa (x - mean)^2 / (2 (kappa + 1) beta) the density is
    ratio * sqrt(kappa / (2 (kappa + 1) beta')) * (1 + u)^-alpha, where beta' = beta (1 + u) and
    ratio(alpha) = Gamma(alpha + 1/2) / (Gamma(alpha) sqrt(pi)), so that ratio(a) ratio(a + 1/2) = a / pi.
    s = u / (2 + u). Divisions are what costs here, so one stands for the four by a, a + c, 2 a + c and pi ratio.
    The power is exp(-2 alpha artanh(s)), in short series where s and the exponent are small; the s of other runs goes
    to work, for `_large_powers_nb`.
    """
    before, n_large = 2.0 * alpha0, 0
    for j in range(mass.shape[0]):
        kappa = kappa0 + length[j]
        distance = x - mean[j]
        a = kappa + 1.0
        c = 0.5 * kappa * distance * distance * precision[j]  # u = c / a
        b, e, r = a + c, 2.0 * a + c, math.pi * ratio[j]
        ab, er = a * b, e * r
        inverse = 1.0 / (ab * er)
        per_a = inverse * er * b
        learned = precision[j] * (inverse * er * a * a)
        precision[j] = learned
        density = survival * ratio[j] * math.sqrt(0.5 * kappa * per_a * learned)
        mean[j] += distance * per_a
        ratio[j] = (alpha0 + 0.5 * length[j]) * inverse * ab * e
        s = c * inverse * ab * r
        exponent = before + length[j]
        is_large = (s > SMALL_S) | (s * exponent > SMALL_EXPONENT)
        work[j] = s if is_large else 0.0
        n_large += is_large
        s = 0.0 if is_large else s
        q = s * s
        # artanh(s) to s^9 (the next term is below 6e-13 of it), then exp(t / 64) to t^8 and six squarings.
        p = 1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))
        p = 1.0 + q * (1.0 / 3.0 + q * p)
        t = exponent * s * p * (-1.0 / 64.0)
        e = 1.0 / 5040.0 + t * (1.0 / 40320.0)
        e = 1.0 / 24.0 + t * (1.0 / 120.0 + t * (1.0 / 720.0 + t * e))
        e = 1.0 + t * (1.0 + t * (0.5 + t * (1.0 / 6.0 + t * e)))
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        mass[j] *= density * (e * e)
        length[j] += 1.0
    _large_powers_nb(mass, length, work, before - 1.0, n_large)


@njit(cache=True, error_model="numpy", nogil=True)
def _large_powers_nb(mass: Array1d, length: Array1d, work: Array1d, before: float, n_large: int) -> None:
    """The powers that are no matter of short series, by libm; clears the work column."""
    j = mass.shape[0] - 1
    while n_large > 0:  # from the youngest, among which most of them are
        s = work[j]
        if s > 0.0:
            mass[j] *= math.exp(-0.5 * (before + length[j]) * math.log1p(2.0 * s / (1.0 - s)))
            work[j] = 0.0
            n_large -= 1
        j -= 1


@njit(cache=True, error_model="numpy", nogil=True)
def _summarize_nb(f: Array1d, i: IntArray1d, mass: Array1d, length: Array1d, offset: Array1d) -> None:
    """P(L <= 10), E[L] and the likeliest L (the shorter of equals)."""
    mode = heaviest_nb(mass, i[J_COUNT])
    recent, j = 0.0, i[J_COUNT] - 1
    while j >= 0 and length[j] + offset[j] <= RECENT:
        recent += mass[j]
        j -= 1
    f[B_P_RECENT] = recent
    f[B_MEAN_LENGTH] = mean_length_nb(mass, length, offset, i[J_COUNT])
    i[J_MODE] = int(length[mode] + offset[mode] + 0.5)


@njit(cache=True, error_model="numpy", nogil=True)
def bocpd_batch_nb(f: Array1d, i: IntArray1d, x: Array1d, recent: Array1d, mode: IntArray1d) -> None:
    """P(L <= 10) and the likeliest L after each observation."""
    for t in range(x.shape[0]):
        bocpd_update_nb(f, i, x[t])
        recent[t] = f[B_P_RECENT]
        mode[t] = i[J_MODE]


def segment_posterior(f: Array1d, i: IntArray1d) -> tuple[IntArray1d, Array1d]:
    """(L, P(L)) of the runs alive, shortest first; merged runs stand at their mean length."""
    cap, count = int(i[J_CAP]), int(i[J_COUNT])
    told = f[B_RUNS + 3 * cap : B_RUNS + 3 * cap + count] + f[B_RUNS + 5 * cap : B_RUNS + 5 * cap + count]
    lengths = np.rint(told[::-1]).astype(np.int64)
    return lengths, f[B_RUNS : B_RUNS + count][::-1].copy()
