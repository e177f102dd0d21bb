"""Change points against known error rates at every threshold, all segmentations, and the exact recursion."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.engine.bocpd import B_P_RECENT, bocpd_batch_nb, bocpd_state, bocpd_update_nb, segment_posterior
from tests.engine.test_bocpd import DEFAULT, HAZARD, changing, enumerated, exact, posteriors

LENGTH = 1_000
THRESHOLDS = (0.3, 0.5, 0.8, 0.9)


def gaussian(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n, LENGTH))


def heavy(n: int, rng: np.random.Generator) -> np.ndarray:
    """t with 4 degrees of freedom, variance 1."""
    return rng.standard_t(4, (n, LENGTH)) / math.sqrt(2.0)


def clipped(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.clip(heavy(n, rng), -3.0, 3.0)


def garch(n: int, rng: np.random.Generator) -> np.ndarray:
    """GARCH(0.08, 0.90), variance 1."""
    out, variance = rng.standard_normal((n, LENGTH)), np.ones(n)
    for t in range(LENGTH):
        out[:, t] *= np.sqrt(variance)
        variance = 0.02 + 0.08 * out[:, t] ** 2 + 0.90 * variance
    return out


def alarm_rates(draw: np.ndarray) -> np.ndarray:
    """Alarms per 1,000 observations at each threshold, re-armed below 0.2."""
    recent, mode, alarms = np.empty(LENGTH), np.empty(LENGTH, np.int64), np.zeros(len(THRESHOLDS))
    for x in draw:
        bocpd_batch_nb(*bocpd_state(prior=(0.0, 1.0, 1.0, 1.0)), x, recent, mode)
        for k, threshold in enumerate(THRESHOLDS):
            is_armed = False
            for t, p in enumerate(recent):
                if p < 0.2:
                    is_armed = True
                elif p >= threshold and is_armed and t >= 30:
                    is_armed = False
                    alarms[k] += 1
    return 1_000.0 * alarms / draw.size


@pytest.mark.parametrize(
    ("draw", "series", "known"),
    [
        (gaussian, 240, (1.48, 0.42, 0.07, 0.03)),
        (heavy, 100, (10.1, 6.90, 4.27, 3.36)),
        (garch, 100, (3.90, 1.71, 0.43, 0.16)),
        (clipped, 100, (4.24, 1.65, 0.34, 0.11)),
    ],
    ids=["gaussian", "t4", "garch", "clipped"],
)
def test_false_alarms_are_as_known_at_every_threshold(draw, series: int, known: tuple[float, ...]) -> None:
    """Alarms are rare and nearly independent, so their number is nearly Poisson; known rates come from 400 series."""
    found = alarm_rates(draw(series, np.random.default_rng(779)))
    for rate, expected in zip(found, known, strict=True):
        assert rate == pytest.approx(expected, abs=4.0 * math.sqrt(expected / series + expected / 400))


@pytest.mark.parametrize(("mean", "sd", "share"), [(1.0, 1.0, 0.39), (0.0, 0.5, 0.035)])
def test_small_shifts_and_falls_in_volatility_are_hardly_seen(mean: float, sd: float, share: float) -> None:
    rng = np.random.default_rng(780)
    recent, mode, delays = np.empty(400), np.empty(400, np.int64), []
    for _ in range(200):
        x = rng.standard_normal(400)
        x[300:] = mean + sd * x[300:]
        bocpd_batch_nb(*bocpd_state(prior=(0.0, 1.0, 1.0, 1.0)), x, recent, mode)
        seen = np.flatnonzero(recent[300:] >= 0.5)
        if seen.size:
            delays.append(int(seen[0]) + 1)
    assert len(delays) / 200 == pytest.approx(share, abs=4.0 * math.sqrt(share * (1 - share) / 200))
    assert mean == 0.0 or np.median(delays) == pytest.approx(8, abs=3)


@pytest.mark.parametrize("seed", range(4))
def test_twelve_observations_are_the_sum_over_all_segmentations(seed: int) -> None:
    """2^11 of them, under priors and hazards drawn anew; among the observations a tie, a zero and an outlier."""
    rng = np.random.default_rng(seed)
    prior = (float(rng.normal()), *(float(value) for value in np.exp(rng.uniform(-2.0, 2.0, 3))))
    hazard = float(rng.uniform(0.001, 0.6))
    x = rng.standard_normal(12)
    x[3], x[6], x[9] = x[2], 0.0, 15.0
    found, densities = posteriors(x, prior=prior, hazard=hazard, prune_mass=0.0)
    for n in (3, 10, 12):
        expected, log_evidence = enumerated(x[:n], prior, hazard)
        np.testing.assert_allclose(found[n - 1], expected, atol=1e-12, rtol=0)
        assert densities[:n].sum() == pytest.approx(log_evidence, abs=1e-11)


def shapes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    quiet, loud = 0.05 * rng.standard_normal(400), rng.standard_normal(400)
    return {
        "changing": changing(800, 9),
        "clipped": np.clip(rng.standard_t(3, 800), -3.0, 3.0),
        "quiet then loud": np.clip(np.concatenate([quiet, loud]), -3.0, 3.0),
        "alternating": np.where(np.arange(800) // 40 % 2, 2.5, -2.5) + 0.3 * rng.standard_normal(800),
    }


@pytest.mark.parametrize("shape", shapes())
def test_at_a_small_prune_mass_nothing_is_lost(shape: str) -> None:
    x = shapes()[shape]
    f, i = bocpd_state(prune_mass=1e-12)
    for value, expected in zip(x, exact(x, DEFAULT, HAZARD), strict=True):
        bocpd_update_nb(f, i, value)
        lengths, masses = segment_posterior(f, i)
        full = np.zeros(expected.shape[0])
        full[lengths - 1] = masses
        assert np.abs(full - expected).max() <= 1e-7
        assert f[B_P_RECENT] == pytest.approx(expected[:10].sum(), abs=1e-7)
