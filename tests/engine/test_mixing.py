"""From exact probabilities to the recorded ones: one-hot, mixing to an exact sum of 1, and the draw."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.propensity import (
    NO_CHOICE,
    STATUS_BAD_PARAMETER,
    STATUS_NO_ARM,
    STATUS_NOT_FINITE,
    STATUS_OK,
    choose_nb,
    mix_probabilities_nb,
    one_hot_nb,
)

# The first example compiles; a failing tolerance must fail every time.
compiled = settings(deadline=None, derandomize=True)


def mix(p, eps, admissible=None, cash=1) -> tuple[int, np.ndarray]:
    out = np.full(len(p), np.nan)
    mask = np.ones(len(p) - 1, np.int64) if admissible is None else np.array(admissible, np.int64)
    return mix_probabilities_nb(np.array(p, np.float64), mask, cash, eps, out), out


@compiled
@given(
    weights=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=9).filter(lambda w: sum(w) > 1e-3),
    eps=st.sampled_from([0.0, 1e-12, 1e-6, 0.05, 0.5, 1.0]),
)
def test_mixed_probabilities_sum_to_exactly_one(weights, eps) -> None:
    total = sum(weights)
    status, q = mix([w / total for w in weights], eps)
    assert status == STATUS_OK
    assert sum(map(Fraction, q.tolist())) == 1
    assert all(x >= 0.0 and (x * 2**30).is_integer() for x in q)
    wanted = (1.0 - eps) * np.array(weights) / total + eps / len(weights)
    assert np.abs(q - wanted).max() <= 5 * 2.0**-30
    assert all(x == 0.0 for x, w in zip(q, wanted, strict=True) if w == 0.0)


def test_mixing_gives_every_admissible_choice_its_floor() -> None:
    status, q = mix([1.0, 0.0, 0.0, 0.0, 0.0], eps=0.05, admissible=[1, 1, 0, 1])
    assert status == STATUS_OK and q[2] == 0.0
    assert np.abs(q - [0.9625, 0.0125, 0.0, 0.0125, 0.0125]).max() < 2.0**-30


def test_mixing_ignores_mass_of_choices_not_admissible() -> None:
    status, q = mix([0.25, 0.5, 0.25], eps=0.0, admissible=[1, 0])
    assert status == STATUS_OK and q.tolist() == [0.5, 0.0, 0.5]
    status, q = mix([0.25, 0.5, 0.25], eps=0.0, cash=0)
    assert status == STATUS_OK and q[2] == 0.0 and q[0] + q[1] == 1.0


def test_mixing_rounds_half_to_even_and_the_last_choice_takes_the_rest() -> None:
    unit = 2.0**-30
    status, q = mix([2.5 * unit, 3.5 * unit, 0.25, 0.75 - 6 * unit], eps=0.0)
    assert status == STATUS_OK and q.tolist() == [2 * unit, 4 * unit, 0.25, 0.75 - 6 * unit]


def test_without_eps_a_rest_never_revives_a_last_choice_of_probability_zero() -> None:
    third = 1.0 / 3.0  # rounds down by a third of a unit, three times over
    status, q = mix([third, third, third, 0.0], eps=0.0)
    assert status == STATUS_OK and q[3] == 0.0 and q[2] == q[1] + 2.0**-30


def test_a_rest_below_zero_is_paid_by_the_largest() -> None:
    unit = 2.0**-30
    p = [0.5 + 0.6 * unit, 0.25 + 0.6 * unit, 0.25 - 1.3 * unit, 0.1 * unit]
    status, q = mix(p, eps=0.0)
    assert status == STATUS_OK and q.tolist() == [0.5, 0.25 + unit, 0.25 - unit, 0.0]


def test_mixing_can_write_in_place() -> None:
    p = np.array([0.2, 0.3, 0.5])
    _, apart = mix(p, eps=0.05)
    assert mix_probabilities_nb(p, np.ones(2, np.int64), 1, 0.05, p) == STATUS_OK
    assert p.tolist() == apart.tolist()


@pytest.mark.parametrize(
    ("p", "eps", "admissible", "expected"),
    [
        ([0.5, math.nan, 0.5], 0.05, [1, 1], STATUS_NOT_FINITE),
        ([0.5, math.inf, 0.5], 0.05, [1, 1], STATUS_NOT_FINITE),
        ([1.5, -0.5, 0.0], 0.05, [1, 1], STATUS_BAD_PARAMETER),
        ([0.0, 0.0, 0.0], 0.05, [1, 1], STATUS_BAD_PARAMETER),
        ([0.5, 0.5, 0.0], math.nan, [1, 1], STATUS_BAD_PARAMETER),
        ([0.5, 0.5, 0.0], 1.1, [1, 1], STATUS_BAD_PARAMETER),
        ([0.5, 0.5, 0.0], -0.1, [1, 1], STATUS_BAD_PARAMETER),
        ([0.5, 0.5, 0.0], 0.05, [1], STATUS_BAD_PARAMETER),
    ],
)
def test_bad_input_to_mixing_has_a_status(p, eps, admissible, expected) -> None:
    status, q = mix(p, eps, admissible=admissible)
    assert status == expected and q.tolist() == [0.0, 0.0, 0.0]
    assert mix([0.5, 0.5, 0.0], 0.05, admissible=[0, 0], cash=0)[0] == STATUS_NO_ARM


def one_hot(score, admissible, cash_admissible, cash_score) -> tuple[int, list[float]]:
    out = np.full(len(score) + 1, np.nan)
    status = one_hot_nb(np.array(score), np.array(admissible, np.int64), cash_admissible, cash_score, out)
    return status, out.tolist()


def test_the_highest_score_takes_all_and_ties_go_to_the_lowest_index() -> None:
    assert one_hot([0.1, 0.3, 0.2], [1, 1, 1], 1, 0.0) == (STATUS_OK, [0.0, 1.0, 0.0, 0.0])
    assert one_hot([0.3, 0.3, 0.2], [1, 1, 1], 1, 0.3) == (STATUS_OK, [1.0, 0.0, 0.0, 0.0])
    assert one_hot([0.3, 0.3, 0.2], [0, 1, 1], 1, 0.31) == (STATUS_OK, [0.0, 0.0, 0.0, 1.0])
    assert one_hot([math.nan, -9.0], [0, 1], 0, math.nan) == (STATUS_OK, [0.0, 1.0, 0.0])
    assert one_hot([math.nan, 0.0], [1, 1], 1, 0.0) == (STATUS_NOT_FINITE, [0.0, 0.0, 0.0])
    assert one_hot([0.0, 0.0], [1, 1], 1, math.nan) == (STATUS_NOT_FINITE, [0.0, 0.0, 0.0])
    assert one_hot([0.0, 0.0], [0, 0], 0, 0.0) == (STATUS_NO_ARM, [0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("u", "chosen"),
    [(0.0, 1), (0.2499, 1), (0.25, 3), (0.9999, 3), (-1e-9, NO_CHOICE), (1.0, NO_CHOICE), (math.nan, NO_CHOICE)],
)
def test_a_draw_takes_the_first_choice_above_it(u: float, chosen: int) -> None:
    assert choose_nb(np.array([0.0, 0.25, 0.0, 0.75, 0.0]), u) == chosen


def test_a_draw_that_rounding_leaves_over_takes_the_last_positive_choice() -> None:
    assert choose_nb(np.array([0.3, 0.6, 0.0]), 0.95) == 1


@pytest.mark.parametrize("p", [[0.5, math.nan], [1.5, -0.5], [0.0, 0.0], [math.inf, 0.0]])
def test_a_draw_from_no_distribution_chooses_nothing(p: list[float]) -> None:
    assert choose_nb(np.array(p), 0.2) == NO_CHOICE


def test_draws_follow_the_probabilities() -> None:
    _, q = mix([0.1, 0.2, 0.3, 0.4], eps=0.05)
    drawn = np.bincount([choose_nb(q, (i + 0.5) / 10_000) for i in range(10_000)], minlength=4)
    assert np.abs(drawn / 10_000 - q).max() <= 1e-4
