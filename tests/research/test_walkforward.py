"""Chosen on the past, judged on what came after: spans, draws, figures, and every evaluation on the books."""

from __future__ import annotations

import io
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from apps.audit.selectors import audit_latest
from apps.engine.errors import IntegrityBreach, InvalidInput
from apps.engine.policies import POLICIES, arms
from apps.engine.values import Bars
from apps.research.models import Study, StudyResult
from apps.research.validation import studies
from apps.research.validation.folds import folds_of
from apps.research.validation.period_figures import period_figures, period_returns
from apps.research.validation.search import GRID, RANDOM, draws_of
from apps.research.validation.studies import trials_of, walkforward
from apps.research.validation.trial_market import trial_history
from apps.research.validation.walkforward import FEATURE_BARS, Plan, StudyRequest, evaluate, plan_of
from tests.support.bars import walk_bars

EMA = POLICIES.get("ema_cross")
ASKED = StudyRequest("ema_cross", folds=3, draws=6, horizon=5, embargo=50)


def test_spans_by_hand() -> None:
    """103 bars in 2 + 3 blocks of 20; three are left over at the start. Purge 2, embargo 4."""
    folds = [tuple(fold) for fold in folds_of(1_003, 3, horizon=2, embargo=4)]
    assert folds == [(1, 3, 401, 407, 603), (2, 3, 601, 607, 803), (3, 3, 801, 807, 1_003)]
    rolling = [tuple(fold) for fold in folds_of(1_003, 3, horizon=2, embargo=4, is_rolling=True)]
    assert rolling == [(1, 3, 401, 407, 603), (2, 203, 601, 607, 803), (3, 403, 801, 807, 1_003)]


def test_no_label_and_no_memory_is_shared() -> None:
    for fold in folds_of(50_000, 7, horizon=30, embargo=400):
        assert fold.test_first - fold.train_end == 430 and fold.train_first < fold.train_end < fold.test_end


def test_what_leaves_nothing_to_score_is_refused() -> None:
    with pytest.raises(InvalidInput, match="leave 200 to each; an embargo of 400"):
        folds_of(1_000, 3, horizon=5, embargo=400)
    assert plan_of(None, 20_000, StudyRequest("router", horizon=5)).embargo == FEATURE_BARS == 240
    assert plan_of(EMA, 20_000, replace(ASKED, embargo=None)).embargo == max(
        values["slow"] for values in draws_of(EMA, 6, search=RANDOM, seed=1)
    )


@pytest.mark.parametrize("policy", arms(), ids=lambda policy: policy.policy_id)
@pytest.mark.parametrize("search", [RANDOM, GRID])
def test_draws_keep_the_schema(policy: Any, search: str) -> None:
    draws = draws_of(policy, 40, search=search, seed=3)
    assert draws[0] == policy.defaults() and draws == draws_of(policy, 40, search=search, seed=3)
    assert 4 < len(draws) <= 40 and all(draws.count(values) == 1 for values in draws)
    for values in draws:
        assert policy.constraint(values) is None and policy.warm_up(values) >= 1
        for one in policy.parameters:
            assert one.low <= values[one.name] <= one.high and (one.kind == "float" or values[one.name] % 1 == 0)


def test_draws_are_even_on_the_scale_of_their_parameter() -> None:
    """tsmom's window is from 24 to 720 on a log scale: half of all draws lie below sqrt(24 x 720) = 131.5."""
    windows = [values["window"] for values in draws_of(POLICIES.get("tsmom"), 400, search=RANDOM, seed=5)]
    assert 0.42 < np.mean(np.array(windows) < 131.5) < 0.58


def test_returns_of_whole_periods() -> None:
    """Marks at bars 1, 3, 5 of a span 2..6 with periods of two: the bar before the span is the base."""
    equity = np.array([1.0, 2.0, 9.0, 3.0, 9.0, 4.5, 9.0])
    assert period_returns(equity, 2, 6, 2).tolist() == [0.5, 0.5]
    assert period_returns(equity, 0, 3, 1).tolist() == [1.0, 3.5]


def test_figures_and_their_errors_by_the_book() -> None:
    returns = [0.01, -0.005, 0.02, 0.0, -0.01, 0.015, 0.003, -0.002]
    found = period_figures(np.array(returns), periods_per_year=100.0)
    n, mean, deviation = 8, statistics.fmean(returns), statistics.stdev(returns)
    ratio, spread = mean / deviation, statistics.pstdev(returns)
    third, fourth = (statistics.fmean(((r - mean) / spread) ** power for r in returns) for power in (3, 4))
    rho = sum((b - mean) * (a - mean) for a, b in zip(returns, returns[1:], strict=False)) / n / spread**2
    assert rho < 0.0, "or the number of periods would be lowered"
    error = math.sqrt((1 - third * ratio + (fourth - 1) / 4 * ratio**2) / (n - 1))
    assert found["sharpe"] == pytest.approx(10 * ratio) and found["sharpe_se"] == pytest.approx(10 * error)
    assert found["mean_bps"] == pytest.approx(1e4 * mean)
    assert found["mean_bps_se"] == pytest.approx(1e4 * deviation / math.sqrt(n))
    assert period_figures(np.zeros(5), periods_per_year=1.0)["reason"] == "returns do not vary"


def curves(seed: int, n: int) -> Any:
    """Draw 0 rises in the first half and falls in the second, draw 1 the other way round."""
    rng = np.random.Generator(np.random.PCG64(seed))
    drift = np.where(np.arange(n) < n // 2, 0.002, -0.002)
    return lambda values: np.exp(np.cumsum(values["sign"] * drift + 0.001 * rng.standard_normal(n)))


def test_a_fold_is_chosen_by_its_past_alone() -> None:
    """With one fold whose training is the first half, the first draw is chosen, and its loss is what is told."""
    n = 2_000
    folds = tuple(folds_of(n, 1, horizon=1, embargo=100, train_blocks=1))
    plan = Plan(({"sign": 1.0}, {"sign": -1.0}), folds, 100)
    asked = StudyRequest("hand", folds=1, train_blocks=1)

    def told(curve_of: Any) -> Any:
        return evaluate(plan, curve_of, np.ones(n), asked, bars_per_year=1e4, family_trials=2)

    found = told(curves(1, n))
    test = next(one for one in found.evaluations if one.is_test)
    assert test.draw == 0 and test.figures["sharpe"] < -50 and found.summary["in_sample_sharpe"] > 50
    assert found.summary["trials"] == 2 and found.returns.shape[0] == folds[0].test_end - folds[0].test_first

    def spoiled(values: Mapping[str, float]) -> Any:
        """Wild gains of the other draw in purge, embargo and test must not be heard of."""
        made = curves(1, n)(values)
        gains = np.where((np.arange(n) >= folds[0].train_end) & (values["sign"] < 0), 0.5, 0.0)
        return made * np.exp(np.cumsum(gains))

    assert next(one for one in told(spoiled).evaluations if one.is_test).draw == 0


def study(**changes: Any) -> tuple[dict[str, Any], Any]:
    given: dict[str, Any] = {"request": ASKED, "history": trial_history(4_000), "policy": EMA, "actor": "test"}
    return walkforward(**{**given, "ts_ms": 1, **changes})


@pytest.mark.usefixtures("desk_db")
def test_every_evaluation_is_counted_and_kept_once() -> None:
    told, found = study()
    row, kept = Study.objects.get(), StudyResult.objects.get()
    assert (row.trials, trials_of("ema_cross")) == (18, 18) and len(kept.evaluations) == 18 + 3
    assert told["summary"]["family_trials"] == 18 and len(told["folds"]) == 3
    assert [record.kind for record in audit_latest(5)] == ["research.study_result", "research.study"]
    again, _ = study(ts_ms=2)
    assert again["result_hash"] == told["result_hash"] and Study.objects.count() == 1 and len(audit_latest(5)) == 2
    other, _ = study(request=replace(ASKED, seed=2))
    assert other["summary"]["family_trials"] == 36 and trials_of("tsmom") == 0
    with pytest.raises(DatabaseError), transaction.atomic():
        Study.objects.filter(study_id=row.study_id).update(trials=1)


@pytest.mark.usefixtures("desk_db")
def test_a_study_that_was_broken_off_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(studies, "evaluate", broken)
        study()
    assert trials_of("ema_cross") == 18 and StudyResult.objects.count() == 0
    told, _ = study()
    assert trials_of("ema_cross") == 18 and told["summary"]["family_trials"] == 18


@pytest.mark.usefixtures("desk_db")
def test_another_result_of_the_same_study_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    study()
    honest = studies.equity_of
    monkeypatch.setattr(studies, "equity_of", lambda *given: honest(*given) ** 1.01)
    with pytest.raises(IntegrityBreach, match="once gave"):
        study()


@pytest.mark.usefixtures("desk_db")
def test_noise_is_called_noise() -> None:
    """On a walk without drift the best of 40 sets looks well in training; what follows pays the costs."""
    rng = np.random.Generator(np.random.PCG64(11))
    walk = walk_bars(30_000, seed=3)
    close = np.round(60_000e8 * np.exp(np.cumsum(0.002 * rng.standard_normal(30_000))) / 1e6).astype(np.int64) * 10**6
    opened = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    bars = Bars(walk.open_time_ms, opened, high, low, close, walk.volume_e8, walk.trades)
    history = trial_history(30_000)._replace(bars=bars)
    told, _ = study(request=replace(ASKED, draws=40, folds=5), history=history)
    joined = told["summary"]["out_of_sample"]
    assert told["summary"]["in_sample_sharpe"] > told["summary"]["out_of_sample_sharpe"]
    assert joined["sharpe"] < 3 * joined["sharpe_se"] and told["summary"]["dsr"]["value"] < 0.5


@pytest.mark.usefixtures("compiled", "desk_db")
def test_the_desk_is_measured_as_it_learns(tmp_path: Path) -> None:
    out = command("router", "--bars", "4000", "--folds", "2", "--horizon", "5", "--json", "-v0")
    told = json.loads(out)
    assert told["draws"] == 1 and told["summary"]["trials"] == 2 and told["folds"][0]["chosen"] == {}
    assert told["parameters"]["embargo"] == 240


def command(*args: str) -> str:
    out = io.StringIO()
    call_command("walkforward", *args, stdout=out, stderr=io.StringIO(), no_color=True)
    return out.getvalue()


@pytest.mark.usefixtures("desk_db")
def test_the_command_tells_folds_and_writes_one_page(tmp_path: Path) -> None:
    page = tmp_path / "study.html"
    given = ("donchian", "--bars", "4000", "--draws", "5", "--folds", "3", "--horizon", "5", "-v0")
    out = command(*given, "--report", str(page))
    told = json.loads(command(*given, "--json"))
    assert told["study_id"] in out and told["result_hash"] in out and "in sample" in out and "±" in out
    html = page.read_text()
    assert told["result_hash"] in html and "Fold by fold" in html and "<svg" in html and "TRIAL MARKET" in html
    assert "http://" not in html and "https://" not in html and "<script" not in html


@pytest.mark.usefixtures("desk_db")
@pytest.mark.parametrize(
    ("args", "field"),
    [(["nobody"], "policy"), (["tsmom", "--folds", "0"], "folds"), (["tsmom", "--draws", "0"], "draws"),
     (["tsmom", "--horizon", "0"], "horizon"), (["tsmom", "--cost-bps", "nan"], "cost-bps"),
     (["tsmom", "--bars", "100"], "folds"), (["tsmom", "--param", "window=48"], "param"),
     (["tsmom", "--report", "/nowhere/x.html"], "report")],
)  # fmt: skip
def test_a_wrong_argument_is_named(args: list[str], field: str) -> None:
    with pytest.raises(CommandError) as refused:
        command(*args, "-v0")
    assert refused.value.returncode == 2 and str(refused.value).startswith(f"{field}:")
    assert Study.objects.count() == 0
