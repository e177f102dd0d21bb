"""Parameters chosen on the past, judged on what came after, again and again; every evaluation is counted.

A policy cannot look ahead, so it runs once over all bars for each set of parameters, and a fold reads its spans off
that run: the run is warm when a span begins. Of a test span nothing is read but what its training span has chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.feature_state import HIGH_BARS, SLOW_SPAN
from apps.engine.metrics import Statistic
from apps.engine.policies import Policy
from apps.engine.significance import (
    deflated_sharpe,
    expected_best_sharpe,
    probabilistic_sharpe,
    sharpe_moments,
    variance_of_sharpes,
)
from apps.engine.single import single_run
from apps.engine.values import Array1d, Bars
from apps.research.validation.folds import Fold, folds_of
from apps.research.validation.period_figures import period_figures, period_returns
from apps.research.validation.search import RANDOM, draws_of

DESK = "router"
# The slowest features of the desk's context forget over this many bars (its medians set scales, not signals).
FEATURE_BARS = max(HIGH_BARS, SLOW_SPAN)
CASH = 1e6


@dataclass(frozen=True)
class StudyRequest:
    """One walk-forward study. `embargo` None: what the slowest set of parameters needs, at least the horizon."""

    policy: str
    folds: int = 6
    draws: int = 50
    search: str = RANDOM
    seed: int = 1
    horizon: int = 1
    embargo: int | None = None
    train_blocks: int = 2
    is_rolling: bool = False
    cost_bps: float = 12.0
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What will be evaluated, known before anything is: the sets of values and the folds."""

    draws: tuple[Mapping[str, float], ...]
    folds: tuple[Fold, ...]
    embargo: int

    @property
    def trials(self) -> int:
        """Evaluations that choose: every set of values on every training span."""
        return len(self.draws) * len(self.folds)


@dataclass(frozen=True)
class Evaluation:
    """One set of values on one span; a search is on the training span, a test on the test span."""

    fold: int
    draw: int
    is_test: bool
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """All evaluations, the test returns joined, and what defaults and holding would have given on the same bars."""

    evaluations: tuple[Evaluation, ...]
    summary: Mapping[str, Any]
    returns: Array1d
    hold_returns: Array1d


def plan_of(policy: Policy | None, n_bars: int, request: StudyRequest) -> Plan:
    """Raises InvalidInput naming what leaves nothing to score. Without a policy it is the desk, which learns itself."""
    if policy is None:
        draws: tuple[Mapping[str, float], ...] = ({},)
        lookback = FEATURE_BARS
    else:
        draws = tuple(draws_of(policy, request.draws, search=request.search, seed=request.seed))
        lookback = max(policy.warm_up(dict(values)) for values in draws)
    embargo = max(lookback, request.horizon) if request.embargo is None else request.embargo
    found = folds_of(
        n_bars, request.folds, horizon=request.horizon, embargo=embargo,
        train_blocks=request.train_blocks, is_rolling=request.is_rolling,
    )  # fmt: skip
    return Plan(draws, tuple(found), embargo)


def equity_of(policy: Policy, values: Mapping[str, float], bars: Bars, cost_bps: float) -> Array1d:
    """Equity at every close, all in at each signal, filled at the next open; fee and half-spread are `cost_bps`."""
    return single_run(policy, values, bars, fee_bps=cost_bps, cash=CASH).equity


def evaluate(
    plan: Plan,
    curve_of: Callable[[Mapping[str, float]], Array1d],
    closes: Array1d,
    request: StudyRequest,
    *,
    bars_per_year: float,
    family_trials: int,
    progress: Callable[[int], None] = lambda n: None,
) -> Outcome:
    """Search and test every fold. `family_trials` counts all evaluations ever made of this policy, these included."""
    horizon, per_year = request.horizon, bars_per_year / request.horizon
    curves = []
    for values in plan.draws:
        curves.append(curve_of(values))
        progress(closes.shape[0])
    evaluations: list[Evaluation] = []
    tested: dict[str, list[Array1d]] = {"chosen": [], "default": [], "hold": []}
    for fold in plan.folds:
        searched = [
            Evaluation(fold.number, draw, False, period_figures(
                period_returns(curve, fold.train_first, fold.train_end, horizon), periods_per_year=per_year
            ))
            for draw, curve in enumerate(curves)
        ]  # fmt: skip
        best = best_of(searched)
        span = fold.test_first, fold.test_end, horizon
        tested["chosen"].append(period_returns(curves[best], *span))
        tested["default"].append(period_returns(curves[0], *span))
        tested["hold"].append(period_returns(closes, *span))
        figures = period_figures(tested["chosen"][-1], periods_per_year=per_year)
        evaluations += [*searched, Evaluation(fold.number, best, True, figures)]
    joined = {name: np.concatenate(parts) for name, parts in tested.items()}
    summary = _summary(evaluations, joined, per_year, family_trials)
    return Outcome(tuple(evaluations), summary, joined["chosen"], joined["hold"])


def best_of(searched: list[Evaluation]) -> int:
    """The draw with the highest Sharpe ratio in training; one that never moved counts as 0. Ties go to the first."""
    ratios = [evaluation.figures["sharpe_period"] or 0.0 for evaluation in searched]
    return searched[int(np.argmax(ratios))].draw


def _summary(
    evaluations: list[Evaluation], joined: Mapping[str, Array1d], per_year: float, family_trials: int
) -> dict[str, Any]:
    told = {name: period_figures(returns, periods_per_year=per_year) for name, returns in joined.items()}
    searched = [one.figures["sharpe_period"] or 0.0 for one in evaluations if not one.is_test]
    pairs = [_pair(evaluations, one) for one in evaluations if one.is_test]
    inside = [a for a, _ in pairs if a is not None]
    outside = [b for _, b in pairs if b is not None]
    moments, variance = sharpe_moments(joined["chosen"]), variance_of_sharpes(np.array(searched))
    psr = dsr = Statistic(None, moments.reason or variance.reason)
    best = Statistic(None, variance.reason)
    if variance.value is not None:
        best = expected_best_sharpe(variance=variance.value, trials=family_trials)
    if not moments.reason:
        shape = {"n": moments.n, "skewness": moments.skewness, "kurtosis": moments.kurtosis}
        psr = probabilistic_sharpe(moments.sharpe, **shape)
        if variance.value is not None:
            dsr = deflated_sharpe(moments.sharpe, variance=variance.value, trials=family_trials, **shape)
    return {
        "out_of_sample": told["chosen"],
        "default_out_of_sample": told["default"],
        "hold_out_of_sample": told["hold"],
        "in_sample_sharpe": float(np.mean(inside)) if inside else None,
        "out_of_sample_sharpe": float(np.mean(outside)) if outside else None,
        "trials": len(searched),
        "family_trials": family_trials,
        "psr": psr._asdict(),
        "dsr": dsr._asdict(),
        "expected_best_sharpe": None if best.value is None else best.value * float(np.sqrt(per_year)),
    }


def _pair(evaluations: list[Evaluation], test: Evaluation) -> tuple[float | None, float | None]:
    """Sharpe ratio in and out of sample of what a fold chose."""
    mine = (one for one in evaluations if one.fold == test.fold and not one.is_test and one.draw == test.draw)
    return next(mine).figures["sharpe"], test.figures["sharpe"]


def request_check(request: StudyRequest) -> None:
    """Raises InvalidInput naming the member that cannot be used."""
    for name, value, low, high in (
        ("folds", request.folds, 1, 200),
        ("draws", request.draws, 1, 10_000),
        ("horizon", request.horizon, 1, 10_000),
        ("embargo", request.embargo or 0, 0, 1_000_000),
        ("train-blocks", request.train_blocks, 1, 50),
    ):
        if not low <= value <= high:
            raise InvalidInput(f"must be from {low} to {high}, not {value}", field=name)
    if not 0.0 <= request.cost_bps < 1_000.0:
        raise InvalidInput(f"must be from 0 to below 1000, not {request.cost_bps!r}", field="cost-bps")
