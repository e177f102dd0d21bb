"""How large a position an arm deserves: the wider the interval of its expected reward, the smaller.

    target = base x sigmoid(-width) x portfolio weight x signal,   base = equity x min(1, 0.20 / annual volatility)

Width 0 still gives only half of base. Money stays integer: a fraction becomes a whole number of 2^-52 (rounded down)
before it meets an amount, each product is exact and rounded down, the last division rounds down to the lot, and the
sign is put on last, so all rounding is towards zero. Each step rises with each factor, so size never rises with width.
Errors are values: -1 where a result cannot be negative, NaN for a width, SIZE_ERROR for signed lots.
"""

from __future__ import annotations

import math

from numba import njit

from apps.engine.propensity import STATUS_BAD_PARAMETER, STATUS_OK
from apps.engine.student import student_quantile_nb
from apps.engine.values import Array1d

INTERVAL_UPPER = 0.9  # upper end of the 80 % credible interval
TARGET_ANNUAL_SIGMA = 0.20
MIN_ANNUAL_SIGMA = 0.05
MAX_BASE_FRACTION = 1.0
MAX_AMOUNT_E8 = 2**62
E9 = 1_000_000_000
ERROR = -1.0
ERROR_E8 = -1
SIZE_ERROR = -(2**62)

_TWO_52 = 4503599627370496.0
_TWO_40 = 1099511627776.0
_LOW_26 = 2**26 - 1


@njit(cache=True, error_model="numpy", nogil=True)
def width_nb(h: float, a: float) -> float:
    """80 % credible interval of the expected reward in reward-sd: 2 t_{0.9, 2a} sqrt(h).

    inf for h = inf; NaN if h is NaN or negative, or a is outside [4, inf).
    """
    if not h >= 0.0:
        return math.nan
    return 2.0 * student_quantile_nb(INTERVAL_UPPER, 2.0 * a) * math.sqrt(h)


@njit(cache=True, error_model="numpy", nogil=True)
def widths_nb(h: Array1d, a: Array1d, width_out: Array1d) -> int:
    """width_nb of every arm; arms of equal a share one quantile. STATUS_BAD_PARAMETER if any is NaN."""
    status = STATUS_OK
    quantile, quantile_a = math.nan, math.nan
    for k in range(h.shape[0]):
        if a[k] != quantile_a:
            quantile, quantile_a = student_quantile_nb(INTERVAL_UPPER, 2.0 * a[k]), a[k]
        width_out[k] = 2.0 * quantile * math.sqrt(h[k]) if h[k] >= 0.0 else math.nan
        if math.isnan(width_out[k]):
            status = STATUS_BAD_PARAMETER
    return status


@njit(cache=True, error_model="numpy", nogil=True)
def sigmoid_minus_nb(width: float) -> float:
    """sigmoid(-width) in [0, 0.5], error below 1e-12; 0 from width 700 on. -1.0 (ERROR) if width is NaN or negative.

    The width is first rounded up to a multiple of 2^-40, so that the last bit of libm's exp cannot break monotony.
    """
    if not width >= 0.0:
        return ERROR
    if width > 700.0:
        return 0.0
    return 1.0 / (1.0 + math.exp(math.ceil(width * _TWO_40) / _TWO_40))


@njit(cache=True, error_model="numpy", nogil=True)
def annual_sigma_nb(sigma_bar: float, bars_per_year: float) -> float:
    """Bar volatility times sqrt(bars per year), at least 0.05. -1.0 (ERROR) if either is not finite or below 0."""
    if not (sigma_bar >= 0.0 and sigma_bar < math.inf and bars_per_year > 0.0 and bars_per_year < math.inf):
        return ERROR
    return max(sigma_bar * math.sqrt(bars_per_year), MIN_ANNUAL_SIGMA)


@njit(cache=True, error_model="numpy", nogil=True)
def scaled_e8_nb(amount_e8: int, fraction: float) -> int:
    """floor(amount x fraction), exact for the fraction rounded down to 2^-52, without leaving int64.

    -1 (ERROR_E8) if the amount is outside [0, 2^62] or the fraction is NaN or outside [0, 1].
    """
    if not (fraction >= 0.0 and fraction <= 1.0) or amount_e8 < 0 or amount_e8 > MAX_AMOUNT_E8:
        return ERROR_E8
    parts = int(fraction * _TWO_52)
    amount_high, amount_low = amount_e8 >> 26, amount_e8 & _LOW_26
    parts_high, parts_low = parts >> 26, parts & _LOW_26
    middle = amount_high * parts_low + amount_low * parts_high
    return amount_high * parts_high + ((middle + (amount_low * parts_low >> 26)) >> 26)


@njit(cache=True, error_model="numpy", nogil=True)
def base_e8_nb(equity_e8: int, sigma_bar: float, bars_per_year: float) -> int:
    """floor(equity x min(1, 0.20 / annual volatility)); 0 if equity <= 0. -1 (ERROR_E8) for bad volatility."""
    sigma = annual_sigma_nb(sigma_bar, bars_per_year)
    if sigma < 0.0:
        return ERROR_E8
    return scaled_e8_nb(max(equity_e8, 0), min(MAX_BASE_FRACTION, TARGET_ANNUAL_SIGMA / sigma))


@njit(cache=True, error_model="numpy", nogil=True)
def target_lots_nb(base_e8: int, sigmoid: float, weight_e9: int, signal: float, unit_e8: int) -> int:
    """Signed target in lots: base x sigmoid x weight / 1e9 x |signal| / unit, rounded down at each step.

    `unit_e8` is the value of one lot. SIZE_ERROR if base is outside [0, 2^62], sigmoid outside [0, 1], weight outside
    [0, 1e9], |signal| above 1, the unit below 1, or anything is NaN.
    """
    if weight_e9 < 0 or weight_e9 > E9 or unit_e8 < 1 or not abs(signal) <= 1.0:
        return SIZE_ERROR
    sized = scaled_e8_nb(base_e8, sigmoid)
    if sized < 0:
        return SIZE_ERROR
    weighted = sized // E9 * weight_e9 + sized % E9 * weight_e9 // E9
    lots = scaled_e8_nb(weighted, abs(signal)) // unit_e8
    return -lots if signal < 0.0 else lots
