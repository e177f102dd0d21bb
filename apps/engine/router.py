"""What each arm's reward is believed to be, given the context, and with which probabilities the router picks.

Per arm an independent Normal-Inverse-Gamma linear model (the quantities of "Bayesian linear regression"):
    P = lam I + Sxx,  m = P^-1 Sxy,  a = a0 + n / 2,  b = b0 + (Syy - Sxy' m) / 2,  h = x' P^-1 x,
    mean reward at x ~ t_{2a}(x'm, sqrt(b / a h)).
State is the statistics, arm last: sxx (66, K) is the lower triangle by rows, entry i (i + 1) / 2 + j; sxy (11, K);
syy (K); n (K). Updates at one grid bar, in this order: discount, alarm discount, learn. Kernels answer a status
(propensity.py and below); unless it is OK, statistics stay untouched, posteriors become NaN and probabilities 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.posterior import (
    A0_MIN,
    N_CONTEXT,
    N_TRIANGLE,
    STATUS_DEFICIT,
    STATUS_NOT_POSITIVE,
    coefficients_nb,
    fits_nb,
    posterior_nb,
    posterior_work,
)
from apps.engine.propensity import (
    STATUS_BAD_PARAMETER,
    STATUS_NOT_FINITE,
    STATUS_OK,
    mix_probabilities_nb,
    one_hot_nb,
    thompson_probabilities_nb,
)
from apps.engine.quadrature import DF
from apps.engine.values import Array1d, Array2d, IntArray1d

__all__ = [
    "N_CONTEXT",
    "N_TRIANGLE",
    "STATUS_DEFICIT",
    "STATUS_NOT_POSITIVE",
    "RouterParams",
    "RouterStats",
    "coefficients_nb",
    "decision_probabilities_nb",
    "discount_nb",
    "learn_nb",
    "posterior_nb",
    "posterior_work",
    "router_stats",
]

MODE_THOMPSON = 0
MODE_UCB = 1
MODE_GREEDY = 2


class RouterStats(NamedTuple):
    """Sufficient statistics of all arms, float64 and C-contiguous, arm last."""

    sxx: Array2d
    sxy: Array2d
    syy: Array1d
    n: Array1d


class RouterParams(NamedTuple):
    """The router's settings; the defaults are the specification's."""

    lam: float = 30.0
    a0: float = 4.0
    b0: float = 4.0
    gamma: float = 0.999
    rho: float = 0.8
    eps: float = 0.05
    v: float = 0.3
    alpha: float = 1.0
    mode: int = MODE_THOMPSON


def router_stats(n_arms: int) -> RouterStats:
    """Statistics of arms that have seen nothing."""
    return RouterStats(
        np.zeros((N_TRIANGLE, n_arms)), np.zeros((N_CONTEXT, n_arms)), np.zeros(n_arms), np.zeros(n_arms)
    )


@njit(cache=True, error_model="numpy", nogil=True)
def discount_nb(sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, factor: float) -> int:
    """Multiply all statistics by a factor in (0, 1]: forgetting never reaches the prior itself."""
    if not (factor > 0.0 and factor <= 1.0):
        return STATUS_BAD_PARAMETER
    designs, products = sxx.ravel(), sxy.ravel()
    for j in range(designs.shape[0]):
        designs[j] *= factor
    for j in range(products.shape[0]):
        products[j] *= factor
    for k in range(syy.shape[0]):
        syy[k] *= factor
        n[k] *= factor
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def learn_nb(sxx: Array2d, sxy: Array2d, syy: Array1d, n: Array1d, x: Array1d, y: Array1d, mask: IntArray1d) -> int:
    """Add one observation to every arm whose mask is not 0; the y of the others is not read."""
    n_arms = syy.shape[0]
    if not fits_nb(sxx, sxy, syy, n, x) or y.shape[0] != n_arms or mask.shape[0] != n_arms:
        return STATUS_BAD_PARAMETER
    for k in range(n_arms):
        if mask[k] != 0 and not math.isfinite(y[k]):
            return STATUS_NOT_FINITE
    for i in range(N_CONTEXT):
        if not math.isfinite(x[i]):
            return STATUS_NOT_FINITE
    t = 0
    for i in range(N_CONTEXT):
        for j in range(i + 1):
            product = x[i] * x[j]
            for k in range(n_arms):
                sxx[t, k] += product if mask[k] != 0 else 0.0
            t += 1
        for k in range(n_arms):
            sxy[i, k] += x[i] * y[k] if mask[k] != 0 else 0.0
    for k in range(n_arms):
        if mask[k] != 0:
            syy[k] += y[k] * y[k]
            n[k] += 1.0
    return STATUS_OK


@njit(cache=True, error_model="numpy", nogil=True)
def decision_probabilities_nb(
    loc: Array1d, h: Array1d, a: Array1d, b: Array1d, switch_cost: Array1d, cash_cost: float,
    admissible: IntArray1d, cash_admissible: int, params: RouterParams,
    work: Array2d, scores: Array1d, scales: Array1d, p_out: Array1d,
) -> int:  # fmt: skip
    """From posterior to propensities: score = loc - switching cost, scale = v sqrt(b / a h), then the mode, then eps.

    scores and scales have one entry per arm (NaN where not admissible), p_out one more for cash, whose score is
    -cash_cost. UCB adds alpha times the tempered scale. `work` comes from propensity_work(n_arms).
    """
    for k in range(p_out.shape[0]):
        p_out[k] = 0.0
    if not (params.v >= 0.0 and params.v < math.inf and params.alpha >= 0.0 and params.alpha < math.inf):
        return STATUS_BAD_PARAMETER
    for k in range(loc.shape[0]):
        scores[k], scales[k] = math.nan, math.nan
        if admissible[k] == 0:
            continue
        variance = b[k] / a[k] * h[k]
        if not (math.isfinite(loc[k] - switch_cost[k]) and math.isfinite(a[k]) and math.isfinite(variance)):
            return STATUS_NOT_FINITE
        if variance < 0.0 or a[k] < A0_MIN:
            return STATUS_BAD_PARAMETER
        scores[k] = loc[k] - switch_cost[k]
        scales[k] = params.v * math.sqrt(variance)
    status = _choose_mode_nb(a, -cash_cost, admissible, cash_admissible, params, work, scores, scales, p_out)
    return (
        mix_probabilities_nb(p_out, admissible, cash_admissible, params.eps, p_out) if status == STATUS_OK else status
    )


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _choose_mode_nb(
    a: Array1d, cash_score: float, admissible: IntArray1d, cash_admissible: int, params: RouterParams,
    work: Array2d, scores: Array1d, scales: Array1d, p_out: Array1d,
) -> int:  # fmt: skip
    """Probabilities before eps. UCB's scores are replaced by their upper bounds."""
    if params.mode == MODE_THOMPSON:
        if work.shape[0] <= DF or work.shape[1] < a.shape[0]:
            return STATUS_BAD_PARAMETER
        for k in range(a.shape[0]):
            work[DF, k] = 2.0 * a[k]
        return thompson_probabilities_nb(
            scores, scales, work[DF, : a.shape[0]], admissible, cash_admissible, cash_score, work, p_out
        )
    if params.mode == MODE_UCB:
        for k in range(a.shape[0]):
            if admissible[k] != 0:
                scores[k] += params.alpha * scales[k]
        return one_hot_nb(scores, admissible, cash_admissible, cash_score, p_out)
    if params.mode == MODE_GREEDY:
        return one_hot_nb(scores, admissible, cash_admissible, cash_score, p_out)
    return STATUS_BAD_PARAMETER
