"""Probabilistic and deflated Sharpe ratios against the numbers of the papers, scipy, and an exact expectation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, special, stats

from apps.engine.errors import InvalidInput
from apps.engine.significance import (
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
    normal_cdf,
    normal_upper_quantile,
    probabilistic_sharpe,
    sharpe_moments,
    variance_of_sharpes,
)

DAYS = 250.0
PAPER = {"n": 1250, "skewness": -3.0, "kurtosis": 10.0, "variance": 0.5 / DAYS}


def test_the_deflated_ratio_of_the_paper() -> None:
    """Bailey & Lopez de Prado (2014): 2.5 a year over five years of days, the best of 100 trials."""
    sharpe = 2.5 / math.sqrt(DAYS)
    assert expected_best_sharpe(variance=0.5 / DAYS, trials=100).value == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(sharpe, trials=100, **PAPER).value == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(sharpe, trials=46, **PAPER).value == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe(sharpe, n=1250, variance=0.5 / DAYS, trials=88).value == pytest.approx(0.9505, abs=5e-5)


def test_excess_kurtosis_or_a_yearly_ratio_would_not_give_the_papers_numbers() -> None:
    sharpe = 2.5 / math.sqrt(DAYS)
    assert abs(deflated_sharpe(sharpe, trials=100, **{**PAPER, "kurtosis": 7.0}).value - 0.9004) > 1e-4
    assert abs(deflated_sharpe(2.5, trials=100, **{**PAPER, "variance": 0.5}).value - 0.9004) > 0.05


@pytest.mark.parametrize(("skewness", "kurtosis", "expected"), [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)])
def test_the_probabilistic_ratio_of_the_paper(skewness: float, kurtosis: float, expected: float) -> None:
    found = probabilistic_sharpe(0.458, n=24, skewness=skewness, kurtosis=kurtosis)
    assert found.value == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("periods", "skewness", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_records_of_the_paper(periods: float, skewness: float, kurtosis: float, years: float) -> None:
    """A ratio of 2 a year against 1, at 95 %."""
    root = math.sqrt(periods)
    found = minimum_track_record(2.0 / root, benchmark=1.0 / root, skewness=skewness, kurtosis=kurtosis)
    assert found.value / periods == pytest.approx(years, abs=6e-3)


def test_a_minimum_record_is_just_long_enough() -> None:
    shape = {"benchmark": 0.02, "skewness": -0.4, "kurtosis": 5.0}
    n = minimum_track_record(0.11, **shape).value
    assert probabilistic_sharpe(0.11, n=n, **shape).value == pytest.approx(0.95, abs=1e-12)


@pytest.mark.parametrize(
    ("trials", "low", "high"), [(2, -0.09, -0.07), (5, 0.02, 0.03), (88, -0.01, 0.01), (1000, -0.01, 0.01)]
)
def test_the_expected_best_is_as_near_as_the_approximation_is(trials: int, low: float, high: float) -> None:
    """Against the exact expectation of the largest of independent normals."""
    exact, _ = integrate.quad(
        lambda z: z * trials * stats.norm.pdf(z) * special.ndtr(z) ** (trials - 1), -12.0, 12.0, limit=200
    )
    assert low < expected_best_sharpe(variance=1.0, trials=trials).value / exact - 1.0 < high


def test_one_trial_deflates_nothing() -> None:
    plain = probabilistic_sharpe(0.1, n=200, skewness=0.2, kurtosis=4.0)
    assert deflated_sharpe(0.1, n=200, variance=0.3, trials=1, skewness=0.2, kurtosis=4.0) == plain


def test_more_trials_ask_for_more() -> None:
    found = [deflated_sharpe(0.15, trials=trials, **PAPER).value for trials in (1, 2, 3, 10, 100, 10_000, 10**9)]
    assert found == sorted(found, reverse=True) and found[0] - found[-1] > 0.3


def test_the_normal_equals_scipy_far_into_its_tails() -> None:
    tails = np.concatenate([10.0 ** -np.arange(1.0, 300.0, 7.0), np.linspace(0.01, 0.99, 37), [0.5, 1.0 - 1e-15]])
    for tail in tails:
        expected = -special.ndtri(tail)
        assert normal_upper_quantile(float(tail)) == pytest.approx(expected, rel=2e-14, abs=1e-15)
    for x in np.linspace(-37.0, 9.0, 93):
        assert normal_cdf(float(x)) == pytest.approx(special.ndtr(x), rel=1e-13)


def test_moments_equal_scipy() -> None:
    returns = np.random.default_rng(8).standard_t(5, 700) * 1e-3 + 2e-4
    found = sharpe_moments(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    assert found.skewness == pytest.approx(stats.skew(returns), rel=1e-11)
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-12)
    assert sharpe_moments(returns * 2.0**-20)[1:] == found[1:]


def test_returns_that_repeat_themselves_count_for_fewer() -> None:
    rng = np.random.default_rng(2)
    shocks = rng.standard_normal(4_000)
    smooth, rough = shocks.copy(), shocks.copy()
    for t in range(1, 4_000):
        smooth[t] += 0.5 * smooth[t - 1]
        rough[t] -= 0.5 * rough[t - 1]
    found = sharpe_moments(smooth)
    assert found.autocorrelation == pytest.approx(0.5, abs=0.05)
    assert found.n == pytest.approx(4_000 * (1 - found.autocorrelation) / (1 + found.autocorrelation))
    # Returns that take themselves back are not counted for more than they are.
    assert sharpe_moments(rough).n == 4_000.0 and sharpe_moments(rough).autocorrelation < -0.4


@pytest.mark.parametrize("returns", [[], [0.1], [0.1, 0.2], [0.1] * 20, [0.0] * 20])
def test_moments_that_do_not_exist_have_a_reason(returns: list[float]) -> None:
    assert sharpe_moments(np.array(returns)).reason != ""


@pytest.mark.parametrize(
    "statistic",
    [
        probabilistic_sharpe(0.1, n=1.0),
        probabilistic_sharpe(1.0, n=100, skewness=3.0, kurtosis=1.0),
        deflated_sharpe(1.0, n=100, variance=0.1, trials=5, skewness=3.0, kurtosis=1.0),
        minimum_track_record(0.1, benchmark=0.1),
        minimum_track_record(1.0, skewness=3.0, kurtosis=1.0),
        variance_of_sharpes(np.array([0.1])),
    ],
)
def test_the_undefined_is_null_with_a_reason(statistic: object) -> None:
    assert statistic.value is None and statistic.reason != ""


def test_the_variance_of_trials() -> None:
    assert variance_of_sharpes(np.array([0.1, 0.3, 0.5])).value == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("sharpe", lambda: probabilistic_sharpe(math.nan, n=10)),
        ("kurtosis", lambda: minimum_track_record(0.1, kurtosis=math.inf)),
        ("trials", lambda: expected_best_sharpe(variance=1.0, trials=0)),
        ("variance", lambda: expected_best_sharpe(variance=-1.0, trials=3)),
        ("confidence", lambda: minimum_track_record(0.1, confidence=1.0)),
        ("returns", lambda: sharpe_moments(np.array([0.1, math.nan, 0.2]))),
        ("tail", lambda: normal_upper_quantile(0.0)),
    ],
)
def test_what_cannot_be_used_is_named(field: str, call: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.field == field
