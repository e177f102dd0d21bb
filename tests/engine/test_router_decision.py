"""From posterior to propensities in every mode, what is refused, and the same bits compiled and uncompiled."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apps.engine.propensity import (
    STATUS_BAD_PARAMETER,
    STATUS_NO_ARM,
    STATUS_NOT_FINITE,
    STATUS_OK,
    choose_nb,
    mix_probabilities_nb,
    propensity_work,
    thompson_probabilities_nb,
)
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import (
    MODE_GREEDY,
    MODE_UCB,
    N_CONTEXT,
    RouterParams,
    coefficients_nb,
    decision_probabilities_nb,
    discount_nb,
    learn_nb,
    posterior_nb,
    posterior_work,
    router_stats,
)
from apps.engine.sizing import base_e8_nb, sigmoid_minus_nb, target_lots_nb, width_nb

ROOT = Path(__file__).resolve().parents[2]


def decide(params: RouterParams, loc, h=None, a=None, b=None, cost=None, cash_cost=0.0, mask=None, cash=1):
    """(status, p, scores, scales) of one decision; unset rows are those of a moderately learned arm."""
    n = len(loc)
    rows = (
        np.array(values if values is not None else np.full(n, default), np.float64)
        for values, default in ((loc, 0), (h, 0.02), (a, 100.0), (b, 98.0), (cost, 0.0))
    )
    scores, scales, p = np.zeros(n), np.zeros(n), np.full(n + 1, 7.0)
    mask = np.ones(n, np.int64) if mask is None else np.array(mask, np.int64)
    work = propensity_work(n)
    status = decision_probabilities_nb(*rows, cash_cost, mask, cash, params, work, scores, scales, p)
    return status, p, scores, scales


def test_a_decision_is_score_scale_propensity_mix() -> None:
    loc, h, cost = np.array([0.1, 0.05, -0.1]), np.array([0.02, 0.03, 0.1]), np.array([0.02, 0.0, 0.01])
    status, p, scores, scales = decide(RouterParams(), loc, h=h, cost=cost, cash_cost=0.03)
    assert status == STATUS_OK
    assert scores.tolist() == (loc - cost).tolist()
    assert scales.tolist() == (0.3 * np.sqrt(98.0 / 100.0 * h)).tolist()
    exact, mixed, mask = np.zeros(4), np.zeros(4), np.ones(3, np.int64)
    thompson_probabilities_nb(scores, scales, np.full(3, 200.0), mask, 1, -0.03, propensity_work(3), exact)
    mix_probabilities_nb(exact, mask, 1, 0.05, mixed)
    assert p.tolist() == mixed.tolist() and p.sum() == 1.0 and p.min() >= 0.0124


def test_greedy_and_ucb_pick_one_and_keep_the_floor() -> None:
    loc, h = [0.10, 0.09, 0.0], [0.001, 0.2, 0.001]
    _, greedy, _, _ = decide(RouterParams(mode=MODE_GREEDY), loc, h=h)
    _, ucb, scores, _ = decide(RouterParams(mode=MODE_UCB), loc, h=h)
    assert np.abs(greedy - [0.9625, 0.0125, 0.0125, 0.0125]).max() < 2e-9
    assert np.abs(ucb - [0.0125, 0.9625, 0.0125, 0.0125]).max() < 2e-9
    assert scores[1] == 0.09 + 0.3 * math.sqrt(98.0 / 100.0 * 0.2)
    _, exact, _, _ = decide(RouterParams(mode=MODE_GREEDY, eps=0.0), [0.1, 0.1, 0.1], cash_cost=-0.1)
    assert exact.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_switching_costs_move_the_choice() -> None:
    free = decide(RouterParams(), [0.1, 0.1])[1]
    paid = decide(RouterParams(), [0.1, 0.1], cost=[0.05, 0.0])[1]
    assert free[0] == pytest.approx(free[1], abs=2e-9) and paid[0] < 0.5 * paid[1]
    held, left = decide(RouterParams(), [0.0, 0.0], cash_cost=1.0)[1], decide(RouterParams(), [0.0, 0.0])[1]
    assert held[2] < left[2] and held[2] == pytest.approx(0.05 / 3, abs=2e-9)


def test_no_temper_is_greedy() -> None:
    assert (
        decide(RouterParams(v=0.0), [0.1, 0.2])[1].tolist()
        == decide(RouterParams(mode=MODE_GREEDY), [0.1, 0.2])[1].tolist()
    )


def test_arms_that_are_not_admissible_are_not_read() -> None:
    nan = math.nan
    status, p, scores, scales = decide(
        RouterParams(), [0.1, nan, 0.0], h=[0.02, nan, 0.02], cost=[0.0, nan, 0.0], mask=[1, 0, 1]
    )
    assert status == STATUS_OK and p[1] == 0.0 and p.sum() == 1.0
    assert math.isnan(scores[1]) and math.isnan(scales[1])
    two = decide(RouterParams(), [0.1, 0.0])[1]
    assert p[[0, 2, 3]].tolist() == two.tolist()


@pytest.mark.parametrize("mode", [0, MODE_UCB, MODE_GREEDY])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (dict(loc=[math.nan, 0.0]), STATUS_NOT_FINITE),
        (dict(h=[0.02, math.inf]), STATUS_NOT_FINITE),
        (dict(a=[math.inf, 100.0]), STATUS_NOT_FINITE),
        (dict(b=[math.nan, 98.0]), STATUS_NOT_FINITE),
        (dict(cost=[0.0, math.nan]), STATUS_NOT_FINITE),
        (dict(cash_cost=math.nan), STATUS_NOT_FINITE),
        (dict(h=[-0.02, 0.02]), STATUS_BAD_PARAMETER),
        (dict(a=[3.9, 100.0]), STATUS_BAD_PARAMETER),
        (dict(mask=[0, 0], cash=0), STATUS_NO_ARM),
    ],
)
def test_bad_input_has_a_status_and_no_choice(mode: int, change: dict, expected: int) -> None:
    status, p, _, _ = decide(RouterParams(mode=mode), **({"loc": [0.1, 0.0]} | change))
    assert status == expected and p.tolist() == [0.0, 0.0, 0.0] and choose_nb(p, 0.5) == -1


@pytest.mark.parametrize(
    "change", [dict(v=-0.1), dict(v=math.nan), dict(alpha=math.nan), dict(mode=3), dict(eps=math.nan)]
)
def test_bad_parameters_have_a_status(change: dict) -> None:
    status, p, _, _ = decide(RouterParams()._replace(**change), [0.1, 0.0])
    assert status == STATUS_BAD_PARAMETER and p.tolist() == [0.0, 0.0, 0.0]


def chain() -> str:
    """A few decisions from rewards to lots, every float as hexadecimal."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, N_CONTEXT)), rng.normal(size=(12, 7))
    stats, lines, work = router_stats(7), [], posterior_work()
    m, mask = np.empty((N_CONTEXT, 7)), np.ones(7, np.int64)
    for row in range(9):
        discount_nb(*stats, 0.999)
        learn_nb(*stats, x[row], y[row], mask)
    coefficients_nb(stats.sxx, stats.sxy, 30.0, work, m)
    for at in range(9, 12):
        loc, h, a, b, cost = np.zeros((5, 7))
        scores, scales, p = np.zeros(7), np.zeros(7), np.zeros(8)
        posterior_nb(*stats, x[at], 30.0, 4.0, 4.0, work, loc, h, a, b)
        status = decision_probabilities_nb(
            loc, h, a, b, cost, 0.01, mask, 1, RouterParams(), propensity_work(7), scores, scales, p
        )
        u = philox_uniform_nb(7, 924657768533564532, 60_000 * at, 0)
        sigmoid = sigmoid_minus_nb(width_nb(h[0], a[0]))
        lots = target_lots_nb(base_e8_nb(10**14 + at, 1.3e-3, 525_600.0), sigmoid, 333_333_333, -0.7, 61_234_567)
        floats = [*loc, *h, *a, *b, *scores, *scales, *p, u, sigmoid, *m.ravel()]
        lines.append(" ".join([str(status), str(choose_nb(p, u)), str(lots), *(float(f).hex() for f in floats)]))
    return "\n".join(lines)


def test_compiled_and_uncompiled_give_the_same_bits() -> None:
    folders = [str(ROOT), str(Path(__file__).parent)]
    code = f"import sys; sys.path[:0] = {folders!r}; from {Path(__file__).stem} import chain; print(chain())"
    plain = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == chain()
