"""What does the market look like now? The context vector, version 1, read from the state that `feature_state` streams.

Eleven numbers with fixed divisors, not fitted scales, each clipped to +-3. A feature that cannot be computed is NaN and
sets its bit in the status; the caller then skips the decision. `regime_age` is E[L] of the volatility detector.
"""

from __future__ import annotations

import math

from numba import njit

from apps.engine.feature_state import (
    F_FAST_EWMA,
    F_GAIN,
    F_LOSS,
    F_RATIO_EWMA,
    F_SIGMA,
    F_SLOW_EWMA,
    F_STEP_EWMA,
    HIGH_BARS,
    I_CONTIGUOUS,
    I_RETURNS_SEEN,
    I_SIGMA_WINDOW,
    I_SIGMA_WINDOW_AT,
    I_STEPS_SEEN,
    I_VOLUME_WINDOW,
    I_VOLUME_WINDOW_AT,
    RATIO_SPAN,
    RSI_BARS,
    SLOW_SPAN,
    STEP_BARS,
    adv_quote_nb,
    bars_since_gap_nb,
    close_nb,
    features_bar_nb,
    features_batch_nb,
    features_sample_nb,
    features_state,
    features_warm_up,
    horizon_return_nb,
    last_close_at_nb,
    log_volume_nb,
    mark_gap_nb,
    realized_vol_nb,
    sigma_nb,
    sigma_previous_nb,
)
from apps.engine.values import Array1d, IntArray1d
from apps.engine.windows import MIN_SAMPLES, centered_moments_nb, window_median_nb, window_standardize_nb

__all__ = [
    "CLIP",
    "FEATURE_NAMES",
    "FEATURE_VERSION",
    "N_FEATURES",
    "adv_quote_nb",
    "bars_since_gap_nb",
    "context_nb",
    "features_bar_nb",
    "features_batch_nb",
    "features_sample_nb",
    "features_state",
    "features_warm_up",
    "horizon_return_nb",
    "mark_gap_nb",
    "realized_vol_nb",
    "sigma_nb",
    "sigma_previous_nb",
]

FEATURE_VERSION = 1
FEATURE_NAMES = (
    "one",
    "long_momentum",
    "short_momentum",
    "variance_ratio",
    "volatility_slope",
    "volatility_level",
    "relative_strength",
    "band_position",
    "fall_from_high",
    "volume_surprise",
    "regime_age",
)
N_FEATURES = len(FEATURE_NAMES)
CLIP = 3.0
LONG_BARS, SHORT_BARS, MEAN_BARS = 96, 24, 48
AGE_SCALE = 300.0


@njit(cache=True, error_model="numpy", nogil=True)
def context_nb(f: Array1d, i: IntArray1d, regime_age: float, x_out: Array1d) -> int:
    """Fill x_out[0:11], each clipped to +-3; answers a bit mask of the missing ones, which are NaN. 0 is complete."""
    x_out[0] = 1.0
    x_out[1] = _momentum_nb(f, i, LONG_BARS) / 2.0
    x_out[2] = _momentum_nb(f, i, SHORT_BARS)
    x_out[3] = _variance_ratio_nb(f, i)
    x_out[4] = _volatility_slope_nb(f, i)
    x_out[5] = _volatility_level_nb(f, i)
    x_out[6] = _strength_nb(f, i)
    x_out[7] = _band_position_nb(f, i)
    x_out[8] = _fall_nb(f, i)
    x_out[9] = window_standardize_nb(f, i[I_VOLUME_WINDOW_AT], i, I_VOLUME_WINDOW, log_volume_nb(f, i)) / 3.0
    x_out[10] = regime_age / AGE_SCALE
    missing = 0
    for j in range(N_FEATURES):
        if math.isfinite(x_out[j]):
            x_out[j] = min(max(x_out[j], -CLIP), CLIP)
        else:
            x_out[j] = math.nan
            missing |= 1 << j
    return missing


@njit(cache=True, error_model="numpy", nogil=True)
def _momentum_nb(f: Array1d, i: IntArray1d, bars: int) -> float:
    """ln(C_t / C_{t-bars}) in units of sigma sqrt(bars)."""
    sigma = f[F_SIGMA]
    if i[I_CONTIGUOUS] <= bars or not sigma > 0.0:
        return math.nan
    return math.log(close_nb(f, i, 0) / close_nb(f, i, bars)) / (sigma * math.sqrt(bars))


@njit(cache=True, error_model="numpy", nogil=True)
def _variance_ratio_nb(f: Array1d, i: IntArray1d) -> float:
    """ln( EWMA_120[(12-bar return)^2] / 12 / EWMA_120[r^2] )."""
    if i[I_STEPS_SEEN] < RATIO_SPAN:
        return math.nan
    step = f[F_STEP_EWMA] / f[F_STEP_EWMA + 1] / STEP_BARS
    bar = f[F_RATIO_EWMA] / f[F_RATIO_EWMA + 1]
    return math.log(step / bar) if step > 0.0 and bar > 0.0 else math.nan


@njit(cache=True, error_model="numpy", nogil=True)
def _volatility_slope_nb(f: Array1d, i: IntArray1d) -> float:
    """0.5 ln( EWMA_24[r^2] / EWMA_240[r^2] )."""
    if i[I_RETURNS_SEEN] < SLOW_SPAN:
        return math.nan
    fast = f[F_FAST_EWMA] / f[F_FAST_EWMA + 1]
    slow = f[F_SLOW_EWMA] / f[F_SLOW_EWMA + 1]
    return 0.5 * math.log(fast / slow) if fast > 0.0 and slow > 0.0 else math.nan


@njit(cache=True, error_model="numpy", nogil=True)
def _volatility_level_nb(f: Array1d, i: IntArray1d) -> float:
    """ln( sigma / trailing median of sigma )."""
    if i[I_SIGMA_WINDOW + 1] < MIN_SAMPLES or not f[F_SIGMA] > 0.0:
        return math.nan
    return math.log(f[F_SIGMA] / window_median_nb(f, i[I_SIGMA_WINDOW_AT], i, I_SIGMA_WINDOW))


@njit(cache=True, error_model="numpy", nogil=True)
def _strength_nb(f: Array1d, i: IntArray1d) -> float:
    """(RSI_14 - 50) / 20; 0 for a flat series."""
    if i[I_RETURNS_SEEN] < RSI_BARS:
        return math.nan
    total = f[F_GAIN] + f[F_LOSS]
    if not total > 0.0:
        return 0.0
    return (100.0 * f[F_GAIN] / total - 50.0) / 20.0


@njit(cache=True, error_model="numpy", nogil=True)
def _band_position_nb(f: Array1d, i: IntArray1d) -> float:
    """((C - SMA_48) / sd_48) / 2 with the population sd."""
    if i[I_CONTIGUOUS] < MEAN_BARS:
        return math.nan
    newest = last_close_at_nb(i)
    above, sd = centered_moments_nb(f, newest - MEAN_BARS + 1, MEAN_BARS, f[newest])
    return -above / sd / 2.0 if sd > 0.0 else math.nan


@njit(cache=True, error_model="numpy", nogil=True)
def _fall_nb(f: Array1d, i: IntArray1d) -> float:
    """ln(C_t / max C over 240 bars) in units of sigma sqrt(240)."""
    sigma = f[F_SIGMA]
    if i[I_CONTIGUOUS] < HIGH_BARS or not sigma > 0.0:
        return math.nan
    newest = last_close_at_nb(i)
    # Four running maxima: comparisons need not wait for one another (240 is a multiple of 4).
    a = b = c = d = f[newest]
    for j in range(newest - HIGH_BARS + 1, newest + 1, 4):
        a, b, c, d = max(a, f[j]), max(b, f[j + 1]), max(c, f[j + 2]), max(d, f[j + 3])
    return math.log(f[newest] / max(max(a, b), max(c, d))) / (sigma * math.sqrt(HIGH_BARS))
