"""Conformal intervals against their definition, their guarantees, and a monitor that alerts when it should."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from apps.engine.conformal import (
    C_ALPHA,
    COVERED,
    MISSED,
    NOT_FINITE,
    NOT_JUDGED,
    conformal_batch_nb,
    conformal_state,
    conformal_update_nb,
    coverage,
    half_width_nb,
    least_scores,
    split_quantile,
)
from apps.engine.errors import InvalidInput
from tests.engine.series import digest


def run(errors: np.ndarray, **options: object) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """(half widths, verdicts, state) of forecasts of 0 and these outcomes."""
    state = conformal_state(**options)
    widths, verdicts = np.empty(errors.shape[0]), np.empty(errors.shape[0], np.int64)
    conformal_batch_nb(*state, np.zeros(errors.shape[0]), errors, widths, verdicts)
    return widths, verdicts, state


def definition(errors: np.ndarray, alpha: float, rate: float, size: int) -> tuple[list[float], list[int]]:
    """Widths and verdicts as written, from whole slices of the past."""
    level, widths, verdicts = alpha, [], []
    for t, error in enumerate(errors):
        past = np.sort(np.abs(errors[max(0, t - size) : t]))
        n = past.shape[0]
        k = math.ceil(round((n + 1) * (1 - level), 9))
        width = math.inf if k > n else -math.inf if k <= 0 else past[k - 1]
        widths.append(width)
        if math.ceil(round((n + 1) * (1 - alpha), 9)) > n:
            verdicts.append(NOT_JUDGED)
            continue
        verdicts.append(int(abs(error) > width))
        level += rate * (alpha - verdicts[-1])
    return widths, verdicts


@pytest.mark.parametrize(
    ("alpha", "rate", "size"), [(0.1, 0.0, 50), (0.1, 0.05, 50), (0.25, 0.3, 20), (0.05, 0.02, 400)]
)
def test_it_is_its_definition(alpha: float, rate: float, size: int) -> None:
    errors = np.random.default_rng(size).standard_t(3, 600) * np.repeat([1.0, 4.0, 0.2], 200)
    widths, verdicts, _ = run(errors, alpha=alpha, rate=rate, scores=size)
    expected = definition(errors, alpha, rate, size)
    np.testing.assert_array_equal(widths, expected[0])
    np.testing.assert_array_equal(verdicts, expected[1])


@pytest.mark.parametrize(("alpha", "least"), [(0.1, 9), (0.05, 19), (0.2, 4), (0.5, 1), (0.01, 99)])
def test_so_many_scores_bound_something(alpha: float, least: int) -> None:
    assert least_scores(alpha) == least
    scores = np.arange(1.0, least + 1.0)
    assert split_quantile(scores, alpha=alpha).value == least
    short = split_quantile(scores[:-1], alpha=alpha)
    assert short.value is None and f"takes {least}" in short.reason


def test_the_quantile_by_hand() -> None:
    """19 scores at 20 %: ceil(20 * 0.8) = the 16th smallest."""
    scores = np.random.default_rng(1).permutation(np.arange(1.0, 20.0))
    assert split_quantile(scores, alpha=0.2).value == 16.0


def test_split_conformal_covers_as_promised_whatever_the_distribution() -> None:
    """Exactly k / (n + 1) on average over sets of n + 1 exchangeable scores: here 46 / 51."""
    rng = np.random.default_rng(6)
    draws = rng.standard_cauchy((8_000, 51))
    covered = [abs(row[50]) <= split_quantile(np.abs(row[:50]), alpha=0.1).value for row in draws]
    share = 46 / 51
    assert np.mean(covered) == pytest.approx(share, abs=4.0 * math.sqrt(share * (1 - share) / 8_000))


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.5])
def test_an_adversary_cannot_change_the_long_run(rate: float) -> None:
    """Gibbs & Candes (2021), proposition 4.1: for any sequence, |misses / T - alpha| <= (max(a, 1 - a) + g) / (T g)."""
    f, i = conformal_state(alpha=0.1, rate=rate, scores=60)
    misses, judged = 0, 0
    for t in range(3_000):
        width = half_width_nb(f, i)
        # Just outside the interval while that can be done, then silence, then explosions.
        outcome = (
            (width * 1.01 + 1e-9 if math.isfinite(width) else 1.0)
            if t < 1_500
            else (0.0 if t < 2_200 else 1.3 ** (t % 97))
        )
        verdict = conformal_update_nb(f, i, 0.0, outcome)
        if verdict in (MISSED, COVERED):
            misses, judged = misses + verdict, judged + 1
            assert abs(misses / judged - 0.1) <= (0.9 + rate) / (judged * rate) + 1e-12
    assert judged == 3_000 - 9


def test_under_drift_the_adapted_level_covers_and_the_fixed_one_does_not() -> None:
    rng = np.random.default_rng(9)
    errors = rng.standard_normal(4_000) * np.exp(np.linspace(0.0, 4.0, 4_000))
    fixed = coverage(*run(errors, rate=0.0, scores=2_000)[2])
    adapted = coverage(*run(errors, rate=0.05, scores=2_000)[2])
    assert fixed.coverage.value < 0.87 and fixed.is_alert
    assert adapted.coverage.value == pytest.approx(0.9, abs=0.03) and not adapted.is_alert


def test_a_quiet_world_does_not_alert() -> None:
    found = coverage(*run(np.random.default_rng(10).standard_normal(1_500))[2])
    assert found.coverage.value == pytest.approx(0.9, abs=0.03)
    assert not found.is_alert and found.judged == 1_500 - 9
    assert found.half_width.value == pytest.approx(1.645, abs=0.25)


def test_the_border_of_the_tolerance_does_not_alert() -> None:
    """Of 500 judged, 35 or 65 misses are 0.93 and 0.87: on the border; one further is past it."""
    f, i = conformal_state(rate=0.0)
    for misses, is_alert in [(34, True), (35, False), (65, False), (66, True)]:
        i[:] = 0
        i[2], i[4], i[5] = 500, 500, 500
        i[0] = misses
        assert coverage(f, i).is_alert == is_alert


def test_an_outcome_on_the_border_is_covered() -> None:
    f, i = conformal_state(rate=0.0)
    for _ in range(20):
        conformal_update_nb(f, i, 0.0, 2.0)
    assert conformal_update_nb(f, i, 5.0, 7.0) == COVERED
    assert conformal_update_nb(f, i, 5.0, math.nextafter(7.0, 8.0)) == MISSED


def test_coverage_is_that_of_the_last_judged() -> None:
    errors = np.random.default_rng(3).standard_normal(900)
    widths, verdicts, state = run(errors, judged=200)
    assert coverage(*state).coverage.value == pytest.approx(1.0 - verdicts[-200:].mean(), abs=1e-15)
    early = coverage(*run(errors[:150], judged=200)[2])
    assert early.coverage.value is None and early.coverage.reason == "141 of 200 forecasts judged"
    assert not early.is_alert


def test_an_unbounded_and_an_empty_interval_have_a_reason() -> None:
    f, i = conformal_state()
    assert coverage(f, i).half_width.value is None and "0 scores" in coverage(f, i).half_width.reason
    for _ in range(50):
        conformal_update_nb(f, i, 0.0, 1.0)
    f[C_ALPHA] = 1.01
    assert "empty" in coverage(f, i).half_width.reason
    assert conformal_update_nb(f, i, 0.0, 0.0) == MISSED  # an empty interval holds nothing
    f[C_ALPHA] = -0.01
    assert coverage(f, i).half_width.value is None
    assert conformal_update_nb(f, i, 0.0, 1e9) == COVERED


@pytest.mark.parametrize(("forecast", "outcome"), [(math.nan, 0.0), (0.0, math.inf), (math.inf, math.inf)])
def test_what_is_not_finite_changes_nothing(forecast: float, outcome: float) -> None:
    _, _, (f, i) = run(np.random.default_rng(3).standard_normal(80))
    before = digest(f, i)
    assert conformal_update_nb(f, i, forecast, outcome) == NOT_FINITE
    assert digest(f, i) == before


def test_prefix_and_copy_change_nothing() -> None:
    errors = np.random.default_rng(4).standard_normal(700)
    widths, verdicts, state = run(errors, scores=100, judged=90)
    part_widths, part_verdicts, (f, i) = run(errors[:333], scores=100, judged=90)
    assert digest(part_widths, part_verdicts) == digest(widths[:333], verdicts[:333])
    f, i = f.copy(), i.copy()
    for error in errors[333:]:
        conformal_update_nb(f, i, 0.0, error)
    assert digest(f, i) == digest(*state)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("alpha", lambda: conformal_state(alpha=0.0)),
        ("alpha", lambda: split_quantile(np.ones(5), alpha=1.0)),
        ("rate", lambda: conformal_state(rate=-0.1)),
        ("scores", lambda: conformal_state(alpha=0.1, scores=8)),
        ("judged", lambda: conformal_state(judged=0)),
        ("scores", lambda: split_quantile(np.array([1.0, math.nan]), alpha=0.1)),
    ],
)
def test_what_cannot_be_used_is_named(field: str, call: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.field == field
