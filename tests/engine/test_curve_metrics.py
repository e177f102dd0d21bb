"""Figures of an equity curve against cases worked by hand, another package's answers and a linear program."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from apps.engine.errors import InvalidInput
from apps.engine.metrics import (
    RETURN_FIGURES,
    Statistic,
    cagr,
    calmar,
    conditional_value_at_risk,
    cost_share,
    exposure,
    hit_rate,
    max_drawdown,
    performance,
    sharpe,
    sortino,
    time_in_market,
    turnover,
    value_at_risk,
    volatility,
)

DAILY = 365.0
fixed = settings(deadline=None, derandomize=True, max_examples=60)
some_returns = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60).map(np.array)


def test_a_curve_of_three_returns_by_hand() -> None:
    """100, 110, 99, 108.9: returns of +10 %, -10 %, +10 %; mean 1/30, sd 0.2 / sqrt 3, downside 0.1 / sqrt 3."""
    found = performance(np.array([100.0, 110.0, 99.0, 108.9]), bars_per_year=DAILY)
    expected = {
        "bars": 3.0,
        "bars_per_year": 365.0,
        "total_return": 0.089,
        "cagr": 1.089 ** (365 / 3) - 1.0,
        "volatility": 0.2 / math.sqrt(3.0) * math.sqrt(365.0),
        "sharpe": math.sqrt(3.0) / 6.0 * math.sqrt(365.0),
        "sortino": math.sqrt(3.0) / 3.0 * math.sqrt(365.0),
        "max_drawdown": -0.1,
        "calmar": (1.089 ** (365 / 3) - 1.0) / 0.1,
        "var_95": -0.1,
        "cvar_95": -0.1,
        "cvar_90": -0.1,
        "hit_rate": 2 / 3,
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-12), name
        assert found[name].reason == ""
    assert {name for name, figure in found.items() if figure.value is None} == {
        *("exposure", "time_in_market", "turnover", "cost_share"),
    }


def made_returns() -> np.ndarray:
    k = np.arange(1, 253)
    return np.round(0.0004 + 0.012 * np.sin(k * k * 0.37) + 0.006 * np.cos(7.0 * k), 6)


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (sharpe, 1.1105085698132886),
        (sortino, 1.6728664496485317),
        (cagr, 0.20375943697190846),
        (calmar, 2.2453363087513463),
        (volatility, 0.18185949507056293),
    ],
)
def test_it_equals_empyrical(figure: Callable[..., Statistic], expected: float) -> None:
    """What empyrical-reloaded 0.7.1 answers with annualization=365."""
    assert figure(made_returns(), bars_per_year=DAILY).value == pytest.approx(expected, abs=1e-12)
    curve = np.concatenate([[5_000.0], 5_000.0 * np.cumprod(1.0 + made_returns())])
    assert performance(curve, bars_per_year=DAILY)[figure.__name__].value == pytest.approx(expected, abs=1e-11)


def test_the_drawdown_equals_empyrical_and_counts_a_loss_of_the_first_bar() -> None:
    assert max_drawdown(made_returns()).value == pytest.approx(-0.09074784751742651, abs=1e-12)
    assert max_drawdown(np.array([-0.25, 0.1])).value == -0.25
    assert performance(np.array([8.0, 6.0, 7.0]), bars_per_year=DAILY)["max_drawdown"].value == -0.25


def by_linear_program(returns: np.ndarray, tail: float) -> float:
    """Rockafellar & Uryasev: the least v + sum max(-r - v, 0) / (tail n), as a negative return."""
    n = returns.shape[0]
    cost = np.concatenate([[1.0], np.full(n, 1.0 / (tail * n))])
    rows = np.hstack([-np.ones((n, 1)), -np.eye(n)])
    found = linprog(cost, A_ub=rows, b_ub=returns, bounds=[(None, None)] + [(0.0, None)] * n, method="highs")
    return -float(found.fun)


@pytest.mark.parametrize(("n", "tail"), [(252, 0.05), (100, 0.05), (37, 0.1), (7, 0.05), (200, 0.01), (41, 0.333)])
def test_the_tail_mean_is_the_linear_programs_optimum(n: int, tail: float) -> None:
    returns = np.random.default_rng(n).standard_t(4, n) * 0.01
    assert conditional_value_at_risk(returns, tail=tail).value == pytest.approx(
        by_linear_program(returns, tail), abs=1e-12
    )


def test_a_tail_by_hand() -> None:
    """30 returns, tail 5 %: one and a half of them, the worst whole and the second half."""
    returns = np.concatenate([[-0.08, -0.05], np.linspace(0.0, 0.02, 28)])
    assert conditional_value_at_risk(returns, tail=0.05).value == pytest.approx((-0.08 + 0.5 * -0.05) / 1.5)
    assert value_at_risk(returns, tail=0.05).value == -0.05  # ceil(1.5) = 2


def test_the_order_statistic_is_not_shifted_by_rounding() -> None:
    returns = -np.arange(100.0, 0.0, -1.0) / 1000.0
    for percent in range(1, 100):  # 0.07 * 100 is 7.000000000000001
        assert value_at_risk(returns, tail=percent / 100).value == returns[percent - 1]


def test_positions_by_hand() -> None:
    """From nothing to 0.5, 0.5, 0, -0.25: turned over 1.25 in four bars."""
    weights = np.array([0.5, 0.5, 0.0, -0.25])
    assert turnover(weights, bars_per_year=8.0).value == 0.5 * 1.25 * 8.0 / 4.0
    assert exposure(weights).value == 0.3125
    assert time_in_market(weights).value == 0.75
    found = performance(np.array([1.0, 1.1, 1.2, 1.3, 1.4]), bars_per_year=8.0, weights=weights)
    assert (found["turnover"].value, found["exposure"].value) == (1.25, 0.3125)


def test_bars_out_of_the_market_are_neither_hit_nor_miss() -> None:
    assert hit_rate(np.array([0.0, 0.1, 0.0, -0.1, 0.2, 0.0])).value == 2 / 3


def test_costs_are_a_share_of_what_was_earned_before_them() -> None:
    assert cost_share(200.0, 30.0).value == 0.15
    assert cost_share(20.0, 30.0).value == 1.5
    assert cost_share(-5.0, 30.0) == Statistic(None, "no profit before costs")
    assert cost_share(None, 30.0).value is None


@pytest.mark.parametrize("level", [0.0, 0.01, -0.003, 1e-9])
def test_returns_that_do_not_vary_have_no_sharpe_ratio(level: float) -> None:
    """Nor have those that vary by the rounding of their equity alone."""
    assert sharpe(np.full(50, level), bars_per_year=DAILY) == Statistic(None, "returns do not vary")
    curve = 3.7 * (1.0 + level) ** np.arange(40.0)
    found = performance(curve, bars_per_year=DAILY)
    assert found["sharpe"].value is None
    assert (found["sortino"].value is None) == (level >= 0.0)


def test_a_curve_that_never_falls() -> None:
    found = performance(np.array([1.0, 1.01, 1.03, 1.03]), bars_per_year=DAILY)
    assert found["max_drawdown"].value == 0.0 and math.copysign(1.0, found["max_drawdown"].value) == 1.0
    assert found["calmar"] == Statistic(None, "no drawdown")
    assert found["sortino"] == Statistic(None, "no return below 0")
    assert found["sharpe"].value is not None


def test_an_empty_and_a_single_bar() -> None:
    none = performance(np.array([10.0]), bars_per_year=DAILY)
    assert none["bars"].value == 0.0 and none["total_return"].value == 0.0
    for name in ("cagr", "max_drawdown", "calmar", *RETURN_FIGURES):
        assert none[name].value is None and none[name].reason, name
    one = performance(np.array([10.0, 9.0]), bars_per_year=DAILY)
    assert one["max_drawdown"].value == pytest.approx(-0.1)
    assert one["sharpe"] == Statistic(None, "fewer than 2 returns")


def test_growth_over_too_few_bars_is_not_extrapolated() -> None:
    """Three minutes at +1 % each would be 10^757 a year."""
    found = performance(np.array([1.0, 1.01, 1.0201, 1.01]), bars_per_year=525_600.0)
    assert found["cagr"].value is None and "too few" in found["cagr"].reason
    assert found["calmar"] == found["cagr"]


def test_ruin_leaves_what_is_still_defined() -> None:
    found = performance(np.array([100.0, 50.0, -10.0, 20.0]), bars_per_year=DAILY)
    assert found["max_drawdown"].value == pytest.approx(-1.1)
    assert found["total_return"].value == pytest.approx(-0.8)
    for name in RETURN_FIGURES:
        assert found[name] == Statistic(None, "equity is not above 0 at bar 2")
    assert performance(np.array([1.0, 0.5, 0.0]), bars_per_year=DAILY)["cagr"].value == -1.0
    assert performance(np.array([1.0, 0.5, -0.1]), bars_per_year=DAILY)["cagr"].reason == "equity ended below 0"


@fixed
@given(some_returns, st.integers(-8, 8))
def test_ratios_do_not_know_the_currency(returns: np.ndarray, power: int) -> None:
    curve = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    assert performance(curve, bars_per_year=DAILY) == performance(curve * 2.0**power, bars_per_year=DAILY)


@fixed
@given(some_returns, st.randoms(use_true_random=False))
def test_the_order_of_returns_changes_no_bit_of_their_moments(returns: np.ndarray, random: object) -> None:
    shuffled = returns.copy()
    random.shuffle(shuffled)
    for figure in (sharpe, sortino, volatility):
        assert figure(returns, bars_per_year=DAILY) == figure(shuffled, bars_per_year=DAILY)
    for figure in (value_at_risk, conditional_value_at_risk):
        assert figure(returns, tail=0.05) == figure(shuffled, tail=0.05)


@fixed
@given(some_returns, st.floats(0.01, 0.5))
def test_the_tail_mean_is_never_better_than_its_edge(returns: np.ndarray, tail: float) -> None:
    mean, edge = conditional_value_at_risk(returns, tail=tail).value, value_at_risk(returns, tail=tail).value
    assert returns.min() - 1e-12 <= mean <= edge + 1e-12


def test_every_figure_is_a_number_or_says_why_not() -> None:
    rng = np.random.default_rng(5)
    for curve in ([1.0], [1.0, 1.0], [1.0, 2.0], [1.0, -1.0], [1.0, 0.0, 0.0], rng.random(40) + 0.1):
        for name, figure in performance(np.array(curve), bars_per_year=DAILY).items():
            assert (figure.value is None) == bool(figure.reason), name
            assert figure.value is None or math.isfinite(figure.value), name


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_an_error_everywhere(bad: float) -> None:
    values = np.array([1.0, 1.1, bad, 1.2])
    for figure in (sharpe, sortino, volatility, cagr, calmar, turnover):
        with pytest.raises(InvalidInput, match="at 2"):
            figure(values, bars_per_year=DAILY)
    for figure in (max_drawdown, hit_rate, exposure, time_in_market):
        with pytest.raises(InvalidInput, match="at 2"):
            figure(values)
    for figure in (value_at_risk, conditional_value_at_risk):
        with pytest.raises(InvalidInput, match="at 2"):
            figure(values, tail=0.05)
    with pytest.raises(InvalidInput) as caught:
        performance(values, bars_per_year=DAILY)
    assert caught.value.field == "equity"
    with pytest.raises(InvalidInput):
        cost_share(bad, 1.0)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("bars_per_year", lambda: performance(np.ones(3), bars_per_year=0.0)),
        ("bars_per_year", lambda: sharpe(np.ones(3), bars_per_year=math.nan)),
        ("equity", lambda: performance(np.array([]), bars_per_year=DAILY)),
        ("equity", lambda: performance(np.array([0.0, 1.0]), bars_per_year=DAILY)),
        ("equity", lambda: performance(np.ones((2, 2)), bars_per_year=DAILY)),
        ("weights", lambda: performance(np.ones(3), bars_per_year=DAILY, weights=np.ones(3))),
        ("tail", lambda: value_at_risk(np.ones(3), tail=0.0)),
        ("tail", lambda: conditional_value_at_risk(np.ones(3), tail=1.0)),
    ],
)
def test_what_cannot_be_used_is_named(field: str, call: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.field == field
