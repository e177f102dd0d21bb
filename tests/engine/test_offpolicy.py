"""Estimates from a log agree with the truth that only full feedback tells, and refuse where the log says too little."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from apps.engine.errors import InvalidInput
from apps.engine.offpolicy import Estimated, OffPolicy, off_policy, on_policy
from apps.engine.values import Array2d

N, K = 4000, 4


def logged(seed: int = 1, *, n: int = N) -> tuple[dict[str, Any], Array2d]:
    """A log of a softmax policy, and every choice's reward."""
    rng = np.random.Generator(np.random.PCG64(seed))
    means = rng.normal(0.0, 0.5, (n, K))
    rewards = means + rng.normal(0.0, 1.0, (n, K))
    probabilities = softmax(rng.normal(0.0, 0.7, (n, K)))
    chosen = (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    rows = np.arange(n)
    log = {
        "target": softmax(2.0 * means),
        "chosen": chosen,
        "propensity": probabilities[rows, chosen],
        "rewards": rewards[rows, chosen],
        "forecasts": means + 0.1,
    }
    return log, rewards


def softmax(scores: Array2d) -> Array2d:
    raised = np.exp(scores)
    return raised / raised.sum(axis=1, keepdims=True)


def value(estimated: Estimated) -> float:
    assert estimated.value.value is not None
    return estimated.value.value


def error(estimated: Estimated) -> float:
    assert estimated.standard_error.value is not None
    return estimated.standard_error.value


def test_a_log_worked_by_hand() -> None:
    """Weights 2, 0.5, 2, 0.5 thirty times over: sums by hand, not by the code's formulas."""
    times = 30
    found = off_policy(
        target=np.tile([[1.0, 0.0], [0.75, 0.25], [1.0, 0.0], [0.25, 0.75]], (times, 1)),
        chosen=np.tile([0, 1, 0, 0], times),
        propensity=np.tile([0.5, 0.5, 0.5, 0.5], times),
        rewards=np.tile([1.0, 3.0, 2.0, 4.0], times),
        forecasts=np.tile([[1.0, 1.0], [1.0, 3.0], [2.0, 0.0], [0.0, 8.0]], (times, 1)),
    )
    assert value(found.ips) == pytest.approx((2.0 + 1.5 + 4.0 + 2.0) / 4)
    assert value(found.snips) == pytest.approx((2.0 + 1.5 + 4.0 + 2.0) / 5)
    assert value(found.doubly_robust) == pytest.approx((1.0 + 1.5 + 2.0 + (6.0 + 0.5 * 4.0)) / 4)
    assert found.effective_size == pytest.approx(times * 25 / 8.5)
    assert found.clipped_share == 0.0
    assert error(found.ips) == pytest.approx(np.std([2.0, 1.5, 4.0, 2.0] * times, ddof=1) / math.sqrt(4 * times))


def test_estimates_agree_with_the_truth_of_full_feedback() -> None:
    for seed in range(5):
        log, rewards = logged(seed)
        truth = value(on_policy(target=log["target"], all_rewards=rewards))
        found = off_policy(**log, clip=math.inf)
        for estimated in (found.ips, found.snips, found.doubly_robust):
            assert abs(value(estimated) - truth) < 3.0 * error(estimated)


def test_errors_are_as_large_as_they_say() -> None:
    """Over many logs the errors spread as the standard errors tell, so 3 se is neither a wide door nor a narrow one."""
    found = [(off_policy(**log, clip=math.inf), rewards, log) for log, rewards in map(logged, range(100, 180))]
    for name in ("ips", "doubly_robust"):
        errors = [value(getattr(each, name)) - 0.0 for each, _, _ in found]
        means = [float(np.mean((log["target"] * (log["forecasts"] - 0.1)).sum(axis=1))) for _, _, log in found]
        z = [(e - m) / error(getattr(each, name)) for e, m, (each, _, _) in zip(errors, means, found, strict=True)]
        assert abs(np.mean(z)) < 3.0 / math.sqrt(len(z))
        assert 0.75 < np.std(z) < 1.3


def test_good_forecasts_make_doubly_robust_the_sharpest() -> None:
    found = off_policy(**logged()[0])
    assert error(found.doubly_robust) < error(found.snips) < error(found.ips) * 1.05


def test_bad_forecasts_cost_sharpness_and_no_bias() -> None:
    log, rewards = logged()
    truth = value(on_policy(target=log["target"], all_rewards=rewards))
    found = off_policy(**{**log, "forecasts": np.full((N, K), 5.0)}, clip=math.inf)
    assert abs(value(found.doubly_robust) - truth) < 3.0 * error(found.doubly_robust)


def test_wrong_propensities_are_seen() -> None:
    """The check has teeth: the same log with even propensities is far from the truth."""
    log, rewards = logged()
    truth = value(on_policy(target=log["target"], all_rewards=rewards))
    rng = np.random.Generator(np.random.PCG64(3))
    skewed = softmax(3.0 * rewards)
    log["chosen"] = (skewed.cumsum(axis=1) < rng.random((N, 1))).sum(axis=1)
    log["rewards"] = rewards[np.arange(N), log["chosen"]]
    found = off_policy(**{**log, "propensity": np.full(N, 1.0 / K)}, clip=math.inf)
    assert abs(value(found.ips) - truth) > 3.0 * error(found.ips)


def test_the_logging_policy_itself_is_the_mean_of_the_log() -> None:
    log, _ = logged()
    table = np.full((N, K), 1.0 / K)
    found = off_policy(**{**log, "target": table, "propensity": np.full(N, 1.0 / K)})
    assert value(found.ips) == pytest.approx(float(np.mean(log["rewards"])))
    assert found.effective_size == pytest.approx(N)


def test_too_small_a_log_gives_no_number() -> None:
    log, _ = logged(n=45)
    found: OffPolicy = off_policy(**log)
    assert found.effective_size < 50.0
    for estimated in (found.ips, found.snips, found.doubly_robust):
        assert estimated.value.value is None
        assert "below 50" in estimated.value.reason
        assert estimated.standard_error.value is None


def test_a_target_that_was_never_tried_gives_no_number() -> None:
    log, _ = logged()
    target = np.zeros((N, K))
    target[:, 0] = 1.0
    found = off_policy(**{**log, "target": target, "chosen": np.ones(N, np.int64)})
    assert found.effective_size == 0.0
    assert found.ips.value.value is None


def test_clipping_is_counted() -> None:
    log, _ = logged()
    found = off_policy(**log, clip=1.0)
    weights = log["target"][np.arange(N), log["chosen"]] / log["propensity"]
    assert found.clipped_share == pytest.approx(np.mean(weights > 1.0))
    assert found.clipped_share > 0.1
    assert value(found.ips) == pytest.approx(np.mean(np.minimum(weights, 1.0) * log["rewards"]))


def test_blocks_widen_the_error_where_rewards_overlap() -> None:
    log, _ = logged()
    noise = np.random.Generator(np.random.PCG64(9)).normal(0.0, 1.0, N + 7)
    log["rewards"] = np.convolve(noise, np.ones(8) / math.sqrt(8.0), "valid")
    log["target"] = np.full((N, K), 1.0 / K)
    log["propensity"] = np.full(N, 1.0 / K)
    alone, blocks = off_policy(**log), off_policy(**log, block=32, seed=5)
    # A moving sum of 8 has a long-run variance of 8 times its own; blocks of 32 see most of it.
    assert 2.2 < error(blocks.ips) / error(alone.ips) < 3.2
    assert value(blocks.ips) == value(alone.ips)
    assert blocks == off_policy(**log, block=32, seed=5)


def test_blocks_agree_with_the_formula_where_nothing_overlaps() -> None:
    log, _ = logged()
    assert error(off_policy(**log, block=2, seed=1).snips) == pytest.approx(error(off_policy(**log).snips), rel=0.15)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("target", np.full((N, K), 0.3)),
        ("target", np.zeros((0, K))),
        ("chosen", np.full(N, K)),
        ("chosen", np.zeros(N)),
        ("propensity", np.zeros(N)),
        ("propensity", np.full(N, 1.5)),
        ("rewards", np.full(N, math.nan)),
        ("forecasts", np.full((N, K), math.inf)),
        ("forecasts", np.zeros((N, K + 1))),
        ("clip", 0.0),
        ("block", 0),
    ],
)
def test_bad_input_names_its_field(field: str, bad: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        off_policy(**{**logged()[0], field: bad})
    assert caught.value.field == field
