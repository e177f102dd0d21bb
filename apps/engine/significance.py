"""Is a Sharpe ratio more than luck? Probabilistic and deflated Sharpe ratio, and the track record that they ask for.

Bailey & Lopez de Prado (2012, 2014). Sharpe ratios are per period (never annualized), `n` counts periods, skewness and
kurtosis are population moments, kurtosis is not in excess of 3. What is undefined is null with a reason.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.metrics import Statistic, finite_array, is_rounding, mean_and_deviation
from apps.engine.values import Array1d

EULER = 0.5772156649015329
NORMAL_SKEWNESS, NORMAL_KURTOSIS = 0.0, 3.0


class Moments(NamedTuple):
    """What the tests below need of a series of returns, or the reason why there is nothing to test.

    `n` is lowered by (1 - rho) / (1 + rho) where the first autocorrelation rho is above 0: such returns repeat
    themselves and would pass for more evidence than they are.
    """

    n: float
    sharpe: float
    skewness: float
    kurtosis: float
    autocorrelation: float
    reason: str = ""


def sharpe_moments(returns: Array1d) -> Moments:
    """Moments of non-overlapping returns at the frequency of decisions."""
    r = finite_array(returns, "returns")
    count = r.shape[0]
    if count < 3:
        return Moments(float(count), 0.0, 0.0, 0.0, 0.0, "fewer than 3 returns")
    mean, deviation = mean_and_deviation(r)
    if is_rounding(deviation, float(np.max(np.abs(r)))):
        return Moments(float(count), 0.0, 0.0, 0.0, 0.0, "returns do not vary")
    # In units of the population deviation, so that the size of returns cancels before any power is taken.
    z = (r - mean) / (deviation * math.sqrt((count - 1) / count))
    square = z * z
    skewness = math.fsum((square * z).tolist()) / count
    kurtosis = math.fsum((square * square).tolist()) / count
    rho = math.fsum((z[1:] * z[:-1]).tolist()) / count
    effective = count * (1.0 - rho) / (1.0 + rho) if rho > 0.0 else float(count)
    return Moments(effective, mean / deviation, skewness, kurtosis, rho)


def probabilistic_sharpe(
    sharpe: float,
    *,
    n: float,
    skewness: float = NORMAL_SKEWNESS,
    kurtosis: float = NORMAL_KURTOSIS,
    benchmark: float = 0.0,
) -> Statistic:
    """P(true Sharpe ratio > benchmark)."""
    _require_finite(sharpe=sharpe, n=n, skewness=skewness, kurtosis=kurtosis, benchmark=benchmark)
    if n <= 1.0:
        return Statistic(None, "needs more than one period")
    spread = _spread(sharpe, skewness, kurtosis)
    if spread <= 0.0:
        return Statistic(None, "skewness and kurtosis leave this Sharpe ratio without a variance")
    return Statistic(normal_cdf((sharpe - benchmark) * math.sqrt(n - 1.0) / math.sqrt(spread)))


def expected_best_sharpe(*, variance: float, trials: int) -> Statistic:
    """The Sharpe ratio that the best of so many worthless trials is expected to show."""
    _require_finite(variance=variance)
    if variance < 0.0:
        raise InvalidInput(f"variance of Sharpe ratios must not be below 0, not {variance}", field="variance")
    if trials < 1:
        raise InvalidInput(f"trials must be at least 1, not {trials}", field="trials")
    if trials == 1:
        return Statistic(0.0)
    first = normal_upper_quantile(1.0 / trials)
    second = normal_upper_quantile(1.0 / (trials * math.e))
    return Statistic(math.sqrt(variance) * ((1.0 - EULER) * first + EULER * second))


def deflated_sharpe(
    sharpe: float,
    *,
    n: float,
    variance: float,
    trials: int,
    skewness: float = NORMAL_SKEWNESS,
    kurtosis: float = NORMAL_KURTOSIS,
) -> Statistic:
    """P(true Sharpe ratio > that of the best of so many worthless trials); `variance` is that of the trials'."""
    best = expected_best_sharpe(variance=variance, trials=trials)
    if best.value is None:
        return best
    return probabilistic_sharpe(sharpe, n=n, skewness=skewness, kurtosis=kurtosis, benchmark=best.value)


def minimum_track_record(
    sharpe: float,
    *,
    benchmark: float = 0.0,
    skewness: float = NORMAL_SKEWNESS,
    kurtosis: float = NORMAL_KURTOSIS,
    confidence: float = 0.95,
) -> Statistic:
    """How many periods it takes until the probabilistic Sharpe ratio reaches `confidence`."""
    _require_finite(sharpe=sharpe, skewness=skewness, kurtosis=kurtosis, benchmark=benchmark)
    if not 0.5 < confidence < 1.0:
        raise InvalidInput(f"confidence must lie between 0.5 and 1, not {confidence}", field="confidence")
    if sharpe <= benchmark:
        return Statistic(None, "the Sharpe ratio is not above its benchmark: no record is long enough")
    spread = _spread(sharpe, skewness, kurtosis)
    if spread <= 0.0:
        return Statistic(None, "skewness and kurtosis leave this Sharpe ratio without a variance")
    return Statistic(1.0 + spread * (normal_upper_quantile(1.0 - confidence) / (sharpe - benchmark)) ** 2)


def variance_of_sharpes(sharpes: Array1d) -> Statistic:
    """Variance (n - 1) of the per-period Sharpe ratios of all trials."""
    values = finite_array(sharpes, "sharpes")
    if values.shape[0] < 2:
        return Statistic(None, "fewer than 2 trials")
    return Statistic(mean_and_deviation(values)[1] ** 2)


def normal_cdf(x: float) -> float:
    """P(Z <= x)."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def normal_upper_quantile(tail: float) -> float:
    """The z with P(Z > z) = tail; exact to rounding far into either tail."""
    if not 0.0 < tail < 1.0:
        raise InvalidInput(f"a tail must lie between 0 and 1, not {tail}", field="tail")
    if tail > 0.5:
        return -normal_upper_quantile(1.0 - tail)
    # Abramowitz & Stegun 26.2.23 (error 4.5e-4), then Halley's steps on the complementary error function.
    t = math.sqrt(-2.0 * math.log(tail))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    z = t - top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    for _ in range(3):
        density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        step = (0.5 * math.erfc(z / math.sqrt(2.0)) - tail) / density
        z += step / (1.0 - 0.5 * z * step)
    return z


def _spread(sharpe: float, skewness: float, kurtosis: float) -> float:
    return 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe


def _require_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise InvalidInput(f"{name} must be finite, not {value}", field=name)
