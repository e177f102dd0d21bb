"""What each arm's reward is believed to be at a context: the solved linear model, read from its statistics.

Definitions: router.py. Where all arms have seen the same contexts (full feedback) one factor serves them all; an arm
that joined late has its own. Both ways do the same operations on each number, so they give the same bits.
"""

from __future__ import annotations

import math

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
from apps.engine.propensity import STATUS_BAD_PARAMETER, STATUS_NOT_FINITE, STATUS_OK
from apps.engine.values import Array1d, Array2d

STATUS_NOT_POSITIVE = 6  # P has no Cholesky factor, so the statistics are broken
STATUS_DEFICIT = 7  # b fell below b0 by more than rounding explains

N_CONTEXT = SIZE
N_TRIANGLE = TRIANGLE
A0_MIN = 4.0  # df = 2a >= 8, the range of student.py
DEFICIT_SHARE = 1e-8

# Rows of a posterior's work array: the factor, then the solved context, then the solved reward products.
_SOLVED_X = N_TRIANGLE
_SOLVED_Y = N_TRIANGLE + N_CONTEXT
POSTERIOR_ROWS = N_TRIANGLE + 2 * N_CONTEXT


def posterior_work() -> Array2d:
    """The work array that posterior_nb and coefficients_nb need, whatever the number of arms."""
    return np.zeros((POSTERIOR_ROWS, LANES))


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
    if not fits_nb(sxx, sxy, syy, n, x):
        status = STATUS_BAD_PARAMETER
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
def fits_nb(sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, x: Array1d) -> bool:
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
