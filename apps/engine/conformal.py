"""Do the reward forecasts err as often as they say? Split conformal intervals, adapted to drift, and their coverage.

Scores are |outcome - forecast|. With n scores the half width is their k-th smallest, k = ceil((n + 1)(1 - alpha)): the
interval covers with probability 1 - alpha or more if scores are exchangeable. Where they drift, alpha moves (Gibbs &
Candes 2021): alpha <- alpha + rate (target - missed), which holds the long run's share of misses for any sequence.

These widths hold the noise of a single outcome. They serve alerts, never the size of an order. State is one float and
one integer array; a copy is a snapshot.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.errors import InvalidInput
from apps.engine.metrics import Statistic, finite_array
from apps.engine.values import Array1d, IntArray1d
from apps.engine.windows import WINDOW_INTS, window_floats, window_push_nb

MISSED, COVERED, NOT_JUDGED, NOT_FINITE = 1, 0, -1, -2
TOLERANCE = 0.03

C_TARGET, C_RATE, C_ALPHA = 0, 1, 2
C_SCORES = 3
J_MISSES, J_JUDGED, J_FLAG_COUNT, J_FLAG_POSITION, J_FLAG_CAPACITY = 0, 1, 2, 3, 4
J_WINDOW = 5
J_FLAGS = J_WINDOW + WINDOW_INTS


class Coverage(NamedTuple):
    """How the intervals have done. `coverage` is over the last judged forecasts, null until the window is full."""

    half_width: Statistic
    coverage: Statistic
    alpha: float
    judged: int
    is_alert: bool


def conformal_state(
    *, alpha: float = 0.1, rate: float = 0.02, scores: int = 500, judged: int = 500
) -> tuple[Array1d, IntArray1d]:
    """State before the first forecast. `rate` 0 is plain split conformal; coverage looks at the last `judged`."""
    if not 0.0 < alpha < 1.0:
        raise InvalidInput(f"alpha must lie between 0 and 1, not {alpha}", field="alpha")
    if not 0.0 <= rate < 1.0:
        raise InvalidInput(f"rate must be from 0 to below 1, not {rate}", field="rate")
    if judged < 1:
        raise InvalidInput(f"judged must be at least 1, not {judged}", field="judged")
    if scores < least_scores(alpha):
        raise InvalidInput(f"scores must be at least {least_scores(alpha)}, not {scores}", field="scores")
    f, i = np.zeros(C_SCORES + window_floats(scores)), np.zeros(J_FLAGS + judged, np.int64)
    f[C_TARGET], f[C_RATE], f[C_ALPHA] = alpha, rate, alpha
    i[J_WINDOW], i[J_FLAG_CAPACITY] = scores, judged
    return f, i


def least_scores(alpha: float) -> int:
    """How many scores it takes before an interval is finite."""
    n = 1
    while rank_of_nb(n, alpha) > n:
        n += 1
    return n


def split_quantile(scores: Array1d, *, alpha: float) -> Statistic:
    """The half width that these scores give."""
    if not 0.0 < alpha < 1.0:
        raise InvalidInput(f"alpha must lie between 0 and 1, not {alpha}", field="alpha")
    ordered = np.sort(finite_array(scores, "scores"))
    k = rank_of_nb(ordered.shape[0], alpha)
    if k > ordered.shape[0]:
        return Statistic(None, f"{ordered.shape[0]} scores bound nothing; it takes {least_scores(alpha)}")
    return Statistic(float(ordered[k - 1]))


@njit(cache=True, error_model="numpy", nogil=True)
def rank_of_nb(n: int, alpha: float) -> int:
    """ceil((n + 1)(1 - alpha)); what is whole but for rounding counts as whole."""
    return int(math.ceil((n + 1) * (1.0 - alpha) - 1e-9))


@njit(cache=True, error_model="numpy", nogil=True)
def half_width_nb(f: Array1d, i: IntArray1d) -> float:
    """Half width of the next interval: infinite if nothing bounds it, below 0 if even a perfect forecast misses."""
    n = i[J_WINDOW + 1]
    k = rank_of_nb(n, f[C_ALPHA])
    if k > n:
        return math.inf
    return f[C_SCORES + i[J_WINDOW] + k - 1] if k > 0 else -math.inf


@njit(cache=True, error_model="numpy", nogil=True)
def conformal_update_nb(f: Array1d, i: IntArray1d, forecast: float, outcome: float) -> int:
    """Judge one forecast, then learn from it. NOT_JUDGED until scores bound anything at the target.

    Answers NOT_FINITE, and changes nothing, where forecast or outcome is not a number.
    """
    score = abs(outcome - forecast)
    if not math.isfinite(score):
        return NOT_FINITE
    n, verdict = i[J_WINDOW + 1], NOT_JUDGED
    if rank_of_nb(n, f[C_TARGET]) <= n:
        verdict = MISSED if score > half_width_nb(f, i) else COVERED
        f[C_ALPHA] += f[C_RATE] * (f[C_TARGET] - verdict)
        _flag_nb(i, verdict)
    window_push_nb(f, C_SCORES, i, J_WINDOW, score)
    return verdict


@njit(cache=True, error_model="numpy", nogil=True)
def _flag_nb(i: IntArray1d, verdict: int) -> None:
    """Count the misses among the last judged forecasts."""
    at = J_FLAGS + i[J_FLAG_POSITION]
    i[J_MISSES] += verdict - i[at]  # an unused place holds 0
    i[at] = verdict
    i[J_JUDGED] += 1
    i[J_FLAG_COUNT] = min(i[J_FLAG_COUNT] + 1, i[J_FLAG_CAPACITY])
    i[J_FLAG_POSITION] = (i[J_FLAG_POSITION] + 1) % i[J_FLAG_CAPACITY]


@njit(cache=True, error_model="numpy", nogil=True)
def conformal_batch_nb(
    f: Array1d, i: IntArray1d, forecasts: Array1d, outcomes: Array1d, half_widths: Array1d, verdicts: IntArray1d
) -> None:
    """Half width before, and verdict after, each outcome."""
    for t in range(forecasts.shape[0]):
        half_widths[t] = half_width_nb(f, i)
        verdicts[t] = conformal_update_nb(f, i, forecasts[t], outcomes[t])


def coverage(f: Array1d, i: IntArray1d, *, tolerance: float = TOLERANCE) -> Coverage:
    """Read the state out. It alerts where a full window's coverage is further than `tolerance` from the target."""
    width, count = float(half_width_nb(f, i)), int(i[J_FLAG_COUNT])
    share = Statistic(None, f"{count} of {int(i[J_FLAG_CAPACITY])} forecasts judged")
    if count == int(i[J_FLAG_CAPACITY]):
        share = Statistic(1.0 - int(i[J_MISSES]) / count)
    half_width = Statistic(width) if math.isfinite(width) else Statistic(None, _without_width(width, i))
    off = 0.0 if share.value is None else abs(share.value - (1.0 - float(f[C_TARGET])))
    # Shares are multiples of 1 / count: one that lies on the border must not alert by rounding.
    return Coverage(half_width, share, float(f[C_ALPHA]), int(i[J_JUDGED]), off > tolerance + 1e-12)


def _without_width(width: float, i: IntArray1d) -> str:
    if width < 0.0:
        return "past intervals were so wide that the next is empty"
    return f"{int(i[J_WINDOW + 1])} scores bound nothing at the present level"
