"""Change point detection against enumeration, an exact recursion, published numbers and its known error rates."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp, poch, psi

from apps.engine.bocpd import (
    B_LOG_EVIDENCE,
    B_MEAN_LENGTH,
    B_P_RECENT,
    J_COUNT,
    J_LIMIT,
    J_MODE,
    bocpd_batch_nb,
    bocpd_state,
    bocpd_update_nb,
    segment_posterior,
)
from apps.engine.errors import InvalidInput
from apps.engine.runs import gamma_ratio_nb, make_room_nb, merge_some_nb
from tests.engine.series import digest

Prior = tuple[float, float, float, float]
HAZARD = 1.0 / 250.0
DEFAULT: Prior = (0.0, 1.0, 2.0, 1.0)

# Annual flow of the Nile at Aswan, 1871-1970, 1e8 m^3: Cobb (1978), Biometrika 65; the series `Nile` of R's datasets.
NILE = """
1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180 799 958 1140 1100 1210 1150 1250 1260
1220 1030 1100 774 840 874 694 940 833 701 916 692 1020 1050 969 831 726 456 824 702 1120 1100 832 764 821 768 845 864
862 698 845 744 796 1040 759 781 865 845 944 984 897 822 1010 771 676 649 846 812 742 801 1040 860 874 848 890 744 749
838 1050 918 986 797 923 975 815 1020 906 901 1170 912 746 919 718 714 740
"""


def posteriors(x: np.ndarray, **options: object) -> tuple[list[np.ndarray], np.ndarray]:
    """P(L_t = n), n = 1..t, after each observation, and the log densities of the observations."""
    f, i = bocpd_state(**options)
    found, densities = [], []
    for t, value in enumerate(x):
        densities.append(bocpd_update_nb(f, i, value))
        lengths, masses = segment_posterior(f, i)
        full = np.zeros(t + 1)
        full[lengths - 1] = masses
        found.append(full)
    return found, np.array(densities)


def segment_log_evidence(x: np.ndarray, prior: Prior) -> float:
    """Marginal likelihood of one Gaussian segment in closed form."""
    mean, kappa, alpha, beta = prior
    n, average = x.shape[0], x.mean()
    kappa_n, alpha_n = kappa + n, alpha + n / 2
    beta_n = beta + 0.5 * np.sum((x - average) ** 2) + kappa * n * (average - mean) ** 2 / (2 * kappa_n)
    return float(
        gammaln(alpha_n)
        - gammaln(alpha)
        + alpha * math.log(beta)
        - alpha_n * math.log(beta_n)
        + 0.5 * math.log(kappa / kappa_n)
        - n / 2 * math.log(2 * math.pi)
    )


def enumerated(x: np.ndarray, prior: Prior, hazard: float) -> tuple[np.ndarray, float]:
    """P(L = n) after the last observation and the log evidence, by summing over all 2^(n-1) segmentations."""
    n = x.shape[0]
    evidence = {(a, b): segment_log_evidence(x[a:b], prior) for a in range(n) for b in range(a + 1, n + 1)}
    by_length: list[list[float]] = [[] for _ in range(n)]
    for cuts in product((False, True), repeat=n - 1):
        starts = [0, *(k + 1 for k, cut in enumerate(cuts) if cut), n]
        logp = sum(math.log(hazard if cut else 1.0 - hazard) for cut in cuts)
        logp += sum(evidence[pair] for pair in zip(starts, starts[1:], strict=False))
        by_length[n - starts[-2] - 1].append(logp)
    joint = np.array([logsumexp(values) for values in by_length])
    return np.exp(joint - logsumexp(joint)), float(logsumexp(joint))


@pytest.mark.parametrize(
    ("prior", "hazard", "scale"),
    [(DEFAULT, HAZARD, 1.0), ((0.3, 0.1, 1.0, 2.0), 0.3, 1.0), (DEFAULT, 0.02, 20.0), ((0.0, 1.0, 1.7, 1.0), 0.1, 1.0)],
)
def test_it_is_the_sum_over_all_segmentations(prior: Prior, hazard: float, scale: float) -> None:
    rng = np.random.default_rng(4)
    x = scale * np.concatenate([rng.standard_normal(5), 3.0 + 0.2 * rng.standard_normal(6)])
    found, densities = posteriors(x, prior=prior, hazard=hazard, prune_mass=0.0)
    for n in (1, 2, 5, 7, 11):
        expected, log_evidence = enumerated(x[:n], prior, hazard)
        np.testing.assert_allclose(found[n - 1], expected, atol=1e-12, rtol=0)
        assert densities[:n].sum() == pytest.approx(log_evidence, abs=1e-11)


def exact(x: np.ndarray, prior: Prior, hazard: float) -> list[np.ndarray]:
    """The recursion in log space with gammaln, every run kept."""
    mean0, kappa0, alpha0, beta0 = prior
    log_r, mean, beta = np.zeros(1), np.array([mean0]), np.array([beta0])
    out = []
    for t, value in enumerate(x):
        n = np.arange(t + 1.0)
        kappa, alpha = kappa0 + n, alpha0 + n / 2
        scale2 = beta * (kappa + 1) / (alpha * kappa)
        z2 = (value - mean) ** 2 / scale2
        log_pi = gammaln(alpha + 0.5) - gammaln(alpha) - 0.5 * np.log(2 * alpha * np.pi * scale2)
        log_pi -= (alpha + 0.5) * np.log1p(z2 / (2 * alpha))
        joint = log_r + log_pi
        joint -= logsumexp(joint)
        out.append(np.exp(joint))
        log_r = np.concatenate([[math.log(hazard)], joint + math.log1p(-hazard)])
        beta = np.concatenate([[beta0], beta + kappa * (value - mean) ** 2 / (2 * (kappa + 1))])
        mean = np.concatenate([[mean0], (kappa * mean + value) / (kappa + 1)])
    return out


def changing(n: int, seed: int = 7) -> np.ndarray:
    """Gaussian observations whose mean and scale change every 250."""
    rng = np.random.default_rng(seed)
    blocks = n // 250 + 1
    means, scales = rng.normal(size=blocks), rng.choice([0.5, 1.0, 2.0], blocks)
    return np.repeat(means, 250)[:n] + np.repeat(scales, 250)[:n] * rng.standard_normal(n)


def test_without_pruning_it_is_the_exact_recursion() -> None:
    x = np.concatenate([changing(900), [40.0, -40.0, 0.0], np.zeros(60)])
    found, _ = posteriors(x, prune_mass=0.0)
    for own, expected in zip(found, exact(x, DEFAULT, HAZARD), strict=True):
        np.testing.assert_allclose(own, expected, atol=2e-12, rtol=0)


@pytest.mark.parametrize(("prune_mass", "error"), [(1e-8, 1e-5), (1e-12, 1e-7)])
def test_pruning_costs_little(prune_mass: float, error: float) -> None:
    """A dropped run may have grown again, so the error is some hundred times the mass at which runs are dropped."""
    x = changing(5_000)
    f, i = bocpd_state(prune_mass=prune_mass)
    g, j = bocpd_state(5_001, prune_mass=0.0)
    worst, most_runs = 0.0, 0
    for t, value in enumerate(x):
        bocpd_update_nb(f, i, value)
        bocpd_update_nb(g, j, value)
        full = np.zeros(t + 1)
        lengths, masses = segment_posterior(f, i)
        full[lengths - 1] = masses
        worst = max(worst, abs(f[B_P_RECENT] - g[B_P_RECENT]), float(np.max(np.abs(full - segment_posterior(g, j)[1]))))
        most_runs = max(most_runs, int(i[J_COUNT]))
        assert i[J_MODE] == j[J_MODE]
    assert worst <= error
    assert j[J_COUNT] == 5_000 and most_runs < 1_000


def test_the_nile_changed_after_1898() -> None:
    x = np.array(NILE.split(), dtype=float)
    assert x.shape == (100,)
    found, _ = posteriors(x, prior=(1000.0, 0.1, 2.0, 15000.0), hazard=0.01, prune_mass=0.0)
    # P(a segment ends after s) = sum over the ends e of the next one of P(ends after e) P(L_e = e - s | up to e).
    ends = np.zeros(101)
    ends[100] = 1.0
    for e in range(100, 0, -1):
        for length, mass in enumerate(found[e - 1], start=1):
            if e > length:
                ends[e - length] += ends[e] * mass
    smoothed = {1870 + s: ends[s] for s in range(1, 100)}
    assert smoothed[1898] == pytest.approx(0.772, abs=5e-4)
    assert smoothed[1897] == pytest.approx(0.111, abs=5e-4) and smoothed[1896] == pytest.approx(0.067, abs=5e-4)
    mode = {1871 + t: int(np.argmax(p)) + 1 for t, p in enumerate(found)}
    assert mode[1901] == 31 and mode[1902] == 4
    recent = {1871 + t: p[:5].sum() for t, p in enumerate(found)}
    assert next(year for year, p in recent.items() if year > 1880 and p > 0.5) == 1901


def alarm_rate(draw: np.ndarray) -> float:
    """Upward crossings of P(L <= 10) through 0.5, re-armed below 0.2, per 1,000 observations of stationary series."""
    alarms = 0
    recent, mode = np.empty(draw.shape[1]), np.empty(draw.shape[1], np.int64)
    for x in draw:
        f, i = bocpd_state(prior=(0.0, 1.0, 1.0, 1.0))
        bocpd_batch_nb(f, i, x, recent, mode)
        is_armed = False
        for t, p in enumerate(recent):
            if p < 0.2:
                is_armed = True
            elif p >= 0.5 and is_armed and t >= 30:
                is_armed = False
                alarms += 1
    return 1000.0 * alarms / draw.size


def test_false_alarms_are_as_rare_as_known() -> None:
    rng = np.random.default_rng(777)
    gaussian = rng.standard_normal((120, 1_000))
    heavy = rng.standard_t(4, (60, 1_000)) / math.sqrt(2.0)
    assert alarm_rate(gaussian) == pytest.approx(0.42, abs=0.2)
    assert alarm_rate(heavy) == pytest.approx(6.9, abs=1.5)
    assert alarm_rate(np.clip(heavy, -3.0, 3.0)) == pytest.approx(1.65, abs=0.6)


@pytest.mark.parametrize(
    ("mean", "sd", "share", "median"),
    [(2.0, 1.0, 0.97, 4), (3.0, 1.0, 1.0, 2), (0.0, 3.0, 0.96, 3), (0.0, 2.0, 0.75, 7)],
)
def test_changes_are_seen_as_soon_as_known(mean: float, sd: float, share: float, median: int) -> None:
    rng = np.random.default_rng(778)
    delays = []
    recent, mode = np.empty(400), np.empty(400, np.int64)
    for _ in range(150):
        x = rng.standard_normal(400)
        x[300:] = mean + sd * x[300:]
        f, i = bocpd_state(prior=(0.0, 1.0, 1.0, 1.0))
        bocpd_batch_nb(f, i, x, recent, mode)
        seen = np.flatnonzero(recent[300:] >= 0.5)
        if seen.size:
            delays.append(seen[0] + 1)
    assert len(delays) / 150 == pytest.approx(share, abs=0.1)
    assert abs(float(np.median(delays)) - median) <= 1.5


def test_the_mass_of_a_fresh_run_says_nothing_but_recent_mass_does() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.standard_normal(200), 4.0 + rng.standard_normal(6)])
    found, _ = posteriors(x, prune_mass=0.0)
    # R(0), a change right after x_t, is hazard * sum P(L) = hazard, whatever happened.
    assert {round(HAZARD * p.sum(), 12) for p in found} == {HAZARD}
    assert found[199][:10].sum() < 0.1 and found[205][:10].sum() > 0.9


def full_state(cap: int, *, seed: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A state without a free place, of data without a change, where every run has weight."""
    f, i = bocpd_state(cap)
    for value in np.random.default_rng(seed).standard_normal(cap):
        bocpd_update_nb(f, i, value)
    assert i[J_COUNT] == i[J_LIMIT] == cap
    return f, i


def moments(columns: np.ndarray) -> np.ndarray:
    """Of each run: E[lambda], E[mu lambda], E[mu^2 lambda], E[log lambda], told length; prior (0, 1, 2, 1)."""
    _, mean, precision, length, _, offset, _ = columns
    alpha, rate = 2.0 + 0.5 * length, (2.0 + 0.5 * length) * precision
    return np.array(
        [rate, mean * rate, 1.0 / (1.0 + length) + mean**2 * rate, psi(alpha) + np.log(precision), length + offset]
    )


def test_merging_keeps_moments_and_all_but_one_pair() -> None:
    f, i = full_state(90)
    before = f[10:].reshape(7, 90).copy()
    assert merge_some_nb(f, i, 1)
    after = f[10:].reshape(7, 90)
    at = int(np.flatnonzero(before[3] != after[3])[0])
    assert i[J_COUNT] == 89 and not after[:, 89].any() and not after[6].any()
    np.testing.assert_allclose(
        after[0], [*before[0, :at], before[0, at : at + 2].sum(), *before[0, at + 2 :], 0.0], 1e-14
    )
    np.testing.assert_array_equal(after[1:, :at], before[1:, :at])
    np.testing.assert_array_equal(after[1:6, at + 1 : 89], before[1:6, at + 2 :])
    pair, merged = before[:, at : at + 2], after[:, at]
    assert pair[3, 1] > 20.0 and after[0].sum() == pytest.approx(1.0, abs=1e-15)
    expected = moments(pair) @ (pair[0] / pair[0].sum())
    found = moments(after[:, at : at + 1])[:, 0]
    np.testing.assert_allclose(found[[0, 1, 4]], expected[[0, 1, 4]], rtol=1e-13)
    # kappa alone would keep E[mu^2 lambda], alpha alone E[log lambda]; the length is half way between the two.
    by_kappa = 1.0 / (expected[2] - expected[1] ** 2 / expected[0]) - 1.0
    deficit = math.log(expected[0]) - expected[3]
    by_alpha = 2.0 * brentq(lambda alpha: math.log(alpha) - psi(alpha) - deficit, 5.0, 100.0) - 4.0
    assert by_kappa < expected[4] and by_alpha < expected[4]
    assert merged[3] == pytest.approx(0.5 * (by_kappa + by_alpha), rel=1e-4)
    assert merged[4] == pytest.approx(poch(2.0 + 0.5 * merged[3], 0.5) / math.sqrt(math.pi), rel=1e-11)


def test_the_pair_that_differs_least_is_merged() -> None:
    f, i = full_state(90)
    mass, mean, precision, length, *_ = f[10:].reshape(7, 90).copy()
    assert merge_some_nb(f, i, 1)
    at = int(np.flatnonzero(f[10 + 3 * 90 : 10 + 4 * 90] != length)[0])
    rate = (2.0 + 0.5 * length) * precision
    distance = 0.25 * (rate[:-1] + rate[1:]) * np.diff(mean) ** 2 * 2.0
    distance += 0.5 * (2.0 * np.diff(rate) / (rate[:-1] + rate[1:])) ** 2
    apart = (1.0 + length[:-1]) * distance + 1.0 - length[1:] / length[:-1]
    loss = np.where(length[1:] > 20.0, np.minimum(mass[:-1], mass[1:]) * apart**2, np.inf)
    assert at == int(np.argmin(loss))


@pytest.mark.parametrize("alpha", [10.0, 12.3, 77.0, 5_000.0])
def test_the_gamma_ratio_of_merged_runs(alpha: float) -> None:
    assert gamma_ratio_nb(alpha) == pytest.approx(poch(alpha, 0.5) / math.sqrt(math.pi), rel=1e-11)


def test_a_full_state_stays_near_the_exact_one() -> None:
    """24 runs of 25 are merged away; what alarms and the age feature read hardly moves."""
    f, i = bocpd_state(200)
    g, j = bocpd_state(1_501, prune_mass=0.0)
    recent = age = 0.0
    for value in np.clip(np.random.default_rng(4).standard_t(4, 1_500), -3, 3):
        bocpd_update_nb(f, i, value)
        bocpd_update_nb(g, j, value)
        recent = max(recent, abs(f[B_P_RECENT] - g[B_P_RECENT]))
        age = max(age, abs(f[B_MEAN_LENGTH] - g[B_MEAN_LENGTH]))
    assert i[J_COUNT] <= i[J_LIMIT] == 66 and j[J_COUNT] == 1_500
    assert 0.0 < recent < 1e-3 and 0.0 < age < 10.0


def test_after_a_change_every_run_is_kept_again() -> None:
    rng = np.random.default_rng(12)
    before, after = rng.standard_normal(700), 8.0 + 0.1 * rng.standard_normal(60)
    f, i = bocpd_state(600)
    g, j = bocpd_state(761, prune_mass=0.0)
    for value in before:
        bocpd_update_nb(f, i, value)
        bocpd_update_nb(g, j, value)
    assert i[J_LIMIT] == 200 and i[J_COUNT] <= 200
    for value in after:
        bocpd_update_nb(f, i, value)
        bocpd_update_nb(g, j, value)
    assert i[J_LIMIT] == 600
    full = np.zeros(760)
    lengths, masses = segment_posterior(f, i)
    full[lengths - 1] = masses
    np.testing.assert_allclose(full[:60], segment_posterior(g, j)[1][:60], atol=1e-7, rtol=0)
    assert np.argmax(full) == 59


def test_where_only_short_runs_are_left_the_lightest_goes() -> None:
    f, i = bocpd_state(12)
    for value in changing(12):
        bocpd_update_nb(f, i, value)
    lengths, masses = segment_posterior(f, i)
    make_room_nb(f, i)
    after, masses_after = segment_posterior(f, i)
    assert set(lengths) - set(after) == {lengths[np.argmin(masses)]} and len(after) == 11
    assert masses_after.sum() == pytest.approx(1.0, abs=1e-15)


def test_a_very_long_segment_keeps_its_precision() -> None:
    """The gamma ratios go on by recurrence; after 20,000 observations they are those of lgamma."""
    f, i = bocpd_state(20_001, prune_mass=0.0)
    for value in np.random.default_rng(9).standard_normal(20_000):
        bocpd_update_nb(f, i, value)
        if i[J_COUNT] > 40:  # keep the oldest run and some young ones; the test is about the oldest
            kept = i[J_COUNT] - 20
            for column in range(6):
                at = 10 + column * i[0]
                f[at + 1 : at + 21] = f[at + kept : at + kept + 20]
                f[at + 21 : at + 41] = 0.0
            i[J_COUNT] = 21
    alpha = 2.0 + 20_000 / 2
    expected = math.exp(gammaln(alpha + 0.5) - gammaln(alpha)) / math.sqrt(math.pi)
    assert f[10 + 3 * i[0]] == 20_000
    assert f[10 + 4 * i[0]] == pytest.approx(expected, rel=1e-10)


def test_prefix_copy_and_batch_change_nothing() -> None:
    x = changing(600)
    recent, mode = np.empty(600), np.empty(600, np.int64)
    f, i = bocpd_state()
    bocpd_batch_nb(f, i, x, recent, mode)
    g, j = bocpd_state()
    part, part_mode = np.empty(350), np.empty(350, np.int64)
    bocpd_batch_nb(g, j, x[:350].copy(), part, part_mode)
    assert np.array_equal(part, recent[:350]) and np.array_equal(part_mode, mode[:350])
    g, j = g.copy(), j.copy()
    for value in x[350:]:
        bocpd_update_nb(g, j, value)
    assert digest(f, i) == digest(g, j)


def test_unused_room_is_zero_and_the_summary_is_that_of_the_posterior() -> None:
    f, i = bocpd_state(500)
    for value in changing(700):
        bocpd_update_nb(f, i, value)
        columns = f[10:].reshape(7, 500)
        assert not columns[:, i[J_COUNT] :].any() and not columns[6].any()
        lengths, masses = segment_posterior(f, i)
        assert np.all(np.diff(lengths) > 0)
        assert f[B_P_RECENT] == pytest.approx(masses[lengths <= 10].sum(), abs=1e-13)
        assert f[B_MEAN_LENGTH] == pytest.approx(np.sum(masses * lengths), rel=1e-12)
        assert i[J_MODE] == lengths[np.argmax(masses)]
    assert f[B_LOG_EVIDENCE] == pytest.approx(posteriors(changing(700))[1].sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("prior", {"prior": (0.0, 0.0, 2.0, 1.0)}),
        ("prior", {"prior": (math.nan, 1.0, 2.0, 1.0)}),
        ("hazard", {"hazard": 1.0}),
        ("prune_mass", {"prune_mass": 0.01}),
        ("cap", {"cap": 1}),
    ],
)
def test_impossible_settings_are_named(field: str, options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        bocpd_state(**options)
    assert caught.value.field == field
