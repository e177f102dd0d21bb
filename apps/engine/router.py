"""What each arm's reward is believed to be, given the context, and with which probabilities the router picks.

Per arm an independent Normal-Inverse-Gamma linear model (the quantities of "Bayesian linear regression"):
    P = lam I + Sxx,  m = P^-1 Sxy,  a = a0 + n / 2,  b = b0 + (Syy - Sxy' m) / 2,  h = x' P^-1 x,
    mean reward at x ~ t_{2a}(x'm, sqrt(b / a h)).
State is the statistics, arm last: sxx (66, K) is the lower triangle by rows, entry i (i + 1) / 2 + j; sxy (11, K);
syy (K); n (K). Updates at one grid bar, in this order: discount, alarm discount, learn. Kernels answer a status
(propensity.py and below); unless it is OK, statistics stay untouched, posteriors become NaN and probabilities 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.linear import (
    LANES,
    SIZE,
    TRIANGLE,
    columns_are_equal_nb,
    factor_columns_nb,
    factor_nb,
    load_nb,
    solve_columns_nb,
    solve_lower_nb,
    solve_upper_nb,
)
from apps.engine.propensity import (
    STATUS_BAD_PARAMETER,
    STATUS_NOT_FINITE,
    STATUS_OK,
    mix_probabilities_nb,
    one_hot_nb,
    thompson_probabilities_nb,
)
from apps.engine.quadrature import DF
from apps.engine.values import Array1d, Array2d, IntArray1d

STATUS_NOT_POSITIVE = 6  # P has no Cholesky factor, so the statistics are broken
STATUS_DEFICIT = 7  # b fell below b0 by more than rounding explains

N_CONTEXT = SIZE
N_TRIANGLE = TRIANGLE
MODE_THOMPSON = 0
MODE_UCB = 1
MODE_GREEDY = 2
A0_MIN = 4.0  # df = 2a >= 8, the range of student.py
DEFICIT_SHARE = 1e-8

# Rows of a posterior's work array: the factor, then the solved context, then the solved reward products.
_SOLVED_X = N_TRIANGLE
_SOLVED_Y = N_TRIANGLE + N_CONTEXT
POSTERIOR_ROWS = N_TRIANGLE + 2 * N_CONTEXT


class RouterStats(NamedTuple):
    """Sufficient statistics of all arms, float64 and C-contiguous, arm last."""

    sxx: Array2d
    sxy: Array2d
    syy: Array1d
    n: Array1d


class RouterParams(NamedTuple):
    """The router's settings; the defaults are the specification's."""

    lam: float = 30.0
    a0: float = 4.0
    b0: float = 4.0
    gamma: float = 0.999
    rho: float = 0.8
    eps: float = 0.05
    v: float = 0.3
    alpha: float = 1.0
    mode: int = MODE_THOMPSON


def router_stats(n_arms: int) -> RouterStats:
    """Statistics of arms that have seen nothing."""
    return RouterStats(
        np.zeros((N_TRIANGLE, n_arms)), np.zeros((N_CONTEXT, n_arms)), np.zeros(n_arms), np.zeros(n_arms)
    )


def posterior_work() -> Array2d:
    """The work array that posterior_nb and coefficients_nb need, whatever the number of arms."""
    return np.zeros((POSTERIOR_ROWS, LANES))


@njit(cache=True, error_model="numpy", nogil=True)
def discount_nb(sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, factor: float) -> int:
    """Multiply all statistics by a factor in (0, 1]: forgetting never reaches the prior itself."""
    if not (factor > 0.0 and factor <= 1.0):
        return STATUS_BAD_PARAMETER
    designs, products = sxx.ravel(), sxy.ravel()
    for j in range(designs.shape[0]):
        designs[j] *= factor
    for j in range(products.shape[0]):
        products[j] *= factor
    for k in range(syy.shape[0]):
        syy[k] *= factor
        n[k] *= factor
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def learn_nb(sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, x: Array1d, y: Array1d, mask: IntArray1d) -> int:
    """Add one observation to every arm whose mask is not 0; the y of the others is not read."""
    n_arms = syy.shape[0]
    if not _fits_nb(sxx, sxy, syy, n, x) or y.shape[0] != n_arms or mask.shape[0] != n_arms:
        return STATUS_BAD_PARAMETER
    for k in range(n_arms):
        if mask[k] != 0 and not math.isfinite(y[k]):
            return STATUS_NOT_FINITE
    for i in range(N_CONTEXT):
        if not math.isfinite(x[i]):
            return STATUS_NOT_FINITE
    t = 0
    for i in range(N_CONTEXT):
        for j in range(i + 1):
            product = x[i] * x[j]
            for k in range(n_arms):
                sxx[t, k] += product if mask[k] != 0 else 0.0
            t += 1
        for k in range(n_arms):
            sxy[i, k] += x[i] * y[k] if mask[k] != 0 else 0.0
    for k in range(n_arms):
        if mask[k] != 0:
            syy[k] += y[k] * y[k]
            n[k] += 1.0
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def posterior_nb(
    sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, x: Array1d, lam: float, a0: float, b0: float,
    work: Array2d, loc: Array1d, h: Array1d, a: Array1d, b: Array1d,
) -> int:  # fmt: skip
    """Write x'm, x'P^-1x, a and b of every arm.

    b >= b0 in exact arithmetic; a rounding below it is clipped, a deficit above 1e-8 Syy is STATUS_DEFICIT.
    """
    n_arms = syy.shape[0]
    status = _check_prior_nb(lam, a0, b0, work)
    if not _fits_nb(sxx, sxy, syy, n, x):
        status = STATUS_BAD_PARAMETER
    # With full feedback all arms have seen the same contexts: one factor serves them all, with the same bits.
    is_shared = status == STATUS_OK and columns_are_equal_nb(sxx)
    for first in range(0, n_arms, LANES):
        if status == STATUS_OK and (first == 0 or not is_shared):
            is_sound = _factor_shared_nb(sxx, lam, x, work) if is_shared else _factor_lanes_nb(sxx, first, lam, x, work)
            status = STATUS_OK if is_sound else STATUS_NOT_POSITIVE
        if status == STATUS_OK:
            load_nb(sxy, first, work, _SOLVED_Y)
            if is_shared:
                solve_columns_nb(work, _SOLVED_Y)
            else:
                solve_lower_nb(work, _SOLVED_Y)
            status = _read_posterior_nb(syy, n, first, a0, b0, work, loc, h, a, b)
    if status != STATUS_OK:
        for k in range(n_arms):
            loc[k], h[k], a[k], b[k] = math.nan, math.nan, math.nan, math.nan
    return status


@njit(cache=True, error_model="numpy", nogil=True)
def coefficients_nb(sxx: Array2d, sxy: Array2d, lam: float, work: Array2d, m_out: Array2d) -> int:
    """Write every arm's m = P^-1 Sxy into m_out (11, K), for snapshots; NaN if the status is not OK."""
    n_arms = sxy.shape[1]
    status = _check_prior_nb(lam, A0_MIN, 1.0, work)
    for first in range(0, n_arms, LANES):
        if status == STATUS_OK:
            load_nb(sxx, first, work, 0)
            status = STATUS_OK if factor_nb(work, lam) else STATUS_NOT_POSITIVE
        if status == STATUS_OK:
            load_nb(sxy, first, work, _SOLVED_Y)
            solve_lower_nb(work, _SOLVED_Y)
            solve_upper_nb(work, _SOLVED_Y)
            status = _read_coefficients_nb(first, work, m_out)
    if status != STATUS_OK:
        for i in range(N_CONTEXT):
            for k in range(n_arms):
                m_out[i, k] = math.nan
    return status


@njit(cache=True, error_model="numpy", nogil=True)
def decision_probabilities_nb(
    loc: Array1d, h: Array1d, a: Array1d, b: Array1d, switch_cost: Array1d, cash_cost: float,
    admissible: IntArray1d, cash_admissible: int, params: RouterParams,
    work: Array2d, scores: Array1d, scales: Array1d, p_out: Array1d,
) -> int:  # fmt: skip
    """From posterior to propensities: score = loc - switching cost, scale = v sqrt(b / a h), then the mode, then eps.

    scores and scales have one entry per arm (NaN where not admissible), p_out one more for cash, whose score is
    -cash_cost. UCB adds alpha times the tempered scale. `work` comes from propensity_work(n_arms).
    """
    for k in range(p_out.shape[0]):
        p_out[k] = 0.0
    if not (params.v >= 0.0 and params.v < math.inf and params.alpha >= 0.0 and params.alpha < math.inf):
        return STATUS_BAD_PARAMETER
    for k in range(loc.shape[0]):
        scores[k], scales[k] = math.nan, math.nan
        if admissible[k] == 0:
            continue
        variance = b[k] / a[k] * h[k]
        if not (math.isfinite(loc[k] - switch_cost[k]) and math.isfinite(a[k]) and math.isfinite(variance)):
            return STATUS_NOT_FINITE
        if variance < 0.0 or a[k] < A0_MIN:
            return STATUS_BAD_PARAMETER
        scores[k] = loc[k] - switch_cost[k]
        scales[k] = params.v * math.sqrt(variance)
    status = _choose_mode_nb(a, -cash_cost, admissible, cash_admissible, params, work, scores, scales, p_out)
    return (
        mix_probabilities_nb(p_out, admissible, cash_admissible, params.eps, p_out) if status == STATUS_OK else status
    )


@njit(cache=True, error_model="numpy", nogil=True)
def _choose_mode_nb(
    a: Array1d, cash_score: float, admissible: IntArray1d, cash_admissible: int, params: RouterParams,
    work: Array2d, scores: Array1d, scales: Array1d, p_out: Array1d,
) -> int:  # fmt: skip
    """Probabilities before eps. UCB's scores are replaced by their upper bounds."""
    if params.mode == MODE_THOMPSON:
        if work.shape[0] <= DF or work.shape[1] < a.shape[0]:
            return STATUS_BAD_PARAMETER
        for k in range(a.shape[0]):
            work[DF, k] = 2.0 * a[k]
        return thompson_probabilities_nb(
            scores, scales, work[DF, : a.shape[0]], admissible, cash_admissible, cash_score, work, p_out
        )
    if params.mode == MODE_UCB:
        for k in range(a.shape[0]):
            if admissible[k] != 0:
                scores[k] += params.alpha * scales[k]
        return one_hot_nb(scores, admissible, cash_admissible, cash_score, p_out)
    if params.mode == MODE_GREEDY:
        return one_hot_nb(scores, admissible, cash_admissible, cash_score, p_out)
    return STATUS_BAD_PARAMETER


@njit(cache=True, error_model="numpy", nogil=True)
def _fits_nb(sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, x: Array1d) -> bool:
    """Whether the shapes agree; compiled code would read beyond an array that is too short."""
    n_arms = syy.shape[0]
    is_square = sxx.shape[0] == N_TRIANGLE and sxx.shape[1] == n_arms and n.shape[0] == n_arms
    return is_square and sxy.shape[0] == N_CONTEXT and sxy.shape[1] == n_arms and x.shape[0] == N_CONTEXT


@njit(cache=True, error_model="numpy", nogil=True)
def _check_prior_nb(lam: float, a0: float, b0: float, work: Array2d) -> int:
    is_prior = lam > 0.0 and lam < math.inf and a0 >= A0_MIN and a0 < math.inf and b0 > 0.0 and b0 < math.inf
    is_room = work.shape[0] >= POSTERIOR_ROWS and work.shape[1] == LANES
    return STATUS_OK if is_prior and is_room else STATUS_BAD_PARAMETER


@njit(cache=True, error_model="numpy", nogil=True)
def _factor_lanes_nb(sxx: Array2d, first: int, lam: float, x: Array1d, work: Array2d) -> bool:
    """A factor per arm, and the solved context."""
    load_nb(sxx, first, work, 0)
    is_sound = factor_nb(work, lam)
    for i in range(N_CONTEXT):
        for lane in range(LANES):
            work[_SOLVED_X + i, lane] = x[i]
    solve_lower_nb(work, _SOLVED_X)
    return is_sound


@njit(cache=True, error_model="numpy", nogil=True)
def _factor_shared_nb(sxx: Array2d, lam: float, x: Array1d, work: Array2d) -> bool:
    """One factor for all arms, and the solved context in all lanes."""
    is_sound = factor_columns_nb(sxx, lam, work)
    for i in range(N_CONTEXT):
        for lane in range(LANES):
            work[_SOLVED_X + i, lane] = x[i]
    solve_columns_nb(work, _SOLVED_X)
    return is_sound


@njit(cache=True, error_model="numpy", nogil=True)
def _read_coefficients_nb(first: int, work: Array2d, m_out: Array2d) -> int:
    for i in range(N_CONTEXT):
        for k in range(first, min(first + LANES, m_out.shape[1])):
            m_out[i, k] = work[_SOLVED_Y + i, k - first]
            if not math.isfinite(m_out[i, k]):
                return STATUS_NOT_FINITE
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def _read_posterior_nb(
    syy: Array1d, n: Array1d, first: int, a0: float, b0: float, work: Array2d,
    loc: Array1d, h: Array1d, a: Array1d, b: Array1d,
) -> int:  # fmt: skip
    """Read the solved vectors z = L^-1 x and v = L^-1 Sxy: x'm = z'v, h = z'z, Sxy'm = v'v."""
    for k in range(first, min(first + LANES, syy.shape[0])):
        lane = k - first
        mean, leverage, explained = 0.0, 0.0, 0.0
        for i in range(N_CONTEXT):
            z, v = work[_SOLVED_X + i, lane], work[_SOLVED_Y + i, lane]
            mean += z * v
            leverage += z * z
            explained += v * v
        excess = 0.5 * (syy[k] - explained)
        loc[k], h[k], a[k], b[k] = mean, leverage, a0 + 0.5 * n[k], b0 + max(excess, 0.0)
        if not (math.isfinite(mean) and math.isfinite(leverage) and math.isfinite(a[k]) and math.isfinite(excess)):
            return STATUS_NOT_FINITE
        if n[k] < 0.0:
            return STATUS_BAD_PARAMETER
        if -excess > DEFICIT_SHARE * syy[k]:
            return STATUS_DEFICIT
    return STATUS_OK
