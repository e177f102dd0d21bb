"""What must be remembered of the bars so far to describe the market now? Streamed one bar at a time.

State is one float and one integer array; a copy is a snapshot. Every number is taken afresh from a ring of the last
bars, from an exponential average (which forgets) or from block sums, so nothing drifts. Prices and volumes are finite
and prices positive: bars are checked before they get here.

At a missing stretch call `mark_gap_nb`: windows then count from the first bar after it, exponential averages (RSI
among them) go on without the return across the gap, and the mean quote volume and the sampled medians keep what they
have.

At a grid bar, in this order: `features_bar_nb`, the regime's step on `realized_vol_nb`, `horizon_return_nb` and
`sigma_previous_nb`, `context_nb`, and last `features_sample_nb`, so that medians leave out the current value.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.errors import InvalidInput
from apps.engine.values import Array1d, IntArray1d
from apps.engine.windows import MIN_SAMPLES, WINDOW_INTS, ewma_push_nb, window_floats, window_push_nb

STEP_BARS, HIGH_BARS, VOLUME_BARS, QUOTE_BARS = 12, 240, 24, 1440
SIGMA_SPAN, RATIO_SPAN, FAST_SPAN, SLOW_SPAN, RSI_BARS = 48, 120, 24, 240, 14
SIGMA_WINDOW_BARS, VOLUME_WINDOW_BARS = 2160, 720

# Floats: exponential averages (weighted sum, weight), then single values, then rings and windows. The rings of closes
# and returns are written twice, a ring apart, so that the last bars always lie side by side.
F_SIGMA_EWMA, F_RATIO_EWMA, F_STEP_EWMA, F_FAST_EWMA, F_SLOW_EWMA = 0, 2, 4, 6, 8
F_GAIN, F_LOSS, F_SIGMA, F_SIGMA_PREVIOUS, F_QUOTE_SUM, F_QUOTE_MEAN = 10, 11, 12, 13, 14, 15
F_VOLUMES = 16
F_QUOTES = F_VOLUMES + VOLUME_BARS
F_CLOSES = F_QUOTES + QUOTE_BARS

I_HORIZON, I_RING, I_POSITION, I_CONTIGUOUS, I_RETURNS_SEEN, I_STEPS_SEEN = 0, 1, 2, 3, 4, 5
I_VOLUME_POSITION, I_QUOTE_POSITION, I_QUOTES_SEEN, I_RETURNS_AT = 6, 7, 8, 9
I_SIGMA_WINDOW_AT, I_VOLUME_WINDOW_AT = 10, 11
I_SIGMA_WINDOW = 12
I_VOLUME_WINDOW = I_SIGMA_WINDOW + WINDOW_INTS
FEATURE_INTS = I_VOLUME_WINDOW + WINDOW_INTS


def features_state(horizon_bars: int) -> tuple[Array1d, IntArray1d]:
    """State before the first bar, for decisions every `horizon_bars` bars.

    Sampled windows hold 2160 / H and 720 / H values, and never fewer than the 30 that a median needs.
    """
    if horizon_bars < 1:
        raise InvalidInput(f"HORIZON_BARS must be at least 1, not {horizon_bars}", field="HORIZON_BARS")
    ring = max(HIGH_BARS, horizon_bars) + 1
    sigma_samples = max(SIGMA_WINDOW_BARS // horizon_bars, MIN_SAMPLES)
    volume_samples = max(VOLUME_WINDOW_BARS // horizon_bars, MIN_SAMPLES)
    i = np.zeros(FEATURE_INTS, dtype=np.int64)
    i[I_HORIZON], i[I_RING] = horizon_bars, ring
    i[I_RETURNS_AT] = F_CLOSES + 2 * ring
    i[I_SIGMA_WINDOW_AT] = i[I_RETURNS_AT] + 2 * ring
    i[I_VOLUME_WINDOW_AT] = i[I_SIGMA_WINDOW_AT] + window_floats(sigma_samples)
    i[I_SIGMA_WINDOW], i[I_VOLUME_WINDOW] = sigma_samples, volume_samples
    f = np.zeros(int(i[I_VOLUME_WINDOW_AT]) + window_floats(volume_samples))
    f[F_SIGMA] = f[F_SIGMA_PREVIOUS] = math.nan
    return f, i


def features_warm_up(horizon_bars: int) -> int:
    """Bars after which, without gaps, no feature is missing for want of history (the regime's age apart)."""
    return max(HIGH_BARS, SIGMA_SPAN + MIN_SAMPLES * horizon_bars) + 1 + horizon_bars


@njit(cache=True, error_model="numpy", nogil=True)
def features_bar_nb(
    f: Array1d, i: IntArray1d, open_: float, high: float, low: float, close: float, volume: float
) -> None:
    """Take in one closed bar."""
    ring, position = i[I_RING], i[I_POSITION]
    contiguous = i[I_CONTIGUOUS]
    log_return = 0.0
    if contiguous > 0:
        log_return = _returns_nb(f, i, close, f[F_CLOSES + position])
    position = 0 if position + 1 == ring else position + 1
    i[I_POSITION] = position
    f[F_CLOSES + position] = f[F_CLOSES + position + ring] = close
    returns = i[I_RETURNS_AT] + position
    f[returns] = f[returns + ring] = log_return
    if contiguous >= STEP_BARS:
        step = math.log(close / close_nb(f, i, STEP_BARS))
        ewma_push_nb(f, F_STEP_EWMA, 2.0 / (RATIO_SPAN + 1.0), step * step)
        i[I_STEPS_SEEN] += 1
    i[I_CONTIGUOUS] = contiguous + 1
    f[F_VOLUMES + i[I_VOLUME_POSITION]] = volume
    i[I_VOLUME_POSITION] = (i[I_VOLUME_POSITION] + 1) % VOLUME_BARS
    _quote_nb(f, i, volume * close)


@njit(cache=True, error_model="numpy", nogil=True)
def features_batch_nb(
    f: Array1d, i: IntArray1d, open_: Array1d, high: Array1d, low: Array1d, close: Array1d, volume: Array1d
) -> None:
    """Take in many bars."""
    for t in range(close.shape[0]):
        features_bar_nb(f, i, open_[t], high[t], low[t], close[t], volume[t])


@njit(cache=True, error_model="numpy", nogil=True)
def _returns_nb(f: Array1d, i: IntArray1d, close: float, previous: float) -> float:
    """Feed one bar's log return and price change to the averages; answers the return."""
    log_return = math.log(close / previous)
    square = log_return * log_return
    ewma_push_nb(f, F_SIGMA_EWMA, 2.0 / (SIGMA_SPAN + 1.0), square)
    ewma_push_nb(f, F_RATIO_EWMA, 2.0 / (RATIO_SPAN + 1.0), square)
    ewma_push_nb(f, F_FAST_EWMA, 2.0 / (FAST_SPAN + 1.0), square)
    ewma_push_nb(f, F_SLOW_EWMA, 2.0 / (SLOW_SPAN + 1.0), square)
    i[I_RETURNS_SEEN] += 1
    seen = i[I_RETURNS_SEEN]
    if seen >= SIGMA_SPAN:
        f[F_SIGMA] = math.sqrt(f[F_SIGMA_EWMA] / f[F_SIGMA_EWMA + 1])
    change = close - previous
    gain, loss = max(change, 0.0), max(-change, 0.0)
    # Wilder's smoothing, seeded with the mean of the first 14 changes.
    weight = 1.0 / min(seen, RSI_BARS)
    f[F_GAIN] += weight * (gain - f[F_GAIN])
    f[F_LOSS] += weight * (loss - f[F_LOSS])
    return log_return


@njit(cache=True, error_model="numpy", nogil=True)
def _quote_nb(f: Array1d, i: IntArray1d, quote: float) -> None:
    """Mean of the last 1,440 quote volumes in constant time without a running difference.

    The window is the tail of the last full block plus the head of the present one: a full block is turned into its
    suffix sums, whose entries are overwritten one by one as the present block grows over it.
    """
    position = i[I_QUOTE_POSITION]
    f[F_QUOTES + position] = quote
    f[F_QUOTE_SUM] += quote
    position += 1
    total = f[F_QUOTE_SUM]
    if position < QUOTE_BARS:
        if i[I_QUOTES_SEEN] >= QUOTE_BARS:
            total += f[F_QUOTES + position]
    else:
        for j in range(QUOTE_BARS - 2, -1, -1):
            f[F_QUOTES + j] += f[F_QUOTES + j + 1]
        f[F_QUOTE_SUM] = 0.0
        position = 0
    i[I_QUOTE_POSITION] = position
    i[I_QUOTES_SEEN] += 1
    f[F_QUOTE_MEAN] = total / min(i[I_QUOTES_SEEN], QUOTE_BARS)


@njit(cache=True, error_model="numpy", nogil=True)
def last_close_at_nb(i: IntArray1d) -> int:
    """Where the newest close lies; the closes before it lie to its left."""
    return F_CLOSES + i[I_RING] + i[I_POSITION]


@njit("f8(f8[::1], i8[::1], i8)", cache=True, error_model="numpy", nogil=True)
def close_nb(f: Array1d, i: IntArray1d, bars_ago: int) -> float:
    """The close so many bars ago, at most max(240, H)."""
    return f[last_close_at_nb(i) - bars_ago]


@njit(cache=True, error_model="numpy", nogil=True)
def mark_gap_nb(f: Array1d, i: IntArray1d) -> None:
    """Bars are missing between the last bar and the next one."""
    i[I_CONTIGUOUS] = 0


@njit(cache=True, error_model="numpy", nogil=True)
def bars_since_gap_nb(i: IntArray1d) -> int:
    """Bars seen without interruption, up to now."""
    return i[I_CONTIGUOUS]


@njit(cache=True, error_model="numpy", nogil=True)
def sigma_nb(f: Array1d) -> float:
    """EWMA (span 48) sd of log returns, about zero; NaN before 48 returns."""
    return f[F_SIGMA]


@njit(cache=True, error_model="numpy", nogil=True)
def sigma_previous_nb(f: Array1d) -> float:
    """sigma at the previous grid bar: what was known before the last H bars; NaN where it was not."""
    return f[F_SIGMA_PREVIOUS]


@njit(cache=True, error_model="numpy", nogil=True)
def adv_quote_nb(f: Array1d) -> float:
    """Mean quote volume per bar over the last 1,440 bars seen, fewer at the start; 0 before the first."""
    return f[F_QUOTE_MEAN]


@njit(cache=True, error_model="numpy", nogil=True)
def realized_vol_nb(f: Array1d, i: IntArray1d) -> float:
    """Root of the sum of squared log returns over the last H bars; NaN unless H + 1 bars are contiguous."""
    horizon = i[I_HORIZON]
    if i[I_CONTIGUOUS] <= horizon:
        return math.nan
    end = i[I_RETURNS_AT] + i[I_RING] + i[I_POSITION] + 1
    total = 0.0
    for j in range(end - horizon, end):
        total += f[j] * f[j]
    return math.sqrt(total)


@njit(cache=True, error_model="numpy", nogil=True)
def horizon_return_nb(f: Array1d, i: IntArray1d) -> float:
    """Log return over the last H bars; NaN unless H + 1 bars are contiguous."""
    if i[I_CONTIGUOUS] <= i[I_HORIZON]:
        return math.nan
    return math.log(close_nb(f, i, 0) / close_nb(f, i, i[I_HORIZON]))


@njit(cache=True, error_model="numpy", nogil=True)
def log_volume_nb(f: Array1d, i: IntArray1d) -> float:
    """ln of the volume of the last 24 bars; NaN where there was none or bars are missing."""
    if i[I_CONTIGUOUS] < VOLUME_BARS:
        return math.nan
    total = 0.0
    for j in range(F_VOLUMES, F_VOLUMES + VOLUME_BARS):
        total += f[j]
    return math.log(total) if total > 0.0 else math.nan


@njit(cache=True, error_model="numpy", nogil=True)
def features_sample_nb(f: Array1d, i: IntArray1d) -> None:
    """Let this grid bar's volatility and volume enter the trailing medians, after its context was computed."""
    sigma = f[F_SIGMA]
    f[F_SIGMA_PREVIOUS] = sigma
    if sigma > 0.0:
        window_push_nb(f, i[I_SIGMA_WINDOW_AT], i, I_SIGMA_WINDOW, sigma)
    log_volume = log_volume_nb(f, i)
    if not math.isnan(log_volume):
        window_push_nb(f, i[I_VOLUME_WINDOW_AT], i, I_VOLUME_WINDOW, log_volume)
