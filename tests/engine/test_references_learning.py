"""Learning against laws written down elsewhere: the multivariate t, the order of forgetting, extreme propensities."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from apps.engine.decision import ARM_N, GATE_GAP, GATE_WARM_UP
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.policies import arms
from apps.engine.propensity import STATUS_OK, propensity_work, thompson_probabilities_nb
from apps.engine.router import (
    N_CONTEXT,
    RouterParams,
    discount_nb,
    learn_nb,
    posterior_nb,
    posterior_work,
    router_stats,
)
from tests.support.bars import MINUTE_MS, walk_bars


@pytest.mark.parametrize(("lam", "a0", "b0"), [(30.0, 4.0, 4.0), (1.0, 6.5, 0.3), (100.0, 4.0, 9.0)])
def test_the_one_step_predictions_multiply_to_the_multivariate_t(lam: float, a0: float, b0: float) -> None:
    """Under the prior all rewards together are t with 2 a0 degrees of freedom and scale b0 / a0 (I + X X' / lam)."""
    rng = np.random.default_rng(12)
    x = np.clip(rng.standard_normal((60, N_CONTEXT)), -3.0, 3.0)
    y = np.clip(rng.standard_normal(60) * 1.5, -4.0, 4.0)
    model, work, found = router_stats(1), posterior_work(), 0.0
    out = np.zeros((4, 1))
    for row in range(60):
        assert posterior_nb(*model, x[row], lam, a0, b0, work, *out) == STATUS_OK
        (loc,), (h,), (a,), (b,) = out
        found += stats.t.logpdf(y[row], 2.0 * a, loc, math.sqrt(b / a * (1.0 + h)))
        assert learn_nb(*model, x[row], y[row : row + 1], np.ones(1, np.int64)) == STATUS_OK
    shape = b0 / a0 * (np.eye(60) + x @ x.T / lam)
    assert found == pytest.approx(stats.multivariate_t.logpdf(y, np.zeros(60), shape, 2.0 * a0), abs=1e-9)


def test_the_mean_reward_is_the_marginal_of_the_coefficients() -> None:
    """beta ~ t_{2a}(m, b / a P^-1), so x'beta ~ t_{2a}(x'm, b / a x'P^-1 x): its moments and scipy's draws agree."""
    rng = np.random.default_rng(13)
    x, y = np.clip(rng.standard_normal((200, N_CONTEXT)), -3.0, 3.0), rng.standard_normal(200)
    model = router_stats(1)
    for row in range(200):
        discount_nb(*model, 0.99)
        learn_nb(*model, x[row], y[row : row + 1], np.ones(1, np.int64))
    weight = 0.99 ** np.arange(199.0, -1.0, -1.0)
    precision = 30.0 * np.eye(N_CONTEXT) + (x * weight[:, None]).T @ x
    m = np.linalg.solve(precision, (x * weight[:, None]).T @ y)
    at, out = x[0], np.zeros((4, 1))
    assert posterior_nb(*model, at, 30.0, 4.0, 4.0, posterior_work(), *out) == STATUS_OK
    (loc,), (h,), (a,), (b,) = out
    law = stats.multivariate_t(m, b / a * np.linalg.inv(precision), 2.0 * a, seed=5)
    draws = law.rvs(40_000) @ at
    own = stats.t(2.0 * a, loc, math.sqrt(b / a * h))
    assert stats.kstest(draws, own.cdf).statistic < 1.95 / math.sqrt(40_000)  # fails one true law in a thousand


def test_at_an_alarm_the_past_is_discounted_twice_before_the_new_reward_counts() -> None:
    """n <- ((n gamma) rho) + 1: the effective count of every arm through a market whose volatility jumps."""
    bars = walk_bars(2_400, seed=3)
    moved = np.arange(bars.n) // 400 % 2 == 1
    wide = bars.high_e8 + np.where(moved, 40 * (bars.high_e8 - bars.low_e8), 0)
    close = bars.close_e8 + np.where(moved & (np.arange(bars.n) % 2 == 1), bars.close_e8 // 50 // 10**6 * 10**6, 0)
    bars = bars._replace(high_e8=np.maximum(wide, close), close_e8=close)
    horizon, params, inactive = 3, RouterParams(), np.zeros(len(arms()), np.int64)
    observer = Observer(ObserveSettings("BTCUSDT", MINUTE_MS, horizon))
    n, masks, applied, alarms, both = np.zeros(len(arms())), {}, -1, 0, 0
    for t in range(bars.n):
        view = observer.observe(bars.slice(t, t + 1), inactive=inactive, is_bocpd=True)
        if not view.is_grid:
            continue
        n *= params.gamma
        is_alarm = observer.regime().alarms > alarms
        if is_alarm:
            alarms += 1
            n *= params.rho
        if view.last_applied_grid_bar != applied:
            applied = view.last_applied_grid_bar
            n += masks[applied]
            both += is_alarm
        masks[view.record.bar_index] = (view.gates & (GATE_WARM_UP | GATE_GAP)) == 0
        if view.record.context_missing == 0:
            np.testing.assert_allclose(view.arms[ARM_N], n, rtol=1e-12)
    assert alarms >= 3 and both >= 2 and n.min() > 100.0


def exact_even_t(df: int):
    """cdf and density of Student's t for an even df in closed form (Abramowitz & Stegun 26.7.4)."""
    peak = mpmath.gamma(mpmath.mpf(df + 1) / 2) / (mpmath.sqrt(df * mpmath.pi) * mpmath.gamma(mpmath.mpf(df) / 2))

    def upper(t):
        """1 - F(t) without cancellation: far out the incomplete beta function, near the middle the finite sum."""
        if abs(t) > 3:
            tail = mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, df / (df + t * t), regularized=True) / 2
            return tail if t > 0 else 1 - tail
        cos2, term, total = df / (df + t * t), mpmath.mpf(1), mpmath.mpf(1)
        for i in range(2, df, 2):
            term *= cos2 * (i - 1) / i
            total += term
        return (1 - t / mpmath.sqrt(df + t * t) * total) / 2

    return upper, lambda t: peak * (1 + t * t / df) ** (-mpmath.mpf(df + 1) / 2)


def shares(loc, scale, df) -> list:
    """P(arm is the maximum) with 18 digits, no cash: break points around every arm at every order of magnitude."""
    laws = [exact_even_t(d) for d in df]
    steps = [sign * mpmath.mpf(10) ** k for sign in (-1, 1) for k in range(-1, 5)]
    breaks = sorted({a + b * step for a, b in zip(loc, scale, strict=True) for step in [0, *steps]})

    def density(k):
        def value(z):
            out = laws[k][1]((z - loc[k]) / scale[k]) / scale[k]
            for j in range(len(loc)):
                out *= 1 if j == k else 1 - laws[j][0]((z - loc[j]) / scale[j])
            return out

        return value

    return [mpmath.quad(density(k), breaks, maxdegree=4) for k in range(len(loc))]


@pytest.mark.parametrize(
    ("loc", "scale", "df"),
    [
        ((0.0, 1e-6), (1e-5, 1.0), (8, 8)),  # a needle in front of a hill
        ((0.0, 0.0, 0.0), (1e-4, 1e-2, 1.0), (8, 16, 40)),  # three orders of scale, one place
        ((0.5, -0.5), (0.01, 0.01), (8, 8)),  # a hundred scales apart: only tails meet
        ((3.0, -3.0), (1.0, 2.0), (8, 60)),
    ],
)
def test_propensities_of_extreme_scales_equal_mpmath(loc, scale, df) -> None:
    with mpmath.workdps(18):
        exact = shares([mpmath.mpf(value) for value in loc], [mpmath.mpf(value) for value in scale], df)
        assert abs(sum(exact) - 1) < 1e-11
    n_arms = len(loc)
    p = np.zeros(n_arms + 1)
    status = thompson_probabilities_nb(
        *(np.array(values, np.float64) for values in (loc, scale, df)),
        np.ones(n_arms, np.int64), 0, 0.0, propensity_work(n_arms), p,
    )  # fmt: skip
    assert status == STATUS_OK
    assert np.abs(p[:n_arms] - np.array([float(value) for value in exact])).max() < 1e-8
