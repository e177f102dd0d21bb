"""How long the router's kernels take: median microseconds per call from compiled code, 7 arms and cash.

Run: .venv/bin/python bench/router_kernels.py
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tradedesk.env import engine_hash  # noqa: E402 - the path must be set first

os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "var" / "kernels" / engine_hash()))

import numpy as np  # noqa: E402 - numba reads the cache folder on import
from numba import njit  # noqa: E402

from apps.engine.propensity import (  # noqa: E402
    choose_nb,
    mix_probabilities_nb,
    propensity_work,
    thompson_probabilities_nb,
)
from apps.engine.rng import philox_uniform_nb  # noqa: E402
from apps.engine.router import (  # noqa: E402
    RouterParams,
    coefficients_nb,
    decision_probabilities_nb,
    discount_nb,
    learn_nb,
    posterior_nb,
    posterior_work,
    router_stats,
)
from apps.engine.sizing import base_e8_nb, sigmoid_minus_nb, target_lots_nb, width_nb, widths_nb  # noqa: E402
from apps.engine.student import student_cdf_nb, student_quantile_nb  # noqa: E402

N_ARMS = 7
ROUNDS = 9


def median_us(loop: Callable[..., object], n: int, *arguments: object) -> float:
    """Median over rounds of the time per call; `loop(n, ...)` calls n times inside compiled code."""
    loop(2, *arguments)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        loop(n, *arguments)
        times.append((time.perf_counter() - start) / n * 1e6)
    return statistics.median(times)


def learned(seed: int = 1, n: int = 600) -> tuple[object, np.ndarray]:
    """Statistics after n observations of a plausible world, and the next context."""
    rng = np.random.default_rng(seed)
    stats = router_stats(N_ARMS)
    beta = rng.normal(size=(11, N_ARMS)) * 0.05
    mask = np.ones(N_ARMS, np.int64)
    for _ in range(n):
        x = np.clip(rng.normal(size=11), -3, 3)
        x[0] = 1.0
        discount_nb(*stats, 0.999)
        learn_nb(*stats, x, x @ beta + rng.normal(size=N_ARMS), mask)
    x = np.clip(rng.normal(size=11), -3, 3)
    x[0] = 1.0
    return stats, x


@njit
def draw_loop(n_calls):
    total = 0.0
    for i in range(n_calls):
        total += philox_uniform_nb(7, 11, i, 0)
    return total


@njit
def cdf_loop(n_calls):
    total = 0.0
    for i in range(n_calls):
        total += student_cdf_nb(i * 1e-5 - 1.0, 31.0)
    return total


@njit
def quantile_loop(n_calls):
    total = 0.0
    for i in range(n_calls):
        total += student_quantile_nb(0.9, 8.0 + i * 1e-3)
    return total


@njit
def thompson_loop(n_calls, loc, scale, df, mask, work, p):
    for _ in range(n_calls):
        thompson_probabilities_nb(loc, scale, df, mask, 1, 0.0, work, p)


@njit
def mix_loop(n_calls, p, mask):
    for _ in range(n_calls):
        mix_probabilities_nb(p, mask, 1, 0.05, p)


@njit
def choose_loop(n_calls, p):
    total = 0
    for i in range(n_calls):
        total += choose_nb(p, (i % 1000) * 1e-3)
    return total


@njit
def posterior_loop(n_calls, sxx, sxy, syy, n, x, work, loc, h, a, b):
    for _ in range(n_calls):
        posterior_nb(sxx, sxy, syy, n, x, 30.0, 4.0, 4.0, work, loc, h, a, b)


@njit
def coefficients_loop(n_calls, sxx, sxy, work, m):
    for _ in range(n_calls):
        coefficients_nb(sxx, sxy, 30.0, work, m)


@njit
def learn_loop(n_calls, sxx, sxy, syy, n, x, y, mask):
    for _ in range(n_calls):
        discount_nb(sxx, sxy, syy, n, 0.999)
        learn_nb(sxx, sxy, syy, n, x, y, mask)


@njit
def decide_loop(n_calls, loc, h, a, b, cost, mask, params, work, scores, scales, p):
    for _ in range(n_calls):
        decision_probabilities_nb(loc, h, a, b, cost, 0.01, mask, 1, params, work, scores, scales, p)


@njit
def widths_loop(n_calls, h, a, widths):
    for _ in range(n_calls):
        widths_nb(h, a, widths)


@njit
def size_loop(n_calls):
    total = 0
    for i in range(n_calls):
        sigmoid = sigmoid_minus_nb(width_nb(0.02, 8.0 + i))
        base = base_e8_nb(100_000_000_000_000, 1e-3, 525_600)
        total += target_lots_nb(base, sigmoid, 333_333_333, 0.7, 60_000_000)
    return total


def posterior_rows() -> list[tuple[str, float]]:
    """The steps from statistics to sizes."""
    stats, x = learned()
    mask, params, work, solve_work = (
        np.ones(N_ARMS, np.int64),
        RouterParams(),
        propensity_work(N_ARMS),
        posterior_work(),
    )
    loc, h, a, b, scores, scales, widths = (np.zeros(N_ARMS) for _ in range(7))
    p, m, cost = np.zeros(N_ARMS + 1), np.zeros((11, N_ARMS)), np.full(N_ARMS, 0.02)
    y = np.random.default_rng(2).normal(size=N_ARMS)
    posterior_nb(*stats, x, 30.0, 4.0, 4.0, solve_work, loc, h, a, b)
    choice = (loc, h, a, b, cost, mask)
    greedy = params._replace(mode=2)
    return [
        ("posterior of 7 arms", median_us(posterior_loop, 10_000, *stats, x, solve_work, loc, h, a, b)),
        ("coefficients of 7 arms", median_us(coefficients_loop, 10_000, stats[0], stats[1], solve_work, m)),
        ("decision, thompson", median_us(decide_loop, 5_000, *choice, params, work, scores, scales, p)),
        ("decision, greedy", median_us(decide_loop, 20_000, *choice, greedy, work, scores, scales, p)),
        ("widths of 7 arms", median_us(widths_loop, 20_000, h, a, widths)),
        ("size of one arm", median_us(size_loop, 20_000)),
        ("discount and learn", median_us(learn_loop, 20_000, *stats, x, y, mask)),
    ]


def propensity_rows() -> list[tuple[str, float]]:
    """Draws and probabilities, from easy to hard sets of arms."""
    loc = np.array([0.0, 0.02, -0.03, 0.05, 0.01, -0.02, 0.04])
    equal, graded = np.full(N_ARMS, 0.06), np.geomspace(1e-3, 1.0, N_ARMS)
    many, few, mixed = np.full(N_ARMS, 300.0), np.full(N_ARMS, 8.0), np.linspace(8.0, 900.0, N_ARMS)
    mask, p = np.ones(N_ARMS, np.int64), np.zeros(N_ARMS + 1)
    rest = (mask, propensity_work(N_ARMS), p)
    return [
        ("draw", median_us(draw_loop, 200_000)),
        ("student cdf", median_us(cdf_loop, 100_000)),
        ("student quantile", median_us(quantile_loop, 20_000)),
        ("propensities, equal scales, df 300", median_us(thompson_loop, 5_000, loc, equal, many, *rest)),
        ("propensities, equal scales, df 8", median_us(thompson_loop, 5_000, loc, equal, few, *rest)),
        ("propensities, equal scales, df 8 to 900", median_us(thompson_loop, 5_000, loc, equal, mixed, *rest)),
        ("propensities, scales 1 to 1000", median_us(thompson_loop, 5_000, loc, graded, mixed, *rest)),
        ("mix", median_us(mix_loop, 100_000, p, mask)),
        ("choose", median_us(choose_loop, 100_000, p)),
    ]


if __name__ == "__main__":
    for name, microseconds in propensity_rows() + posterior_rows():
        print(f"{name:44s}{microseconds:9.3f} us")
