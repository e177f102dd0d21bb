"""Sizes: the specification's table, exact rounding, monotony and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from apps.engine.propensity import STATUS_BAD_PARAMETER, STATUS_OK
from apps.engine.sizing import (
    ERROR,
    ERROR_E8,
    MAX_AMOUNT_E8,
    SIZE_ERROR,
    annual_sigma_nb,
    base_e8_nb,
    scaled_e8_nb,
    sigmoid_minus_nb,
    target_lots_nb,
    width_nb,
    widths_nb,
)

# The first example compiles; a failing tolerance must fail every time.
compiled = settings(deadline=None, derandomize=True)
amounts = st.integers(0, MAX_AMOUNT_E8)
fractions = st.floats(0.0, 1.0)
HOURLY = 8760.0


@pytest.mark.parametrize(
    ("width", "multiplier"),
    [
        (0.0, 0.5),
        (0.25, 0.43782),
        (0.5, 0.37754),
        (1.0, 0.26894),
        (1.5, 0.18243),
        (2.0, 0.11920),
        (3.0, 0.047426),
        (5.0, 0.0066929),
    ],
)
def test_the_multipliers_of_the_specification(width: float, multiplier: float) -> None:
    assert float(f"{sigmoid_minus_nb(width):.5g}") == multiplier


@compiled
@given(width=st.floats(0.0, 700.0))
def test_the_sigmoid_equals_its_definition(width: float) -> None:
    assert abs(sigmoid_minus_nb(width) - special.expit(-width)) < 1e-12


@compiled
@given(width=st.floats(0.0, 800.0), ulps=st.integers(1, 5000))
def test_the_sigmoid_never_rises_not_even_by_a_bit(width: float, ulps: int) -> None:
    wider = width + ulps * math.ulp(width)
    assert sigmoid_minus_nb(wider) <= sigmoid_minus_nb(width)


def test_widths_are_rounded_up_before_libm_sees_them() -> None:
    assert sigmoid_minus_nb(1.0 + 2.0**-50) == sigmoid_minus_nb(1.0 + 2.0**-40) < sigmoid_minus_nb(1.0)


def test_the_sigmoid_at_its_ends() -> None:
    assert sigmoid_minus_nb(0.0) == 0.5
    assert sigmoid_minus_nb(700.0) > 0.0
    assert sigmoid_minus_nb(math.inf) == 0.0
    assert sigmoid_minus_nb(1e300) == 0.0
    assert sigmoid_minus_nb(math.nan) == ERROR
    assert sigmoid_minus_nb(-1e-12) == ERROR
    assert sigmoid_minus_nb(-math.inf) == ERROR


@pytest.mark.parametrize("a", [4.0, 4.5, 30.0, 504.0])
@pytest.mark.parametrize("h", [0.0, 1e-4, 0.02, 1.0, 3.7])
def test_the_width_is_the_credible_interval(h: float, a: float) -> None:
    assert abs(width_nb(h, a) - 2.0 * special.stdtrit(2.0 * a, 0.9) * math.sqrt(h)) < 1e-9


def test_a_width_without_meaning_is_nan_and_sizes_to_an_error() -> None:
    for h, a in ((-1e-9, 10.0), (math.nan, 10.0), (0.1, 3.9), (0.1, math.nan), (0.1, math.inf)):
        assert math.isnan(width_nb(h, a))
        assert sigmoid_minus_nb(width_nb(h, a)) == ERROR
    assert width_nb(math.inf, 10.0) == math.inf
    assert sigmoid_minus_nb(width_nb(math.inf, 10.0)) == 0.0


def test_widths_of_many_arms_equal_the_single_ones() -> None:
    h, a, out = np.array([0.1, 0.2, 0.0, 0.3]), np.array([9.0, 9.0, 50.0, 9.0]), np.zeros(4)
    assert widths_nb(h, a, out) == STATUS_OK
    assert out.tolist() == [width_nb(h[k], a[k]) for k in range(4)]
    assert widths_nb(np.array([0.1, -1.0]), np.array([9.0, 9.0]), out[:2]) == STATUS_BAD_PARAMETER
    assert math.isnan(out[1])
    assert widths_nb(np.array([0.1]), np.array([math.nan]), out[:1]) == STATUS_BAD_PARAMETER


def test_annual_volatility_has_a_floor() -> None:
    assert annual_sigma_nb(0.01, HOURLY) == 0.01 * math.sqrt(HOURLY)
    assert annual_sigma_nb(0.0, HOURLY) == 0.05
    assert annual_sigma_nb(1e-6, HOURLY) == 0.05
    for sigma, bars in ((math.nan, HOURLY), (math.inf, HOURLY), (-0.1, HOURLY), (0.1, 0.0), (0.1, math.nan)):
        assert annual_sigma_nb(sigma, bars) == ERROR
        assert base_e8_nb(10**14, sigma, bars) == ERROR_E8


@compiled
@given(amount=amounts, fraction=fractions)
def test_scaling_is_exact(amount: int, fraction: float) -> None:
    assert scaled_e8_nb(amount, fraction) == amount * int(fraction * 2**52) >> 52


def test_scaling_at_its_ends() -> None:
    assert scaled_e8_nb(MAX_AMOUNT_E8, 1.0) == MAX_AMOUNT_E8
    assert scaled_e8_nb(MAX_AMOUNT_E8, 0.0) == 0
    assert scaled_e8_nb(3, 0.5) == 1
    for amount, fraction in ((-1, 0.5), (MAX_AMOUNT_E8 + 1, 0.5), (1, -0.1), (1, 1.1), (1, math.nan)):
        assert scaled_e8_nb(amount, fraction) == ERROR_E8


def test_base_is_equity_up_to_the_volatility_target() -> None:
    assert base_e8_nb(123_456_789, 0.20 / math.sqrt(HOURLY) / 2, HOURLY) == 123_456_789
    half = 0.40 / math.sqrt(HOURLY)
    fraction = 0.20 / (half * math.sqrt(HOURLY))
    assert base_e8_nb(10**14 + 1, half, HOURLY) == (10**14 + 1) * int(fraction * 2**52) >> 52
    assert base_e8_nb(0, half, HOURLY) == 0
    assert base_e8_nb(-5, half, HOURLY) == 0


@compiled
@given(equity=amounts, sigma=st.floats(0.0, 1.0), more=st.floats(0.0, 1.0))
def test_base_never_exceeds_equity_and_falls_with_volatility(equity: int, sigma: float, more: float) -> None:
    base = base_e8_nb(equity, sigma, HOURLY)
    assert 0 <= base_e8_nb(equity, sigma + more, HOURLY) <= base <= equity


def test_a_target_is_rounded_towards_zero_at_each_step() -> None:
    # 100.0 x 0.5 = 50.0; x 1/3 (9 digits) = 16.66666665; x 0.75 = 12.4999999875; at 0.61 a lot: 20 lots.
    assert target_lots_nb(100 * 10**8, 0.5, 333_333_333, 0.75, 61_000_000) == 20
    assert target_lots_nb(100 * 10**8, 0.5, 333_333_333, -0.75, 61_000_000) == -20
    assert target_lots_nb(100 * 10**8, 0.5, 333_333_333, 0.0, 61_000_000) == 0
    assert target_lots_nb(60_999_999, 1.0, 10**9, 1.0, 61_000_000) == 0
    assert target_lots_nb(61_000_000, 1.0, 10**9, 1.0, 61_000_000) == 1


@compiled
@given(
    base=amounts,
    sigmoid=fractions,
    weight=st.integers(0, 10**9),
    signal=st.floats(-1.0, 1.0),
    unit=st.integers(1, 10**12),
)
def test_a_target_equals_integer_arithmetic_and_stays_in_bounds(base, sigmoid, weight, signal, unit) -> None:
    value = base * int(sigmoid * 2**52) >> 52
    value = value * weight // 10**9
    lots = (value * int(abs(signal) * 2**52) >> 52) // unit
    assert target_lots_nb(base, sigmoid, weight, signal, unit) == (-lots if signal < 0 else lots)
    assert lots * unit <= base
    assert target_lots_nb(base, sigmoid, weight, -signal, unit) == -target_lots_nb(base, sigmoid, weight, signal, unit)


@compiled
@given(
    base=amounts,
    width=st.floats(0.0, 20.0),
    more=st.floats(0.0, 5.0) | st.floats(0.0, 1e-12),
    signal=fractions,
    unit=st.integers(1, 10**9),
)
def test_size_never_rises_with_width(base, width, more, signal, unit) -> None:
    narrow = target_lots_nb(base, sigmoid_minus_nb(width), 10**9, signal, unit)
    wide = target_lots_nb(base, sigmoid_minus_nb(width + more), 10**9, signal, unit)
    assert 0 <= wide <= narrow


@pytest.mark.parametrize(
    "arguments",
    [
        (ERROR_E8, 0.5, 10**9, 1.0, 1),
        (MAX_AMOUNT_E8 + 1, 0.5, 10**9, 1.0, 1),
        (10**8, ERROR, 10**9, 1.0, 1),
        (10**8, math.nan, 10**9, 1.0, 1),
        (10**8, 1.1, 10**9, 1.0, 1),
        (10**8, 0.5, -1, 1.0, 1),
        (10**8, 0.5, 10**9 + 1, 1.0, 1),
        (10**8, 0.5, 10**9, 1.1, 1),
        (10**8, 0.5, 10**9, -1.1, 1),
        (10**8, 0.5, 10**9, math.nan, 1),
        (10**8, 0.5, 10**9, 1.0, 0),
    ],
)
def test_bad_input_to_a_target_is_an_error(arguments) -> None:
    assert target_lots_nb(*arguments) == SIZE_ERROR
