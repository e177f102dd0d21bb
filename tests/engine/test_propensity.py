"""P(arm is the maximum) against two independent quadratures, its algebra, and every refusal."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from apps.engine.propensity import (
    MAX_ARMS,
    NO_CHOICE,
    STATUS_BAD_PARAMETER,
    STATUS_MESH,
    STATUS_NO_ARM,
    STATUS_NOT_FINITE,
    STATUS_OK,
    STATUS_SELF_CHECK,
    choose_nb,
    propensity_work,
    thompson_probabilities_nb,
)

CONTRACT = 1e-8
# The first example compiles; a failing tolerance must fail every time.
compiled = settings(deadline=None, derandomize=True)
finite = st.floats(-3.0, 3.0)


def thompson(loc, scale, df, admissible=None, cash=None) -> tuple[int, np.ndarray]:
    """(status, p) of the kernel; `cash` None means that cash is not admissible."""
    n_arms = len(loc)
    p = np.full(n_arms + 1, np.nan)
    mask = np.ones(n_arms, np.int64) if admissible is None else np.array(admissible, np.int64)
    arrays = (np.array(values, np.float64) for values in (loc, scale, df))
    has_cash, cash_loc = (0, 0.0) if cash is None else (1, cash)
    status = thompson_probabilities_nb(*arrays, mask, has_cash, cash_loc, propensity_work(n_arms), p)
    return status, p


def probabilities(*arguments, **options) -> np.ndarray:
    status, p = thompson(*arguments, **options)
    assert status == STATUS_OK
    return p


TAILS = np.concatenate([10.0 ** -np.arange(12.0, 1.0, -1.0), [0.1, 0.25]])
LEVELS = np.concatenate([TAILS, [0.5], 1.0 - TAILS[::-1]])
AT, WEIGHT = np.polynomial.legendre.leggauss(8)


def reference(loc, scale, df, cash=None) -> np.ndarray:
    """The specification's oracle: break points at every arm's quantiles, 8 nodes a piece, scipy's stdtr."""
    loc, scale, df = (np.array(values, np.float64)[:, None] for values in (loc, scale, df))
    breaks = np.unique(loc + scale * special.stdtrit(df, LEVELS))
    if cash is not None:
        breaks = np.append(cash, breaks[breaks > cash])
    half = np.diff(breaks)[:, None] / 2
    z = (breaks[:-1, None] + half + half * AT).ravel()
    t = (z - loc) / scale
    below = special.stdtr(df, t)
    log_peak = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - np.log(df * np.pi) / 2
    density = np.exp(log_peak - (df + 1) / 2 * np.log1p(t * t / df)) / scale
    share = [density[k] * np.delete(below, k, axis=0).prod(0) @ (half * WEIGHT).ravel() for k in range(len(loc))]
    above = 0.0 if cash is None else special.stdtr(df, (cash - loc) / scale).prod()
    return np.array([*share, above])


def worlds(n: int, seed: int):
    """Sets of arms from easy to hard: 2 to 8 arms, scales up to 1 : 1000, df 8 to 1100, with and without cash."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        n_arms = int(rng.integers(2, 9))
        scale = np.exp(rng.uniform(-rng.choice([0.1, 1.0, 3.0, 7.0]), 0.0, n_arms))
        loc = rng.normal(size=n_arms) * rng.choice([0.01, 0.3, 1.0, 3.0])
        df = 8.0 * np.exp(rng.uniform(0.0, 4.9, n_arms)) if rng.random() < 0.6 else np.full(n_arms, 8.0)
        yield loc, scale, df, (float(rng.normal() * 0.3) if rng.random() < 0.6 else None)


def test_it_equals_the_reference() -> None:
    errors = [
        np.abs(probabilities(loc, scale, df, cash=cash) - reference(loc, scale, df, cash)).max()
        for loc, scale, df, cash in worlds(150, seed=5)
    ]
    assert max(errors) < CONTRACT / 5


def exact_even_t(df: int):
    """cdf and density of Student's t for an even df, in closed form (Abramowitz & Stegun 26.7.4)."""
    peak = mpmath.gamma(mpmath.mpf(df + 1) / 2) / (mpmath.sqrt(df * mpmath.pi) * mpmath.gamma(mpmath.mpf(df) / 2))

    def cdf(t):
        cos2, term, total = df / (df + t * t), mpmath.mpf(1), mpmath.mpf(1)
        for i in range(2, df, 2):
            term *= cos2 * (i - 1) / i
            total += term
        return (1 + t / mpmath.sqrt(df + t * t) * total) / 2

    return cdf, lambda t: peak * (1 + t * t / df) ** (-mpmath.mpf(df + 1) / 2)


def by_mpmath(loc, scale, df, cash) -> list:
    """P(arm is the maximum) with 20 digits."""
    n_arms, laws = len(loc), [exact_even_t(d) for d in df]
    breaks = sorted(loc[k] + scale[k] * i for k in range(n_arms) for i in (-60, -12, -4, -1, 1, 4, 12, 60, 3000))
    breaks = [cash, *[z for z in breaks if z > cash]]

    def integrand(k):
        def value(z):
            out = laws[k][1]((z - loc[k]) / scale[k]) / scale[k]
            for j in range(n_arms):
                out *= 1 if j == k else laws[j][0]((z - loc[j]) / scale[j])
            return out

        return value

    above = mpmath.mpf(1)
    for k in range(n_arms):
        above *= laws[k][0]((cash - loc[k]) / scale[k])
    return [mpmath.quad(integrand(k), breaks, maxdegree=5) for k in range(n_arms)] + [above]


@pytest.mark.parametrize(
    ("loc", "scale", "df", "cash"),
    [
        ((0.1, -0.2), (0.5, 0.7), (8, 8), 0.0),
        ((0.0, 0.02, -0.5), (0.001, 0.03, 1.0), (8, 10, 40), -0.01),
    ],
)
def test_it_equals_mpmath(loc, scale, df, cash) -> None:
    with mpmath.workdps(20):
        exact = by_mpmath([mpmath.mpf(x) for x in loc], [mpmath.mpf(x) for x in scale], df, mpmath.mpf(cash))
        assert abs(sum(exact) - 1) < 1e-12
    assert np.abs(probabilities(loc, scale, df, cash=cash) - np.array(exact, float)).max() < CONTRACT


@pytest.mark.parametrize("n_arms", [2, 3, 7, 8, 16, 32, 64])
@pytest.mark.parametrize("df", [8.0, 25.0, 1100.0])
def test_equal_arms_share_equally(n_arms: int, df: float) -> None:
    p = probabilities(np.full(n_arms, 0.3), np.full(n_arms, 0.05), np.full(n_arms, df))
    assert np.abs(p[:-1] - 1.0 / n_arms).max() < 1e-15 and p[-1] == 0.0


@pytest.mark.parametrize("n_arms", [7, 8, 16, 64])
def test_cash_against_equal_arms_is_a_power(n_arms: int) -> None:
    p = probabilities(np.full(n_arms, -0.1), np.full(n_arms, 0.05), np.full(n_arms, 12.0), cash=0.0)
    below = special.stdtr(12.0, 2.0) ** n_arms
    assert abs(p[-1] - below) < CONTRACT and np.abs(p[:-1] - (1.0 - below) / n_arms).max() < CONTRACT


arms = st.integers(2, 8).flatmap(
    lambda n: st.tuples(
        st.lists(finite, min_size=n, max_size=n),
        st.lists(st.floats(1e-3, 2.0), min_size=n, max_size=n),
        st.lists(st.floats(8.0, 2000.0), min_size=n, max_size=n),
    )
)


@compiled
@given(arms=arms, cash=st.none() | finite, order=st.randoms(use_true_random=False))
def test_permuting_arms_permutes_probabilities(arms, cash, order) -> None:
    places = list(range(len(arms[0])))
    order.shuffle(places)
    p = probabilities(*arms, cash=cash)
    shuffled = probabilities(*[[values[k] for k in places] for values in arms], cash=cash)
    assert np.abs(shuffled[:-1] - p[places]).max() < 1e-13 and abs(shuffled[-1] - p[-1]) < 1e-13


@compiled
@given(arms=arms, cash=finite, power=st.integers(-20, 20))
def test_a_power_of_two_changes_no_bit(arms, cash, power) -> None:
    loc, scale, df = arms
    factor = 2.0**power
    grown = probabilities([x * factor for x in loc], [s * factor for s in scale], df, cash=cash * factor)
    assert np.array_equal(grown, probabilities(loc, scale, df, cash=cash))


@compiled
@given(arms=arms, cash=st.none() | finite, gain=st.floats(1e-3, 1.0))
def test_a_better_mean_is_chosen_more_often(arms, cash, gain) -> None:
    loc, scale, df = arms
    better = probabilities([loc[0] + gain, *loc[1:]], scale, df, cash=cash)
    assert better[0] >= probabilities(loc, scale, df, cash=cash)[0] - 2 * CONTRACT


@compiled
@given(arms=arms, cash=st.none() | finite)
def test_probabilities_are_probabilities(arms, cash) -> None:
    p = probabilities(*arms, cash=cash)
    assert (p >= 0.0).all() and abs(p.sum() - 1.0) < 1e-14


def test_a_dominated_arm_gets_exactly_nothing() -> None:
    p = probabilities([0.0, 1.0, -50.0], [0.1, 0.1, 0.1], [20.0, 20.0, 20.0])
    assert p[2] == 0.0 and p[1] > 0.99
    assert probabilities([-9.0, -8.0], [0.1, 0.1], [40.0, 40.0], cash=0.0).tolist() == [0.0, 0.0, 1.0]


def test_a_sole_survivor_gets_everything() -> None:
    assert probabilities([0.2, 9.0], [0.3, 0.3], [9.0, 9.0], admissible=[1, 0]).tolist() == [1.0, 0.0, 0.0]
    assert probabilities([-5.0], [1.0], [9.0], admissible=[0], cash=-3.0).tolist() == [0.0, 1.0]


def test_an_arm_without_scale_is_a_point_like_cash() -> None:
    as_cash = probabilities([0.1, -0.2], [0.5, 0.7], [9.0, 12.0], cash=0.05)
    as_arm = probabilities([0.1, 0.05, -0.2], [0.5, 0.0, 0.7], [9.0, 8.0, 12.0])
    assert np.abs(as_arm - [as_cash[0], as_cash[2], as_cash[1], 0.0]).max() < 1e-15


def test_of_tied_points_the_lowest_index_wins() -> None:
    assert probabilities([0.5, 0.5, 0.1], [0.0, 0.0, 0.0], [8.0, 8.0, 8.0], cash=0.5).tolist() == [1.0, 0, 0, 0]
    p = probabilities([0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [8.0, 8.0, 8.0], cash=0.5)
    assert p[1] > 0.5 and p[2] == 0.0 and p[3] == 0.0


def test_arms_that_are_not_admissible_are_never_read() -> None:
    p = probabilities([0.1, math.nan, 0.0], [0.5, -1.0, 0.5], [9.0, math.inf, 9.0], admissible=[1, 0, 1], cash=0.0)
    assert p[1] == 0.0
    assert p[[0, 2, 3]].tolist() == probabilities([0.1, 0.0], [0.5, 0.5], [9.0, 9.0], cash=0.0).tolist()


BAD_ARMS = [
    (dict(loc=[math.nan, 0.0]), STATUS_NOT_FINITE),
    (dict(loc=[0.0, math.inf]), STATUS_NOT_FINITE),
    (dict(scale=[1.0, math.nan]), STATUS_NOT_FINITE),
    (dict(scale=[1.0, math.inf]), STATUS_NOT_FINITE),
    (dict(df=[math.nan, 9.0]), STATUS_NOT_FINITE),
    (dict(cash=math.nan), STATUS_NOT_FINITE),
    (dict(cash=-math.inf), STATUS_NOT_FINITE),
    (dict(scale=[-0.1, 1.0]), STATUS_BAD_PARAMETER),
    (dict(df=[7.99, 9.0]), STATUS_BAD_PARAMETER),
    (dict(admissible=[0, 0]), STATUS_NO_ARM),
    (dict(loc=[1e8, 1e8]), STATUS_MESH),
    (dict(loc=[1.0, 0.0], scale=[1e-20, 1.0]), STATUS_MESH),
    (dict(loc=[0.0, 0.0], scale=[1e308, 1e308]), STATUS_NOT_FINITE),
    (dict(loc=[0.0, 0.0], scale=[5e-324, 5e-324]), STATUS_SELF_CHECK),
]


@pytest.mark.parametrize(("change", "expected"), BAD_ARMS)
def test_bad_arms_have_a_status_and_no_probabilities(change: dict, expected: int) -> None:
    good = dict(loc=[0.1, 0.0], scale=[1.0, 1.0], df=[9.0, 9.0])
    status, p = thompson(**(good | change))
    assert status == expected and p.tolist() == [0.0, 0.0, 0.0]
    assert choose_nb(p, 0.5) == NO_CHOICE


def test_wrong_shapes_are_refused() -> None:
    loc, scale, df, mask = np.zeros(2), np.ones(2), np.full(2, 9.0), np.ones(2, np.int64)
    for work, p in ((propensity_work(1), np.ones(3)), (propensity_work(2), np.ones(2))):
        assert thompson_probabilities_nb(loc, scale, df, mask, 1, 0.0, work, p) == STATUS_BAD_PARAMETER
    with pytest.raises(ValueError, match="n_arms"):
        propensity_work(MAX_ARMS + 1)
