"""What are the main directions of many points, and how far are points apart? Loops with the same bits everywhere."""

from __future__ import annotations

import math

from numba import njit

from apps.engine.values import Array1d, Array2d

MAX_SWEEPS = 60
CONVERGED = 1e-30


@njit(cache=True, error_model="numpy", nogil=True)
def moments_nb(rows: Array2d, mean: Array1d, covariance: Array2d) -> None:
    """Mean and covariance (n - 1) of the rows, into arrays of zeros."""
    n, width = rows.shape
    for row in range(n):
        for a in range(width):
            mean[a] += rows[row, a]
    for a in range(width):
        mean[a] /= n
    for row in range(n):
        for a in range(width):
            deviation = rows[row, a] - mean[a]
            for b in range(a + 1):
                covariance[a, b] += deviation * (rows[row, b] - mean[b])
    for a in range(width):
        for b in range(a + 1):
            covariance[a, b] /= n - 1
            covariance[b, a] = covariance[a, b]


@njit(cache=True, error_model="numpy", nogil=True)
def jacobi_nb(matrix: Array2d, vectors: Array2d) -> int:
    """Turn a symmetric matrix into its eigenvalues (on the diagonal); answers the sweeps taken.

    `vectors` comes in as the identity and goes out with the eigenvectors as columns. Cyclic Jacobi: each rotation
    zeroes one entry; sweeps converge quadratically.
    """
    width = matrix.shape[0]
    for sweep in range(MAX_SWEEPS):
        off, on = 0.0, 0.0
        for a in range(width):
            on += matrix[a, a] * matrix[a, a]
            for b in range(a):
                off += matrix[a, b] * matrix[a, b]
        if off <= CONVERGED * on:
            return sweep
        for a in range(width - 1):
            for b in range(a + 1, width):
                _rotate_nb(matrix, vectors, a, b)
    return MAX_SWEEPS


@njit(cache=True, error_model="numpy", nogil=True)
def _rotate_nb(matrix: Array2d, vectors: Array2d, a: int, b: int) -> None:
    """Rotate rows and columns a and b so that matrix[a, b] vanishes (Golub & Van Loan 8.5.2)."""
    entry = matrix[a, b]
    if entry == 0.0:
        return
    ratio = (matrix[b, b] - matrix[a, a]) / (2.0 * entry)
    tangent = math.copysign(1.0, ratio) / (abs(ratio) + math.sqrt(1.0 + ratio * ratio))
    cosine = 1.0 / math.sqrt(1.0 + tangent * tangent)
    sine = tangent * cosine
    for k in range(matrix.shape[0]):
        left, right = matrix[k, a], matrix[k, b]
        matrix[k, a], matrix[k, b] = cosine * left - sine * right, sine * left + cosine * right
    for k in range(matrix.shape[0]):
        left, right = matrix[a, k], matrix[b, k]
        matrix[a, k], matrix[b, k] = cosine * left - sine * right, sine * left + cosine * right
        left, right = vectors[k, a], vectors[k, b]
        vectors[k, a], vectors[k, b] = cosine * left - sine * right, sine * left + cosine * right
    matrix[a, b] = matrix[b, a] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def project_nb(weights: Array2d, mean: Array1d, x: Array1d, out: Array1d) -> None:
    """out = weights (x - mean)."""
    for row in range(weights.shape[0]):
        total = 0.0
        for column in range(weights.shape[1]):
            total += weights[row, column] * (x[column] - mean[column])
        out[row] = total


@njit(cache=True, error_model="numpy", nogil=True)
def distances_nb(points: Array2d, x: Array1d, out: Array1d) -> None:
    """Euclidean distance of each point (row) from x."""
    for row in range(points.shape[0]):
        total = 0.0
        for column in range(points.shape[1]):
            total += (points[row, column] - x[column]) * (points[row, column] - x[column])
        out[row] = math.sqrt(total)
