"""How long do the observing kernels take? Medians of seven runs: `python bench/observe_kernels.py`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tradedesk.env import prepare_process  # noqa: E402 - the path comes first

prepare_process()

import numpy as np  # noqa: E402 - the kernel cache must be named before numba is imported
from numba import njit  # noqa: E402

from apps.engine.bocpd import J_COUNT, bocpd_batch_nb, bocpd_state  # noqa: E402
from apps.engine.features import (  # noqa: E402
    N_FEATURES,
    context_nb,
    features_batch_nb,
    features_sample_nb,
    features_state,
    horizon_return_nb,
    realized_vol_nb,
)
from apps.engine.policies import arms  # noqa: E402
from apps.engine.policies.driver import policy_batch_nb  # noqa: E402
from apps.engine.regime import regime_batch_nb, regime_state  # noqa: E402
from tests.engine.series import market  # noqa: E402

N = 200_000
RUNS = 7


def median_ns(run: Callable[[], object], n: int) -> float:
    """Median time of one of the n steps that `run` takes, after one run that compiles."""
    run()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e9 * statistics.median(times) / n


@njit(error_model="numpy", nogil=True)
def decide_features_nb(f: np.ndarray, i: np.ndarray, x: np.ndarray, n: int) -> float:
    """What a decision asks of the features, n times."""
    total = 0.0
    for _ in range(n):
        context_nb(f, i, 10.0, x)
        total += realized_vol_nb(f, i) + horizon_return_nb(f, i)
        features_sample_nb(f, i)
    return total


def main() -> None:
    columns = market(N)
    out = np.empty(N)
    for policy in arms():
        params, state = policy.init(policy.defaults())
        ns = median_ns(lambda p=policy, a=params, s=state: policy_batch_nb(p.update_nb, a, s, *columns, out), N)
        print(f"policy {policy.policy_id:<24} {ns:8.1f} ns a bar")
        ns = median_ns(
            lambda p=policy, a=params, s=state: [p.update_nb(a, s, 1.0, 1.0, 1.0, 1.0, 1.0) for _ in range(1_000)],
            1_000,
        )
        print(f"policy {policy.policy_id + ', live call':<24} {ns:8.1f} ns a bar")
    for horizon in (5, 60):
        f, i = features_state(horizon)
        ns = median_ns(lambda f=f, i=i: features_batch_nb(f, i, *columns), N)
        print(f"features, H = {horizon:<17} {ns:8.1f} ns a bar")
        ns = median_ns(lambda f=f, i=i: decide_features_nb(f, i, np.zeros(N_FEATURES), 20_000), 20_000)
        print(f"context, H = {horizon:<18} {ns / 1e3:8.2f} us a decision")
    rng = np.random.default_rng(1)
    n = 20_000
    steps, scales = np.repeat(rng.standard_normal(n // 250), 250), np.repeat(rng.choice([0.5, 1, 2], n // 250), 250)
    for name, x in {
        "changes every 250": np.clip(steps + scales * rng.standard_normal(n), -3, 3),
        "no change": rng.standard_normal(n),
    }.items():
        recent, mode, runs = np.empty(n), np.empty(n, np.int64), []

        def detect(x: np.ndarray = x, recent: np.ndarray = recent, mode: np.ndarray = mode, runs: list = runs) -> None:
            f, i = bocpd_state()
            bocpd_batch_nb(f, i, x, recent, mode)
            runs.append(int(i[J_COUNT]))

        ns = median_ns(detect, n)
        print(f"bocpd, {name:<24} {ns / 1e3:8.2f} us an observation, {runs[-1]} runs at the end")
    vol, move = np.exp(0.3 * rng.standard_normal(n)) * np.exp(0.5 * steps), rng.standard_normal(n)
    alarms, labels = np.zeros(n, np.int64), np.zeros(n, np.int64)

    def regime() -> None:
        f, i = regime_state(5)
        regime_batch_nb(f, i, vol, move, np.ones(n), np.ones(n, np.int64), alarms, labels)

    print(f"regime, two detectors, H = 5  {median_ns(regime, n) / 1e3:9.2f} us a decision")


if __name__ == "__main__":
    main()
