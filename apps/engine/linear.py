"""Small linear systems of many arms at once: Cholesky factor and triangular solves, eight arms side by side.

A matrix of size 11 is its lower triangle by rows (entry i (i + 1) / 2 + j), a row per entry and a column per arm, so
that each step is one instruction for all eight arms. Own loops, because BLAS changes bits between machines.
"""

from __future__ import annotations

import math

from numba import njit

from apps.engine.values import Array2d

SIZE = 11
TRIANGLE = 66
LANES = 8


@njit("void(f8[:, ::1], i8, f8[:, ::1], i8)", cache=True, error_model="numpy", nogil=True)
def load_nb(source: Array2d, first: int, work: Array2d, row: int) -> None:
    """Copy the columns from `first` on into the lanes of work's rows from `row` on; lanes without a column get 0."""
    n_lanes = min(LANES, source.shape[1] - first)
    for i in range(source.shape[0]):
        for lane in range(LANES):
            work[row + i, lane] = 0.0
        for lane in range(n_lanes):
            work[row + i, lane] = source[i, first + lane]


@njit("void(f8[:, ::1], i8, i8, i8, i8)", cache=True, error_model="numpy", nogil=True)
def _subtract_products_nb(work: Array2d, target: int, left: int, right: int, n: int) -> None:
    """work[target] -= sum of work[left + p] work[right + p], p below n; eight sums in registers."""
    s0, s1, s2, s3 = work[target, 0], work[target, 1], work[target, 2], work[target, 3]
    s4, s5, s6, s7 = work[target, 4], work[target, 5], work[target, 6], work[target, 7]
    for p in range(n):
        s0 -= work[left + p, 0] * work[right + p, 0]
        s1 -= work[left + p, 1] * work[right + p, 1]
        s2 -= work[left + p, 2] * work[right + p, 2]
        s3 -= work[left + p, 3] * work[right + p, 3]
        s4 -= work[left + p, 4] * work[right + p, 4]
        s5 -= work[left + p, 5] * work[right + p, 5]
        s6 -= work[left + p, 6] * work[right + p, 6]
        s7 -= work[left + p, 7] * work[right + p, 7]
    work[target, 0], work[target, 1], work[target, 2], work[target, 3] = s0, s1, s2, s3
    work[target, 4], work[target, 5], work[target, 6], work[target, 7] = s4, s5, s6, s7


@njit("b1(f8[:, ::1], f8)", cache=True, error_model="numpy", nogil=True)
def factor_nb(work: Array2d, ridge: float) -> bool:
    """Turn rows 0 to 65 (a matrix S) into the Cholesky factor of S + ridge I, its diagonal inverted.

    False if a pivot is not above 0 or not finite; the rows are then of no use.
    """
    is_sound = True
    for i in range(SIZE):
        row = i * (i + 1) // 2
        for lane in range(LANES):
            work[row + i, lane] += ridge
        for j in range(i):
            _subtract_products_nb(work, row + j, row, j * (j + 1) // 2, j)
            for lane in range(LANES):
                work[row + j, lane] *= work[j * (j + 1) // 2 + j, lane]
        _subtract_products_nb(work, row + i, row, row, i)
        for lane in range(LANES):
            pivot = work[row + i, lane]
            is_sound = is_sound and pivot > 0.0 and pivot < math.inf
            work[row + i, lane] = 1.0 / math.sqrt(pivot)
    return is_sound


@njit("void(f8[:, ::1], i8)", cache=True, error_model="numpy", nogil=True)
def solve_lower_nb(work: Array2d, at: int) -> None:
    """Solve L z = v in place for the vector in rows `at` to `at` + 10, after factor_nb."""
    for i in range(SIZE):
        row = i * (i + 1) // 2
        _subtract_products_nb(work, at + i, at, row, i)
        for lane in range(LANES):
            work[at + i, lane] *= work[row + i, lane]


@njit("void(f8[:, ::1], i8)", cache=True, error_model="numpy", nogil=True)
def solve_upper_nb(work: Array2d, at: int) -> None:
    """Solve L' z = v in place for the vector in rows `at` to `at` + 10, after factor_nb."""
    for i in range(SIZE - 1, -1, -1):
        for lane in range(LANES):
            value = work[at + i, lane]
            for p in range(i + 1, SIZE):
                value -= work[p * (p + 1) // 2 + i, lane] * work[at + p, lane]
            work[at + i, lane] = value * work[i * (i + 1) // 2 + i, lane]


@njit(cache=True, error_model="numpy", nogil=True)
def columns_are_equal_nb(source: Array2d) -> bool:
    """Whether every column holds the numbers of the first one. NaN equals nothing."""
    n_others = 0
    for i in range(source.shape[0]):
        for k in range(source.shape[1]):
            n_others += 1 if source[i, k] != source[i, 0] else 0
    return n_others == 0


@njit(cache=True, error_model="numpy", nogil=True)
def factor_columns_nb(source: Array2d, ridge: float, work: Array2d) -> bool:
    """factor_nb of the first column alone, by columns of the factor: the same operations on each entry, the same bits.

    The first 121 places of work take it: L[i, j] at 11 j + i.
    """
    factor = work.ravel()
    for i in range(SIZE):
        for j in range(i + 1):
            factor[SIZE * j + i] = source[i * (i + 1) // 2 + j, 0]
        factor[SIZE * i + i] += ridge
    is_sound = True
    for p in range(SIZE):
        at = SIZE * p
        pivot = factor[at + p]
        is_sound = is_sound and pivot > 0.0 and pivot < math.inf
        inverse = 1.0 / math.sqrt(pivot)
        factor[at + p] = inverse
        for i in range(p + 1, SIZE):
            factor[at + i] *= inverse
        for j in range(p + 1, SIZE):
            share = factor[at + j]
            for i in range(j, SIZE):
                factor[SIZE * j + i] -= factor[at + i] * share
    return is_sound


@njit("void(f8[:, ::1], i8)", cache=True, error_model="numpy", nogil=True)
def solve_columns_nb(work: Array2d, at: int) -> None:
    """solve_lower_nb after factor_columns_nb: one factor, a vector per lane."""
    factor = work.ravel()
    for j in range(SIZE):
        inverse = factor[SIZE * j + j]
        for lane in range(LANES):
            work[at + j, lane] *= inverse
        for i in range(j + 1, SIZE):
            share = factor[SIZE * j + i]
            for lane in range(LANES):
                work[at + i, lane] -= work[at + j, lane] * share
