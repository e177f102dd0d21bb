"""The Student-t functions against scipy and mpmath, and the fit behind them against itself."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from scipy import special

from apps.engine.student import (
    AT,
    BELOW,
    BLOCK_ROWS,
    DF_TERMS,
    TAIL_TABLE,
    W_TERMS,
    student_block_nb,
    student_cdf_nb,
    student_coefficients_nb,
    student_pdf_nb,
    student_quantile_nb,
    student_tail_nb,
)

DFS = [8.0, 8.0001, 8.5, 11.0, 16.0, 29.3, 64.0, 300.0, 1004.0, 12_345.6, 1e6, 1e9, 1e14]
TS = np.concatenate([[0.0], np.geomspace(1e-9, 1e4, 300), np.linspace(0.01, 12.0, 300)])
degrees = st.floats(8.0, 1e7)
# The first example compiles.
compiled = settings(deadline=None, derandomize=True)


def powers(n: int) -> np.ndarray:
    """Row k: Chebyshev polynomial k in powers."""
    return np.array([np.pad(chebyshev.cheb2poly(np.eye(n)[k]), (0, n))[:n] for k in range(n)])


def refit() -> np.ndarray:
    """The table of student.py, made again as its docstring says."""
    n_w, n_s = 64, 24
    y = np.cos(np.pi * (np.arange(n_w) + 0.5) / n_w)
    s = np.cos(np.pi * (np.arange(n_s) + 0.5) / n_s)
    w = (10.0 * (1.0 + y) / (4.4 - (1.0 + y)))[:, None]
    df = 16.0 / (1.0 + s)
    ratio = special.stdtr(df, -np.sqrt(df * np.expm1(w * w / df))) * np.exp(w * w / 2)
    by_df = chebyshev.chebfit(s, ratio.T, DF_TERMS - 1)
    at_zero, half = chebyshev.chebvander(np.array([-1.0]), W_TERMS - 1), np.zeros((1, DF_TERMS))
    half[0, 0] = 0.5
    basis, wanted = chebyshev.chebvander(y, W_TERMS - 1), np.exp(-0.85 * w[:, 0] ** 2 / 2)
    emphasis = np.ones(n_w)
    for _ in range(60):
        weight = np.sqrt(emphasis) * wanted
        left = np.vstack([basis * weight[:, None], 1e4 * at_zero])
        right = np.vstack([(by_df * weight).T, 1e4 * half])
        fitted = np.linalg.lstsq(left, right, rcond=None)[0]
        error = np.abs((basis @ fitted - by_df.T) @ chebyshev.chebvander(s, DF_TERMS - 1).T).max(1) * wanted
        emphasis *= np.sqrt(error / error.max() + 1e-3)
        emphasis /= emphasis.mean()
    peak = special.poch(df / 2, 0.5) / np.sqrt(df * np.pi)
    table = np.empty((DF_TERMS, W_TERMS + 1))
    table[:, :W_TERMS] = (powers(W_TERMS).T @ fitted @ powers(DF_TERMS)).T
    table[:, W_TERMS] = chebyshev.cheb2poly(chebyshev.chebfit(s, peak, DF_TERMS - 1))
    return table


def test_the_table_is_the_fit_its_docstring_describes() -> None:
    y, s = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 41), indexing="ij")
    w = 10.0 * (1.0 + y) / (4.4 - (1.0 + y))
    made, kept = refit(), TAIL_TABLE
    difference = np.polynomial.polynomial.polyval2d(y, s, (made - kept)[:, :W_TERMS].T)
    assert np.abs(difference * np.exp(-w * w / 2)).max() < 1e-12
    assert np.abs(made - kept)[:, W_TERMS].max() < 1e-10


@pytest.mark.parametrize("df", DFS)
def test_the_tail_equals_scipy(df: float) -> None:
    ours = np.array([student_tail_nb(t, df) for t in TS])
    reference = special.stdtr(df, -TS)
    assert np.abs(ours - reference).max() < 1e-12
    likely = reference > 1e-4
    assert np.abs(ours[likely] / reference[likely] - 1.0).max() < 2e-9


@pytest.mark.parametrize(("t", "df"), [(0.3, 8), (1.7, 9), (2.5, 30), (5.5, 12), (0.01, 1004), (3.3, 250), (40.0, 8)])
def test_the_tail_equals_mpmath(t: float, df: float) -> None:
    with mpmath.workdps(30):
        exact = mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, df / (df + mpmath.mpf(t) ** 2), regularized=True) / 2
        assert abs(student_tail_nb(t, float(df)) - exact) < 1e-12
        assert abs(student_cdf_nb(t, float(df)) - (1 - exact)) < 1e-12


@pytest.mark.parametrize("df", DFS[:-2])
def test_the_density_equals_mpmath(df: float) -> None:
    with mpmath.workdps(40):
        d = mpmath.mpf(df)
        peak = mpmath.gamma((d + 1) / 2) / mpmath.gamma(d / 2) / mpmath.sqrt(d * mpmath.pi)
        for t in (0.0, 0.4, 1.0, 2.7, 6.0):
            exact = peak * (1 + mpmath.mpf(t) ** 2 / d) ** (-(d + 1) / 2)
            assert abs(student_pdf_nb(t, df) / exact - 1) < 1e-11


@pytest.mark.parametrize("df", DFS[:-1])
def test_the_quantile_equals_scipy(df: float) -> None:
    for p in (1e-3, 0.01, 0.1, 0.25, 0.4999, 0.5, 0.6, 0.8, 0.9, 0.95, 0.975, 0.99, 0.999):
        assert abs(student_quantile_nb(p, df) - special.stdtrit(df, p)) < 1e-9


@compiled
@given(df=degrees, p=st.floats(1e-12, 1.0 - 1e-12))
def test_the_quantile_inverts_our_cdf(df: float, p: float) -> None:
    assert abs(student_cdf_nb(student_quantile_nb(p, df), df) - p) < 1e-14


def test_the_quantile_at_its_ends() -> None:
    assert student_quantile_nb(0.0, 9.0) == -math.inf
    assert student_quantile_nb(1.0, 9.0) == math.inf
    assert student_quantile_nb(0.5, 9.0) == 0.0
    assert math.isnan(student_quantile_nb(-1e-9, 9.0))
    assert math.isnan(student_quantile_nb(1.1, 9.0))
    assert math.isnan(student_quantile_nb(math.nan, 9.0))


@pytest.mark.parametrize("df", [7.999, 0.0, -3.0, math.nan, math.inf])
def test_it_answers_nan_below_eight_degrees(df: float) -> None:
    assert math.isnan(student_tail_nb(1.0, df))
    assert math.isnan(student_cdf_nb(1.0, df))
    assert math.isnan(student_pdf_nb(1.0, df))
    assert math.isnan(student_quantile_nb(0.9, df))


def test_it_answers_nan_for_nan_and_the_limit_for_infinity() -> None:
    assert math.isnan(student_tail_nb(math.nan, 9.0))
    assert math.isnan(student_pdf_nb(math.nan, 9.0))
    assert student_cdf_nb(math.inf, 9.0) == 1.0
    assert student_cdf_nb(-math.inf, 9.0) == 0.0
    assert student_tail_nb(1e200, 9.0) == 0.0


@compiled
@given(df=degrees, t=st.floats(0.0, 60.0))
def test_it_is_symmetric(df: float, t: float) -> None:
    assert student_cdf_nb(-t, df) == student_tail_nb(t, df)
    assert abs(student_cdf_nb(t, df) + student_tail_nb(t, df) - 1.0) < 1e-14


@compiled
@given(df=degrees, t=st.floats(-30.0, 30.0), step=st.floats(1e-4, 10.0))
def test_the_cdf_rises(df: float, t: float, step: float) -> None:
    assert student_cdf_nb(t + step, df) >= student_cdf_nb(t, df)


@compiled
@given(df=st.floats(8.0, 1e12), loc=st.floats(-5.0, 5.0), scale=st.floats(1e-6, 10.0))
def test_a_block_equals_the_single_functions(df: float, loc: float, scale: float) -> None:
    coefficients, hazard = BLOCK_ROWS, BLOCK_ROWS + 1
    work = np.zeros((BLOCK_ROWS + 2, 64))
    t = np.linspace(-9.0, 9.0, 64)
    work[AT], work[BELOW] = loc + scale * t, 1.0
    student_coefficients_nb(work, coefficients, df)
    student_block_nb(work, 64, loc, scale, df, coefficients, hazard)
    reached = (work[AT] - loc) * (1.0 / scale)
    below = np.array([student_cdf_nb(value, df) for value in reached])
    density = np.array([student_pdf_nb(value, df) for value in reached]) / scale
    assert np.abs(work[BELOW] - below).max() < 1e-12
    assert np.abs(work[hazard] * work[BELOW] - density).max() * scale < 2e-12
