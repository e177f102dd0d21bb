"""Observations a second of the change point detector, and how far it is from the exact recursion."""

from __future__ import annotations

import numpy as np

from apps.engine.bocpd import (
    B_MEAN_LENGTH,
    B_P_RECENT,
    bocpd_batch_nb,
    bocpd_state,
    bocpd_update_nb,
    segment_posterior,
)
from apps.engine.regime import DETECTOR_RUNS
from bench.whole_desk.market import took

N, N_EXACT = 100_000, 10_000
FINE_RUNS = 3_600  # what a detector takes that must be nearer than the desk's, where nothing ever changes


def series(n: int) -> dict[str, np.ndarray]:
    """Changes of mean and scale every 250, and a series without any change, in which no run can be dropped."""
    rng = np.random.default_rng(7)
    blocks = n // 250 + 1
    mean, scale = rng.normal(size=blocks), rng.choice([0.5, 1.0, 2.0], blocks)
    changing = np.repeat(mean, 250)[:n] + np.repeat(scale, 250)[:n] * rng.standard_normal(n)
    return {"changing": np.clip(changing, -3, 3), "stationary": np.clip(rng.standard_normal(n), -3, 3)}


def speed(x: np.ndarray, runs: int = DETECTOR_RUNS) -> float:
    """Observations a second of CPU."""
    recent, mode = np.empty(x.shape[0]), np.empty(x.shape[0], np.int64)
    return x.shape[0] / took(lambda: bocpd_batch_nb(*bocpd_state(runs), x, recent, mode), 3).cpu


def posterior_error(x: np.ndarray) -> float:
    """The largest difference of any P(L), at any observation, from the exact recursion."""
    f, i = bocpd_state(DETECTOR_RUNS)
    g, j = bocpd_state(x.shape[0] + 1, prune_mass=0.0)
    worst = 0.0
    for t, value in enumerate(x):
        bocpd_update_nb(f, i, value)
        bocpd_update_nb(g, j, value)
        full = np.zeros(t + 1)
        lengths, masses = segment_posterior(f, i)
        np.add.at(full, lengths - 1, masses)
        worst = max(worst, float(np.max(np.abs(full - segment_posterior(g, j)[1]))))
    return worst


def reading_errors(x: np.ndarray, runs: int = DETECTOR_RUNS) -> tuple[float, float]:
    """The largest difference of P(L <= 10), and that of E[L] as a part of it, from the exact recursion."""
    f, i = bocpd_state(runs)
    g, j = bocpd_state(x.shape[0] + 1, prune_mass=0.0)
    recent = age = 0.0
    for value in x:
        bocpd_update_nb(f, i, value)
        bocpd_update_nb(g, j, value)
        recent = max(recent, abs(f[B_P_RECENT] - g[B_P_RECENT]))
        age = max(age, abs(f[B_MEAN_LENGTH] / g[B_MEAN_LENGTH] - 1.0))
    return float(recent), float(age)


def rows() -> dict[str, float]:
    data = series(N)
    recent, age = reading_errors(data["stationary"][:N_EXACT])
    fine_recent, fine_age = reading_errors(data["stationary"][:N_EXACT], FINE_RUNS)
    return {
        "changing_per_s": speed(data["changing"]),
        "stationary_per_s": speed(data["stationary"]),
        "changing_error": posterior_error(data["changing"][:N_EXACT]),
        "stationary_recent_error": recent,
        "stationary_age_error": age,
        "fine_runs": FINE_RUNS,
        "fine_per_s": speed(data["stationary"], FINE_RUNS),
        "fine_recent_error": fine_recent,
        "fine_age_error": fine_age,
    }
