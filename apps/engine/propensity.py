"""With which probability is each arm the best one: exact, by quadrature, and the draw from those probabilities.

Arm k's value is loc_k + scale_k T(df_k); cash is a point mass, and so is an arm of scale 0. Then
    P(k is the maximum) = integral f_k(z) prod_{j != k} F_j(z) dz,
taken over a mesh of Gauss-Legendre panels (quadrature.py). Absolute error below 1e-8.

Choices are numbered by arm, cash last (index n_arms). Inputs of arms that are not admissible are never read. Every
kernel that decides answers a status; when it is not OK, all its probabilities are 0 and `choose_nb` answers NO_CHOICE.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.quadrature import ARM_ROWS, BLOCK_NODES, extent_nb, integrate_nb
from apps.engine.student import DF_MIN
from apps.engine.values import Array1d, Array2d, IntArray1d

STATUS_OK = 0
STATUS_NOT_FINITE = 1  # NaN or infinity where a number is needed
STATUS_BAD_PARAMETER = 2  # out of its range: df < 8, a negative scale, eps outside [0, 1], a wrong shape
STATUS_NO_ARM = 3  # nothing is admissible
STATUS_MESH = 4  # a scale below 1e-7 of its location, or scales too far apart for the mesh
STATUS_SELF_CHECK = 5  # the probabilities do not sum to 1 within 1e-7
NO_CHOICE = -1

MAX_ARMS = 64
SELF_CHECK = 1e-7
SHARPEST = 1e-7
QUANTUM = 1.0 / 1073741824.0
QUANTA = 1073741824.0
TWO_52 = 4503599627370496.0


def propensity_work(n_arms: int) -> Array2d:
    """The work array that thompson_probabilities_nb and decision_probabilities_nb need for so many arms."""
    if not 0 < n_arms <= MAX_ARMS:
        raise ValueError(f"n_arms must be in 1 to {MAX_ARMS}, not {n_arms}")
    return np.zeros((ARM_ROWS + 2 * n_arms, BLOCK_NODES))


@njit(cache=True, error_model="numpy", nogil=True)
def thompson_probabilities_nb(
    loc: Array1d,
    scale: Array1d,
    df: Array1d,
    admissible: IntArray1d,
    cash_admissible: int,
    cash_loc: float,
    nodes_work: Array2d,
    p_out: Array1d,
) -> int:
    """Write P(choice is the maximum) into p_out, summing to 1 up to rounding. Tied point masses: the lowest index."""
    _clear_nb(p_out)
    status = _check_arms_nb(loc, scale, df, admissible, cash_admissible, cash_loc, nodes_work)
    if p_out.shape[0] != loc.shape[0] + 1:
        status = STATUS_BAD_PARAMETER
    if status != STATUS_OK:
        return status
    floor_index, floor = _best_point_nb(loc, scale, admissible, cash_admissible, cash_loc)
    low, high, n_live, last_live = extent_nb(loc, scale, df, admissible, floor_index >= 0, floor, nodes_work)
    if n_live == 0 and floor_index < 0:
        return STATUS_MESH
    if n_live == 0 or (n_live == 1 and floor_index < 0):
        p_out[floor_index if n_live == 0 else last_live] = 1.0
        return STATUS_OK
    if not (math.isfinite(low) and math.isfinite(high)):
        return STATUS_NOT_FINITE
    if not integrate_nb(loc, scale, df, low, high, floor_index, nodes_work, p_out):
        _clear_nb(p_out)
        return STATUS_MESH
    total = 0.0
    for k in range(p_out.shape[0]):
        total += p_out[k]
    if not abs(total - 1.0) <= SELF_CHECK:
        _clear_nb(p_out)
        return STATUS_SELF_CHECK
    for k in range(p_out.shape[0]):
        p_out[k] /= total
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def one_hot_nb(score: Array1d, admissible: IntArray1d, cash_admissible: int, cash_score: float, p_out: Array1d) -> int:
    """Write 1 for the highest admissible score and 0 elsewhere; ties go to the lowest index, so cash loses them."""
    _clear_nb(p_out)
    if admissible.shape[0] != score.shape[0] or p_out.shape[0] != score.shape[0] + 1:
        return STATUS_BAD_PARAMETER
    best, highest = NO_CHOICE, -math.inf
    for k in range(score.shape[0]):
        if admissible[k] == 0:
            continue
        if not math.isfinite(score[k]):
            return STATUS_NOT_FINITE
        if score[k] > highest:
            best, highest = k, score[k]
    if cash_admissible != 0:
        if not math.isfinite(cash_score):
            return STATUS_NOT_FINITE
        if cash_score > highest:
            best = score.shape[0]
    if best == NO_CHOICE:
        return STATUS_NO_ARM
    p_out[best] = 1.0
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def mix_probabilities_nb(p: Array1d, admissible: IntArray1d, cash_admissible: int, eps: float, p_out: Array1d) -> int:
    """Write q = (1 - eps) p + eps / n over the n admissible choices, in whole multiples of 2^-30 that sum to exactly 1.

    q is divided by its sum, then rounded half to even. The remainder goes to the last admissible choice whose q is
    above 0 (so that, with eps = 0, a choice of probability 0 keeps it); if that would make it negative, the largest
    choice pays (ties: the lowest index). p_out may be p.
    """
    n_arms = admissible.shape[0]
    status, n_admissible, mass = _check_mix_nb(p, admissible, cash_admissible, eps)
    if p_out.shape[0] != n_arms + 1:
        status = STATUS_BAD_PARAMETER
    if status != STATUS_OK:
        _clear_nb(p_out)
        return status
    share = eps / n_admissible
    total = (1.0 - eps) * mass + n_admissible * share
    last, largest, spent = NO_CHOICE, NO_CHOICE, 0.0
    for k in range(n_arms + 1):
        is_admissible = admissible[k] != 0 if k < n_arms else cash_admissible != 0
        q = ((1.0 - eps) * p[k] + share) / total if is_admissible else 0.0
        p_out[k] = (q * QUANTA + TWO_52) - TWO_52  # half to even: 2^52 has no fraction bits
        spent += p_out[k]
        if q > 0.0:
            last = k
        if largest == NO_CHOICE or p_out[k] > p_out[largest]:
            largest = k
    p_out[last] += QUANTA - spent
    if p_out[last] < 0.0:
        p_out[largest] += p_out[last]
        p_out[last] = 0.0
    for k in range(n_arms + 1):
        p_out[k] *= QUANTUM
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def choose_nb(p: Array1d, u: float) -> int:
    """The first choice whose cumulative probability exceeds u, the last positive one if rounding leaves none.

    NO_CHOICE if u is NaN or outside [0, 1), a probability is NaN or negative, or all are 0.
    """
    if not (u >= 0.0 and u < 1.0):
        return NO_CHOICE
    chosen, last, below = NO_CHOICE, NO_CHOICE, 0.0
    for k in range(p.shape[0]):
        if not (p[k] >= 0.0 and p[k] < math.inf):
            return NO_CHOICE
        below += p[k]
        if p[k] > 0.0:
            last = k
            if chosen == NO_CHOICE and below > u:
                chosen = k
    return chosen if chosen != NO_CHOICE else last


@njit(cache=True, error_model="numpy", nogil=True)
def _clear_nb(p_out: Array1d) -> None:
    for k in range(p_out.shape[0]):
        p_out[k] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _check_arms_nb(
    loc: Array1d,
    scale: Array1d,
    df: Array1d,
    admissible: IntArray1d,
    cash_admissible: int,
    cash_loc: float,
    work: Array2d,
) -> int:
    n_arms = loc.shape[0]
    if scale.shape[0] != n_arms or df.shape[0] != n_arms or admissible.shape[0] != n_arms:
        return STATUS_BAD_PARAMETER
    if n_arms > MAX_ARMS or work.shape[0] < ARM_ROWS + 2 * n_arms or work.shape[1] != BLOCK_NODES:
        return STATUS_BAD_PARAMETER
    n_admissible = 0
    for k in range(n_arms):
        if admissible[k] == 0:
            continue
        n_admissible += 1
        if not (math.isfinite(loc[k]) and math.isfinite(scale[k]) and math.isfinite(df[k])):
            return STATUS_NOT_FINITE
        if scale[k] < 0.0 or df[k] < DF_MIN:
            return STATUS_BAD_PARAMETER
        if scale[k] > 0.0 and scale[k] < SHARPEST * abs(loc[k]):
            return STATUS_MESH
    if cash_admissible != 0:
        n_admissible += 1
        if not math.isfinite(cash_loc):
            return STATUS_NOT_FINITE
    return STATUS_OK if n_admissible > 0 else STATUS_NO_ARM


@njit(cache=True, error_model="numpy", nogil=True)
def _check_mix_nb(p: Array1d, admissible: IntArray1d, cash_admissible: int, eps: float) -> tuple[int, int, float]:
    """(status, number of admissible choices, their total probability before mixing)."""
    if not (eps >= 0.0 and eps <= 1.0) or p.shape[0] != admissible.shape[0] + 1:
        return STATUS_BAD_PARAMETER, 0, 0.0
    n_admissible, mass = 0, 0.0
    n_arms = admissible.shape[0]
    for k in range(n_arms + 1):
        is_admissible = admissible[k] != 0 if k < n_arms else cash_admissible != 0
        if not is_admissible:
            continue
        if not math.isfinite(p[k]):
            return STATUS_NOT_FINITE, 0, 0.0
        if p[k] < 0.0:
            return STATUS_BAD_PARAMETER, 0, 0.0
        n_admissible += 1
        mass += p[k]
    if n_admissible == 0:
        return STATUS_NO_ARM, 0, 0.0
    if not (mass > 0.0 and mass < math.inf):
        return STATUS_BAD_PARAMETER, 0, 0.0
    return STATUS_OK, n_admissible, mass


@njit(cache=True, error_model="numpy", nogil=True)
def _best_point_nb(
    loc: Array1d, scale: Array1d, admissible: IntArray1d, cash_admissible: int, cash_loc: float
) -> tuple[int, float]:
    """(index, location) of the highest point mass; (-1, -inf) if there is none."""
    index, highest = -1, -math.inf
    for k in range(loc.shape[0]):
        if admissible[k] != 0 and scale[k] == 0.0 and loc[k] > highest:
            index, highest = k, loc[k]
    if cash_admissible != 0 and cash_loc > highest:
        index, highest = loc.shape[0], cash_loc
    return index, highest
