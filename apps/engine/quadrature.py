"""How a set of Student-t values and a floor shares out the maximum: one integral per arm over a mesh made for it.

The mesh runs upwards from the highest lower reach (or the floor, the best point mass) to the highest upper reach, in
Gauss-Legendre panels of 8 nodes, each as wide as the sharpest arm nearby allows. 64 nodes are evaluated at a time.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.student import AT, BELOW, BLOCK_ROWS, TABLE_COLUMNS, student_block_nb, student_coefficients_nb
from apps.engine.values import Array1d, Array2d, IntArray1d

BLOCK_NODES = 64
MAX_PANELS = 4096
REACH_SQUARED = 6.4 * 6.4  # each arm is followed until 8e-11 of it are left on a side
PANEL_SCALES = 1.75  # of the sharpest arm, for up to 8 arms; the maximum of more of them is sharper than each
PANEL_NODES = 8
_GAUSS_AT, _GAUSS_WEIGHT = np.polynomial.legendre.leggauss(PANEL_NODES)

# Rows of the work array after those of a Student-t block: weights of the nodes, values per arm, then two rows per arm.
WEIGHT, LIVE, REACH, DF = BLOCK_ROWS, BLOCK_ROWS + 1, BLOCK_ROWS + 2, BLOCK_ROWS + 3
ARM_ROWS = BLOCK_ROWS + 4


@njit(cache=True, error_model="numpy", nogil=True)
def extent_nb(
    loc: Array1d, scale: Array1d, df: Array1d, admissible: IntArray1d, has_floor: bool, floor: float, work: Array2d
) -> tuple[float, float, int, int]:
    """(low, high, number of live arms, the last of them): where the maximum can lie, and which arms can be it.

    Fills row LIVE, and each live arm's coefficients. An arm whose whole reach lies below `low` is not live.
    """
    low, high = floor, -math.inf
    reach, reach_df = 0.0, math.nan
    for k in range(loc.shape[0]):
        if admissible[k] != 0 and scale[k] > 0.0:
            if df[k] != reach_df:  # arms that learned alike share it
                reach, reach_df = math.sqrt(df[k] * math.expm1(REACH_SQUARED / df[k])), df[k]
            work[REACH, k] = scale[k] * reach
            low = max(low, loc[k] - work[REACH, k]) if not has_floor else low
    n_live, last = 0, -1
    for k in range(loc.shape[0]):
        work[LIVE, k] = 0.0
        if admissible[k] == 0 or not scale[k] > 0.0 or not loc[k] + work[REACH, k] > low:
            continue
        work[LIVE, k] = 1.0
        high = max(high, loc[k] + work[REACH, k])
        row = ARM_ROWS + 2 * k
        if last >= 0 and df[last] == df[k]:
            for i in range(TABLE_COLUMNS):
                work[row, i] = work[ARM_ROWS + 2 * last, i]
        else:
            student_coefficients_nb(work, row, df[k])
        n_live += 1
        last = k
    return low, high, n_live, last


@njit(cache=True, error_model="numpy", nogil=True)
def integrate_nb(
    loc: Array1d, scale: Array1d, df: Array1d, low: float, high: float, floor_index: int, work: Array2d, p_out: Array1d
) -> bool:
    """Add the integrals of the live arms, and the point mass's probability of standing above all of them.

    False when a panel has no width or more than MAX_PANELS would be needed.
    """
    n_nodes, n_live = 0, 0
    for k in range(loc.shape[0]):
        n_live += 1 if work[LIVE, k] != 0.0 else 0
    panel = PANEL_SCALES * math.sqrt(8.0 / max(n_live, 8))
    if floor_index >= 0:  # a panel without weight, all its nodes at the point mass
        for i in range(PANEL_NODES):
            work[AT, i] = low
            work[WEIGHT, i] = 0.0
        n_nodes = PANEL_NODES
    z, is_first = low, True
    for _ in range(MAX_PANELS):
        if not z < high:
            break
        width = high - z
        for k in range(loc.shape[0]):
            if work[LIVE, k] != 0.0 and z < loc[k] + work[REACH, k]:
                width = min(width, max(panel * scale[k], 0.5 * abs(z - loc[k])))
        end = z + width
        if not end > z:
            return False
        half, middle = 0.5 * (end - z), 0.5 * (end + z)
        for i in range(PANEL_NODES):
            work[AT, n_nodes + i] = middle + half * _GAUSS_AT[i]
            work[WEIGHT, n_nodes + i] = half * _GAUSS_WEIGHT[i]
        n_nodes += PANEL_NODES
        z = end
        if n_nodes == BLOCK_NODES or not z < high:
            below = _block_nb(loc, scale, df, n_nodes, work, p_out)
            if is_first and floor_index >= 0:
                p_out[floor_index] = below
            n_nodes, is_first = 0, False
    return not z < high


@njit(cache=True, error_model="numpy", nogil=True)
def _block_nb(loc: Array1d, scale: Array1d, df: Array1d, n: int, work: Array2d, p_out: Array1d) -> float:
    """Add sum_i w_i G(z_i) f_k(z_i) / F_k(z_i) to each live arm, G = prod F_j; returns G at the first node.

    Nodes only rise, so an arm whose reach ends before the first one is below all of them from here on.
    """
    for i in range(n):
        work[BELOW, i] = 1.0
    for k in range(loc.shape[0]):
        if work[LIVE, k] != 0.0 and work[AT, 0] >= loc[k] + work[REACH, k]:
            work[LIVE, k] = 0.0
        if work[LIVE, k] != 0.0:
            student_block_nb(work, n, loc[k], scale[k], df[k], ARM_ROWS + 2 * k, ARM_ROWS + 2 * k + 1)
    below = work[BELOW, 0]
    for i in range(n):
        work[BELOW, i] *= work[WEIGHT, i]
    for k in range(loc.shape[0]):
        if work[LIVE, k] == 0.0:
            continue
        row = ARM_ROWS + 2 * k + 1
        s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(0, n, PANEL_NODES):
            s0 += work[BELOW, i] * work[row, i]
            s1 += work[BELOW, i + 1] * work[row, i + 1]
            s2 += work[BELOW, i + 2] * work[row, i + 2]
            s3 += work[BELOW, i + 3] * work[row, i + 3]
            s4 += work[BELOW, i + 4] * work[row, i + 4]
            s5 += work[BELOW, i + 5] * work[row, i + 5]
            s6 += work[BELOW, i + 6] * work[row, i + 6]
            s7 += work[BELOW, i + 7] * work[row, i + 7]
        p_out[k] += ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    return below
