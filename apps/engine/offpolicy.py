"""What would another way of choosing have earned, told from what was logged: IPS, SNIPS and doubly robust.

With logged propensities p and target probabilities pi, the weight of a decision is w = pi(chosen) / p(chosen):
    IPS = mean(w r),  SNIPS = sum(w r) / sum(w),  DR = mean(sum_k pi_k q_k + w (r - q(chosen))),
    ESS = (sum w)^2 / sum w^2.
Weights are clipped at `clip`, which biases IPS towards 0; the clipped share is reported. The forecasts q must come
from before each decision (the logged posterior mean does). Valid for a target whose probabilities at a decision do not
depend on what was chosen before: a policy that learns cannot be judged by its last snapshot, nor can switching costs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.errors import InvalidInput
from apps.engine.metrics import Statistic, finite_array
from apps.engine.rng import philox_uniform_nb
from apps.engine.values import Array1d, Array2d, IntArray1d

CLIP = 20.0
LEAST_ESS = 50.0
RESAMPLES = 1000
SUM_TOLERANCE = 1e-6


class Estimated(NamedTuple):
    """A value per decision and its standard error; both null, with the reason, where too little speaks for it."""

    value: Statistic
    standard_error: Statistic


class OffPolicy(NamedTuple):
    """The three estimates, and how much of the log they rest on."""

    ips: Estimated
    snips: Estimated
    doubly_robust: Estimated
    effective_size: float
    clipped_share: float


def off_policy(
    *,
    target: Array2d,
    chosen: IntArray1d,
    propensity: Array1d,
    rewards: Array1d,
    forecasts: Array2d,
    clip: float = CLIP,
    block: int = 1,
    seed: int = 0,
) -> OffPolicy:
    """Judge a target from a log. `target` and `forecasts` are (decisions, choices), the rest per decision.

    `block` above 1 is for rewards whose horizons overlap: standard errors then come from a seeded bootstrap of blocks.
    """
    weights, clipped = _weights(target, chosen, propensity, clip)
    n = weights.shape[0]
    earned, forecast = finite_array(rewards, "rewards"), np.asarray(forecasts, np.float64)
    if earned.shape[0] != n or forecast.shape != target.shape:
        raise InvalidInput("rewards and forecasts must have as many rows as target", field="forecasts")
    if not np.all(np.isfinite(forecast)):
        raise InvalidInput("must be finite", field="forecasts")
    if not 1 <= block <= n:
        raise InvalidInput(f"must be from 1 to the {n} decisions", field="block")
    squares = math.fsum(weights * weights)
    size = math.fsum(weights) ** 2 / squares if squares > 0.0 else 0.0
    if size < LEAST_ESS:
        reason = f"the log is worth {size:.1f} decisions of the target, below {LEAST_ESS:g}"
        none = Estimated(Statistic(None, reason), Statistic(None, reason))
        return OffPolicy(none, none, none, size, clipped)
    at_chosen = forecast[np.arange(n), chosen]
    corrected = (np.asarray(target) * forecast).sum(axis=1) + weights * (earned - at_chosen)
    ones = np.ones(n)
    return OffPolicy(
        ips=_estimated(weights * earned, ones, block, seed),
        snips=_estimated(weights * earned, weights, block, seed),
        doubly_robust=_estimated(corrected, ones, block, seed),
        effective_size=size,
        clipped_share=clipped,
    )


def on_policy(*, target: Array2d, all_rewards: Array2d, block: int = 1, seed: int = 0) -> Estimated:
    """The same value where every reward is known: mean(sum_k pi_k r_k). What the estimates are held against."""
    probabilities, rewards = _probabilities(target), np.asarray(all_rewards, np.float64)
    if rewards.shape != probabilities.shape or not np.all(np.isfinite(rewards)):
        raise InvalidInput("must be finite and shaped as target", field="all_rewards")
    if not 1 <= block <= rewards.shape[0]:
        raise InvalidInput(f"must be from 1 to the {rewards.shape[0]} decisions", field="block")
    return _estimated((probabilities * rewards).sum(axis=1), np.ones(rewards.shape[0]), block, seed)


def _probabilities(target: Array2d) -> Array2d:
    table = np.asarray(target, np.float64)
    if table.ndim != 2 or table.shape[0] == 0 or table.shape[1] == 0:
        raise InvalidInput("must be a table of decisions by choices", field="target")
    if not np.all(table >= 0.0) or not np.all(np.abs(table.sum(axis=1) - 1.0) <= SUM_TOLERANCE):
        raise InvalidInput("rows must be probabilities that sum to 1", field="target")
    return table


def _weights(target: Array2d, chosen: IntArray1d, propensity: Array1d, clip: float) -> tuple[Array1d, float]:
    """Clipped weights, and the share that was clipped."""
    table, picked, logged = _probabilities(target), np.asarray(chosen), finite_array(propensity, "propensity")
    n, k = table.shape
    if picked.shape != (n,) or picked.dtype.kind not in "iu" or not np.all((picked >= 0) & (picked < k)):
        raise InvalidInput(f"must name one of {k} choices per decision", field="chosen")
    if logged.shape[0] != n or not np.all((logged > 0.0) & (logged <= 1.0)):
        raise InvalidInput("must be above 0 and at most 1, one per decision", field="propensity")
    if not clip > 0.0:
        raise InvalidInput("must be above 0", field="clip")
    raw = table[np.arange(n), picked] / logged
    return np.minimum(raw, clip), float(np.mean(raw > clip))


def _estimated(terms: Array1d, divisors: Array1d, block: int, seed: int) -> Estimated:
    """sum(terms) / sum(divisors), with the standard error of that ratio (linear expansion, or blocks drawn anew)."""
    n, below = terms.shape[0], math.fsum(divisors)
    value = math.fsum(terms) / below
    if n < 2:
        return Estimated(Statistic(value), Statistic(None, "one decision"))
    if block > 1:
        draws = np.zeros(RESAMPLES)
        _bootstrap_nb(np.ascontiguousarray(terms), np.ascontiguousarray(divisors), block, seed, draws)
        return Estimated(Statistic(value), Statistic(float(np.std(draws, ddof=1))))
    residuals = (terms - value * divisors) / (below / n)
    return Estimated(Statistic(value), Statistic(math.sqrt(math.fsum(residuals * residuals) / (n - 1) / n)))


@njit(cache=True, error_model="numpy", nogil=True)
def _bootstrap_nb(terms: Array1d, divisors: Array1d, block: int, seed: int, draws: Array1d) -> None:
    """The ratio over as many decisions, in blocks that start anywhere and wrap around."""
    n = terms.shape[0]
    for b in range(draws.shape[0]):
        above, below, taken, at = 0.0, 0.0, 0, 0
        while taken < n:
            start = int(philox_uniform_nb(seed, b, at, 0) * n)
            for j in range(min(block, n - taken)):
                above += terms[(start + j) % n]
                below += divisors[(start + j) % n]
            taken += block
            at += 1
        draws[b] = above / below if below > 0.0 else 0.0
