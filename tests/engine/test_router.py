"""The router's posterior against direct solves, its learning and forgetting, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.propensity import STATUS_BAD_PARAMETER, STATUS_NOT_FINITE, STATUS_OK
from apps.engine.router import (
    N_CONTEXT,
    STATUS_DEFICIT,
    STATUS_NOT_POSITIVE,
    RouterParams,
    RouterStats,
    coefficients_nb,
    discount_nb,
    learn_nb,
    posterior_nb,
    posterior_work,
    router_stats,
)

# The first example compiles; a failing tolerance must fail every time.
compiled = settings(deadline=None, derandomize=True, max_examples=40)
PRIOR = (30.0, 4.0, 4.0)


def observations(n: int, n_arms: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Contexts with a leading 1, clipped as features are, and rewards with a little signal."""
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(size=(n, N_CONTEXT)), -3.0, 3.0)
    x[:, 0] = 1.0
    return x, np.clip(x @ rng.normal(size=(N_CONTEXT, n_arms)) * 0.1 + rng.normal(size=(n, n_arms)), -4.0, 4.0)


def learned(x: np.ndarray, y: np.ndarray, gamma: float = 0.999, stats: RouterStats | None = None) -> RouterStats:
    """Statistics after discounting and learning each row in turn."""
    stats = router_stats(y.shape[1]) if stats is None else stats
    mask = np.ones(y.shape[1], np.int64)
    for row in range(len(x)):
        assert discount_nb(*stats, gamma) == STATUS_OK
        assert learn_nb(*stats, x[row], y[row], mask) == STATUS_OK
    return stats


def posterior(stats: RouterStats, x: np.ndarray, prior=PRIOR) -> tuple[int, np.ndarray]:
    """(status, rows loc, h, a, b)."""
    out = np.full((4, stats.n.shape[0]), 7.0)
    return posterior_nb(*stats, x, *prior, posterior_work(), *out), out


def direct(x: np.ndarray, y: np.ndarray, at: np.ndarray, gamma: float, prior=PRIOR) -> tuple[np.ndarray, np.ndarray]:
    """(rows loc, h, a, b; coefficients) by numpy from all rows at once, the newest with weight 1."""
    lam, a0, b0 = prior
    weight = gamma ** np.arange(len(x) - 1.0, -1.0, -1.0)
    precision = lam * np.eye(N_CONTEXT) + (x * weight[:, None]).T @ x
    product = (x * weight[:, None]).T @ y
    m = np.linalg.solve(precision, product)
    h = at @ np.linalg.solve(precision, at)
    b = b0 + (weight @ y**2 - (product * m).sum(0)) / 2
    n_arms = y.shape[1]
    return np.array([at @ m, np.full(n_arms, h), np.full(n_arms, a0 + weight.sum() / 2), b]), m


@pytest.mark.parametrize("n_arms", [1, 7, 8, 9, 20])
@pytest.mark.parametrize("gamma", [1.0, 0.999, 0.9])
def test_the_posterior_equals_a_direct_solve(n_arms: int, gamma: float) -> None:
    x, y = observations(301, n_arms)
    status, ours = posterior(learned(x[:-1], y[:-1], gamma), x[-1])
    expected, _ = direct(x[:-1], y[:-1], x[-1], gamma)
    assert status == STATUS_OK
    assert np.abs(ours - expected).max() < 1e-10 * max(1.0, np.abs(expected).max())


def test_the_coefficients_equal_a_direct_solve() -> None:
    x, y = observations(300, 9)
    stats, m = learned(x, y), np.empty((N_CONTEXT, 9))
    assert coefficients_nb(stats.sxx, stats.sxy, 30.0, posterior_work(), m) == STATUS_OK
    assert np.abs(m - direct(x, y, x[0], 0.999)[1]).max() < 1e-10


def test_without_data_the_posterior_is_the_prior() -> None:
    x, _ = observations(1, 1)
    status, (loc, h, a, b) = posterior(router_stats(7), x[0])
    assert status == STATUS_OK
    assert loc.tolist() == [0.0] * 7 and a.tolist() == [4.0] * 7 and b.tolist() == [4.0] * 7
    assert np.abs(h - x[0] @ x[0] / 30.0).max() < 1e-15


def test_forgetting_leads_back_to_the_prior() -> None:
    x, y = observations(200, 3)
    stats = learned(x, y)
    before = posterior(stats, x[0])[1]
    for _ in range(400):
        discount_nb(*stats, 0.8)
    after, empty = posterior(stats, x[0])[1], posterior(router_stats(3), x[0])[1]
    assert (before[1] < 0.5 * after[1]).all() and np.abs(after - empty).max() < 1e-12


@compiled
@given(order=st.permutations(range(9)), seed=st.integers(0, 50))
def test_permuting_arms_permutes_the_posterior_to_the_bit(order: list[int], seed: int) -> None:
    x, y = observations(30, 9, seed)
    _, ours = posterior(learned(x, y), x[0])
    _, permuted = posterior(learned(x, np.ascontiguousarray(y[:, order])), x[0])
    assert np.array_equal(permuted, ours[:, order])


def test_saving_in_the_middle_changes_no_bit() -> None:
    x, y = observations(200, 7)
    through = learned(x, y)
    half = learned(x[:90], y[:90])
    resumed = learned(
        x[90:], y[90:], stats=RouterStats(*(np.frombuffer(s.tobytes()).reshape(s.shape).copy() for s in half))
    )
    assert all(np.array_equal(a, b) for a, b in zip(through, resumed, strict=True))


def test_a_masked_arm_learns_nothing_and_its_reward_is_not_read() -> None:
    x, y = observations(60, 3)
    full, partial, mask = learned(x, y), learned(x[:40], y[:40]), np.array([1, 0, 1])
    for row in range(40, 60):
        discount_nb(*partial, 0.999)
        assert learn_nb(*partial, x[row], np.array([y[row, 0], math.nan, y[row, 2]]), mask) == STATUS_OK
    alone = learned(x[:40], y[:40])
    for _ in range(20):
        discount_nb(*alone, 0.999)
    for ours, everyone, frozen in zip(partial, full, alone, strict=True):
        assert np.array_equal(ours[..., [0, 2]], everyone[..., [0, 2]])
        assert np.array_equal(ours[..., 1], frozen[..., 1])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["x", "y"])
def test_a_bad_observation_leaves_the_statistics_alone(place: str, value: float) -> None:
    x, y = observations(20, 7)
    stats = learned(x, y)
    before = [array.copy() for array in stats]
    bad = {"x": x[0].copy(), "y": y[0].copy()}
    bad[place][3] = value
    assert learn_nb(*stats, bad["x"], bad["y"], np.ones(7, np.int64)) == STATUS_NOT_FINITE
    assert all(np.array_equal(a, b) for a, b in zip(before, stats, strict=True))


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.0001, math.nan, math.inf])
def test_a_factor_outside_its_range_changes_nothing(factor: float) -> None:
    x, y = observations(5, 2)
    stats = learned(x, y)
    before = [array.copy() for array in stats]
    assert discount_nb(*stats, factor) == STATUS_BAD_PARAMETER
    assert all(np.array_equal(a, b) for a, b in zip(before, stats, strict=True))


def test_wrong_shapes_are_refused() -> None:
    stats, x = router_stats(3), np.ones(N_CONTEXT)
    assert learn_nb(*stats, x[:5].copy(), np.zeros(3), np.ones(3, np.int64)) == STATUS_BAD_PARAMETER
    assert learn_nb(*stats, x, np.zeros(2), np.ones(3, np.int64)) == STATUS_BAD_PARAMETER
    assert posterior(stats._replace(n=np.zeros(2)), x)[0] == STATUS_BAD_PARAMETER
    out = np.zeros((4, 3))
    assert posterior_nb(*stats, x, *PRIOR, np.zeros((10, 8)), *out) == STATUS_BAD_PARAMETER


def damaged(name: str, index: tuple[int, ...], value: float) -> RouterStats:
    x, y = observations(50, 3)
    stats = learned(x, y)
    getattr(stats, name)[index] = value
    return stats


@pytest.mark.parametrize(
    ("name", "index", "value", "expected"),
    [
        ("sxx", (0, 1), math.nan, STATUS_NOT_POSITIVE),
        ("sxx", (0, 1), math.inf, STATUS_NOT_POSITIVE),
        ("sxx", (1, 2), math.inf, STATUS_NOT_POSITIVE),
        ("sxx", (64, 0), math.nan, STATUS_NOT_POSITIVE),
        ("sxx", (5, 0), -1e3, STATUS_NOT_POSITIVE),
        ("sxy", (4, 1), math.nan, STATUS_NOT_FINITE),
        ("sxy", (4, 1), math.inf, STATUS_NOT_FINITE),
        ("syy", (1,), math.nan, STATUS_NOT_FINITE),
        ("syy", (1,), math.inf, STATUS_NOT_FINITE),
        ("syy", (2,), 0.0, STATUS_DEFICIT),
        ("n", (0,), math.nan, STATUS_NOT_FINITE),
        ("n", (0,), -1.0, STATUS_BAD_PARAMETER),
    ],
)
def test_damaged_statistics_have_a_status_and_no_posterior(name, index, value, expected) -> None:
    status, out = posterior(damaged(name, index, value), observations(1, 1)[0][0])
    assert status == expected and np.isnan(out).all()


def test_a_context_with_a_hole_has_no_posterior() -> None:
    for value in (math.nan, math.inf):
        x = observations(1, 1)[0][0]
        x[6] = value
        status, out = posterior(router_stats(3), x)
        assert status == STATUS_NOT_FINITE and np.isnan(out).all()


@pytest.mark.parametrize("prior", [(0.0, 4.0, 4.0), (30.0, 3.9, 4.0), (30.0, 4.0, 0.0), (math.nan, 4.0, 4.0)])
def test_a_prior_out_of_range_has_no_posterior(prior) -> None:
    status, out = posterior(router_stats(3), np.ones(N_CONTEXT), prior)
    assert status == STATUS_BAD_PARAMETER and np.isnan(out).all()


def test_damaged_statistics_have_no_coefficients() -> None:
    m = np.zeros((N_CONTEXT, 3))
    stats = damaged("sxx", (5, 0), -1e3)
    assert coefficients_nb(stats.sxx, stats.sxy, 30.0, posterior_work(), m) == STATUS_NOT_POSITIVE
    assert np.isnan(m).all()


def test_a_rounding_below_the_prior_is_clipped() -> None:
    stats, x = router_stats(1), np.ones(N_CONTEXT)
    stats.sxy[:, 0] = 30.0
    explained = 11 * 30.0  # Sxy'Sxy / lam with Sxx = 0
    stats.syy[0] = explained * (1 - 1e-10)
    status, (_, _, _, b) = posterior(stats, x)
    assert status == STATUS_OK and b[0] == 4.0
    stats.syy[0] = explained * (1 - 1e-6)
    assert posterior(stats, x)[0] == STATUS_DEFICIT


def test_the_defaults_are_the_specification() -> None:
    assert RouterParams() == (30.0, 4.0, 4.0, 0.999, 0.8, 0.05, 0.3, 1.0, 0)


def test_one_factor_for_all_arms_gives_the_bits_of_a_factor_each() -> None:
    """Ten arms of one design, and the same ten beside one that has seen something else."""
    rng = np.random.Generator(np.random.PCG64(21))
    shared, apart = router_stats(10), router_stats(11)
    for _ in range(300):
        x, y = np.clip(rng.normal(size=N_CONTEXT), -3, 3), rng.normal(size=11)
        for stats, n_arms in ((shared, 10), (apart, 11)):
            discount_nb(*stats, 0.99)
            learn_nb(*stats, x, y[:n_arms].copy(), np.ones(n_arms, np.int64))
    other = np.zeros(11, np.int64)
    other[10] = 1
    learn_nb(*apart, rng.normal(size=N_CONTEXT), np.ones(11), other)
    assert bool((shared.sxx == shared.sxx[:, :1]).all()) and not (apart.sxx[:, 10] == apart.sxx[:, 0]).all()
    one, each = posterior(shared, x), posterior(apart, x)
    assert one[0] == each[0] == STATUS_OK
    for own, expected in zip(one[1], each[1], strict=True):
        assert own.tobytes() == expected[:10].tobytes()
