"""In which regime is the market, since when, and has it just changed? Two detectors on what happened over each horizon.

One observation per grid bar: o1 = ln(realized volatility over the H bars), o2 = the return over them / (sigma known
before them * sqrt(H)). Each is standardized by the trailing median and MAD of the values before it, clipped to +-3 and
fed to its own detector: raw heavy-tailed returns raise false alarms. An alarm is an upward crossing of
P(L <= 10) through 0.5, re-armed below 0.2, not before 30 observations, by either detector; it is told once.

A grid bar without an observation (bars missing, no volatility) changes nothing but the label, to unknown. While the
detectors are switched off, their state rests, the trailing windows go on and the label is unknown.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.bocpd import bocpd_floats, bocpd_state, bocpd_update_nb, segment_posterior
from apps.engine.borrowing import borrowed
from apps.engine.errors import InvalidInput
from apps.engine.runs import B_LOG_EVIDENCE, B_MEAN_LENGTH, B_P_RECENT, BOCPD_INTS, J_MODE, J_SEEN
from apps.engine.values import Array1d, IntArray1d
from apps.engine.windows import (
    MIN_SAMPLES,
    WINDOW_INTS,
    ring_mean_nb,
    ring_push_nb,
    window_floats,
    window_push_nb,
    window_quantile_nb,
    window_standardize_nb,
)

LABELS = ("unknown", "bull_trend", "bear_trend", "range", "turbulent")
UNKNOWN, BULL_TREND, BEAR_TREND, RANGE, TURBULENT = range(5)

SCALE_BARS, RANK_BARS = 2160, 4320
CLIP = 3.0
ALARM, REARM, BURN_IN = 0.5, 0.2, 30
SETTLE = 3
MIN_SEGMENT = 10
TURBULENT_ENTER, TURBULENT_LEAVE = 0.85, 0.68
TREND_ENTER, TREND_LEAVE = 1.5, 1.2
TOP_RUNS = 50
DETECTOR_RUNS = 800  # beyond them neighbors are merged

# Floats: volatility quantile and trend of the label, last standardized observations, detectors, windows.
F_VOLATILITY, F_TREND, F_Z1, F_Z2 = 0, 1, 2, 3
F_DETECTOR_1 = 4
F_DETECTOR_2 = F_DETECTOR_1 + bocpd_floats(DETECTOR_RUNS)
F_WINDOWS = F_DETECTOR_2 + bocpd_floats(DETECTOR_RUNS)

I_HORIZON, I_LABEL, I_GRIDS, I_LABEL_SINCE, I_SINCE_ALARM, I_ENABLED, I_ALARMS = 0, 1, 2, 3, 4, 5, 6
I_ARMED_1, I_ARMED_2 = 7, 8
I_SCALE_1_AT, I_SCALE_2_AT, I_RANK_AT, I_TREND_AT = 9, 10, 11, 12
I_DETECTOR_1 = 13
I_DETECTOR_2 = I_DETECTOR_1 + BOCPD_INTS
I_SCALE_1 = I_DETECTOR_2 + BOCPD_INTS
I_SCALE_2 = I_SCALE_1 + WINDOW_INTS
I_RANK = I_SCALE_2 + WINDOW_INTS
I_TREND = I_RANK + WINDOW_INTS
REGIME_INTS = I_TREND + WINDOW_INTS


def regime_state(horizon_bars: int, *, prune_mass: float = 1e-12) -> tuple[Array1d, IntArray1d]:
    """State before the first grid bar, for decisions every `horizon_bars` bars.

    Trailing windows hold 2160 / H and 4320 / H values, and never fewer than the 30 that a median needs.
    """
    if horizon_bars < 1:
        raise InvalidInput(f"HORIZON_BARS must be at least 1, not {horizon_bars}", field="HORIZON_BARS")
    scale, rank = max(SCALE_BARS // horizon_bars, MIN_SAMPLES), max(RANK_BARS // horizon_bars, MIN_SAMPLES)
    i = np.zeros(REGIME_INTS, dtype=np.int64)
    i[I_HORIZON], i[I_ENABLED], i[I_SINCE_ALARM] = horizon_bars, 1, SETTLE + 1
    i[I_SCALE_1_AT] = F_WINDOWS
    i[I_SCALE_2_AT] = F_WINDOWS + window_floats(scale)
    i[I_RANK_AT] = i[I_SCALE_2_AT] + window_floats(scale)
    i[I_TREND_AT] = i[I_RANK_AT] + window_floats(rank)
    i[I_SCALE_1] = i[I_SCALE_2] = scale
    i[I_RANK] = i[I_TREND] = rank
    f = np.zeros(int(i[I_TREND_AT]) + rank)
    f[:F_DETECTOR_1] = math.nan
    detector_f, detector_i = bocpd_state(DETECTOR_RUNS, prune_mass=prune_mass)
    for f_at, i_at in ((F_DETECTOR_1, I_DETECTOR_1), (F_DETECTOR_2, I_DETECTOR_2)):
        f[f_at : f_at + detector_f.shape[0]] = detector_f
        i[i_at : i_at + BOCPD_INTS] = detector_i
    return f, i


@njit(cache=True, error_model="numpy", nogil=True)
def regime_grid_nb(
    f: Array1d, i: IntArray1d, realized_vol: float, horizon_return: float, sigma_previous: float, is_enabled: int
) -> int:
    """Take in one grid bar; answers 1 if an alarm fires at it, else 0."""
    i[I_GRIDS] += 1
    i[I_ENABLED] = is_enabled
    if not (realized_vol > 0.0 and sigma_previous > 0.0 and math.isfinite(horizon_return)):
        _label_nb(i, UNKNOWN)
        return 0
    o1 = math.log(realized_vol)
    o2 = horizon_return / (sigma_previous * math.sqrt(i[I_HORIZON]))
    z1 = window_standardize_nb(f, i[I_SCALE_1_AT], i, I_SCALE_1, o1)
    z2 = window_standardize_nb(f, i[I_SCALE_2_AT], i, I_SCALE_2, o2)
    window_push_nb(f, i[I_SCALE_1_AT], i, I_SCALE_1, o1)
    window_push_nb(f, i[I_SCALE_2_AT], i, I_SCALE_2, o2)
    window_push_nb(f, i[I_RANK_AT], i, I_RANK, o1)
    ring_push_nb(f, i[I_TREND_AT], i, I_TREND, o2)
    if is_enabled == 0 or math.isnan(z1) or math.isnan(z2):
        _label_nb(i, UNKNOWN)
        return 0
    f[F_Z1], f[F_Z2] = min(max(z1, -CLIP), CLIP), min(max(z2, -CLIP), CLIP)
    first = _detect_nb(f, F_DETECTOR_1, i, I_DETECTOR_1, I_ARMED_1, f[F_Z1])
    second = _detect_nb(f, F_DETECTOR_2, i, I_DETECTOR_2, I_ARMED_2, f[F_Z2])
    alarm = 1 if first + second > 0 else 0
    i[I_ALARMS] += alarm
    i[I_SINCE_ALARM] = 0 if alarm == 1 else i[I_SINCE_ALARM] + 1
    _classify_nb(f, i)
    return alarm


@njit("i8(f8[::1], i8, i8[::1], i8, i8, f8)", cache=True, error_model="numpy", nogil=True)
def _detect_nb(f: Array1d, f_at: int, i: IntArray1d, i_at: int, armed: int, z: float) -> int:
    """Update one detector; 1 if its alarm fires."""
    detector = f[f_at : f_at + F_DETECTOR_2 - F_DETECTOR_1]
    counts = i[i_at : i_at + BOCPD_INTS]
    bocpd_update_nb(detector, counts, z)
    recent = detector[B_P_RECENT]
    if recent < REARM:
        i[armed] = 1
    elif recent >= ALARM and i[armed] == 1:
        i[armed] = 0
        return 1 if counts[J_SEEN] > BURN_IN else 0
    return 0


@njit(cache=True, error_model="numpy", nogil=True)
def _classify_nb(f: Array1d, i: IntArray1d) -> None:
    """Label the current segment: its volatility among the trailing ones, its drift in standard errors."""
    length = int(f[F_DETECTOR_1 + B_MEAN_LENGTH] + 0.5)
    n = min(max(length, MIN_SEGMENT), i[I_RANK + 1])
    volatility = window_quantile_nb(f, i[I_RANK_AT], i, I_RANK, ring_mean_nb(f, i[I_RANK_AT], i, I_RANK, n))
    trend = ring_mean_nb(f, i[I_TREND_AT], i, I_TREND, n) * math.sqrt(n)
    f[F_VOLATILITY], f[F_TREND] = volatility, trend
    if i[I_DETECTOR_1 + J_SEEN] <= BURN_IN or i[I_SINCE_ALARM] <= SETTLE:
        _label_nb(i, UNKNOWN)
        return
    label = i[I_LABEL]
    # A label once given is left only when its criterion fails by a fifth.
    if volatility >= (TURBULENT_LEAVE if label == TURBULENT else TURBULENT_ENTER):
        _label_nb(i, TURBULENT)
    elif trend >= (TREND_LEAVE if label == BULL_TREND else TREND_ENTER):
        _label_nb(i, BULL_TREND)
    elif trend <= (-TREND_LEAVE if label == BEAR_TREND else -TREND_ENTER):
        _label_nb(i, BEAR_TREND)
    else:
        _label_nb(i, RANGE)


@njit("void(i8[::1], i8)", cache=True, error_model="numpy", nogil=True)
def _label_nb(i: IntArray1d, label: int) -> None:
    if i[I_LABEL] != label:
        i[I_LABEL] = label
        i[I_LABEL_SINCE] = i[I_GRIDS] - 1


@njit(cache=True, error_model="numpy", nogil=True)
def regime_batch_nb(
    f: Array1d,
    i: IntArray1d,
    realized_vol: Array1d,
    horizon_return: Array1d,
    sigma_previous: Array1d,
    is_enabled: IntArray1d,
    alarms: IntArray1d,
    labels: IntArray1d,
) -> None:
    """Alarm and label of each grid bar."""
    f, i = borrowed(f), borrowed(i)
    for t in range(realized_vol.shape[0]):
        alarms[t] = regime_grid_nb(f, i, realized_vol[t], horizon_return[t], sigma_previous[t], is_enabled[t])
        labels[t] = i[I_LABEL]


@njit(cache=True, error_model="numpy", nogil=True)
def regime_label_nb(f: Array1d, i: IntArray1d) -> int:
    """Position of the label in LABELS."""
    return i[I_LABEL]


@njit(cache=True, error_model="numpy", nogil=True)
def regime_recent_nb(f: Array1d, i: IntArray1d) -> float:
    """P(L <= 10), the larger of the two detectors'; NaN before their first observation."""
    if i[I_DETECTOR_1 + J_SEEN] == 0:
        return math.nan
    return max(f[F_DETECTOR_1 + B_P_RECENT], f[F_DETECTOR_2 + B_P_RECENT])


@njit(cache=True, error_model="numpy", nogil=True)
def regime_age_nb(f: Array1d, i: IntArray1d) -> float:
    """E[L] of the volatility detector in observations, for x10.

    NaN before its first observation; but 0 where it is switched off, for a desk without detectors must still decide.
    """
    if i[I_DETECTOR_1 + J_SEEN] > 0:
        return f[F_DETECTOR_1 + B_MEAN_LENGTH]
    return math.nan if i[I_ENABLED] == 1 else 0.0


class RegimeSummary(NamedTuple):
    """The regime for people. Run lengths are the volatility detector's, in observations (one per grid bar).

    `change_probability` is the larger P(L <= 10) of the two detectors, `log_evidence` their sum; `volatility_quantile`
    and `trend` (in standard errors) are what the label was read from. None where nothing has been observed yet.
    `grids_since` counts the grid bars before this one that already had the label.
    """

    label: str
    is_enabled: bool
    mode_length: int | None
    mean_length: float | None
    change_probability: float | None
    run_lengths: tuple[tuple[int, float], ...]
    volatility_quantile: float | None
    trend: float | None
    grids_since: int
    alarms: int
    log_evidence: float


def regime_summary(f: Array1d, i: IntArray1d) -> RegimeSummary:
    """Read the state out; `run_lengths` holds the 50 likeliest (L, P(L)), likeliest first."""
    seen = int(i[I_DETECTOR_1 + J_SEEN])
    lengths, masses = segment_posterior(f[F_DETECTOR_1:F_DETECTOR_2], i[I_DETECTOR_1:I_DETECTOR_2])
    top = np.argsort(-masses, kind="stable")[:TOP_RUNS]
    return RegimeSummary(
        label=LABELS[int(i[I_LABEL])],
        is_enabled=bool(i[I_ENABLED]),
        mode_length=int(i[I_DETECTOR_1 + J_MODE]) if seen else None,
        mean_length=float(f[F_DETECTOR_1 + B_MEAN_LENGTH]) if seen else None,
        change_probability=float(regime_recent_nb(f, i)) if seen else None,
        run_lengths=tuple((int(lengths[k]), float(masses[k])) for k in top),
        volatility_quantile=float(f[F_VOLATILITY]) if seen else None,
        trend=float(f[F_TREND]) if seen else None,
        grids_since=max(int(i[I_GRIDS] - 1 - i[I_LABEL_SINCE]), 0),
        alarms=int(i[I_ALARMS]),
        log_evidence=float(f[F_DETECTOR_1 + B_LOG_EVIDENCE] + f[F_DETECTOR_2 + B_LOG_EVIDENCE]),
    )
