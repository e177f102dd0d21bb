"""tradedesk's side: one policy alone over the bars, and the sweep."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tradedesk.env import prepare_process

prepare_process()

import numba  # noqa: E402 - the kernel cache must be named before numba is imported

from apps.engine.policies.files import load_policy_file  # noqa: E402
from apps.engine.single import single_run  # noqa: E402
from bench.peers.timing import answer  # noqa: E402
from bench.peers.workload import CASH_CENTS, FAST, FEE_BPS, SLOW, SWEEP_PAIRS, Workload  # noqa: E402

SMA_CROSS = str(Path(__file__).resolve().parents[2] / "examples" / "policies" / "sma_cross.py")


def single(bars: Workload) -> tuple[float, int]:
    """The whole product of a run: equity curve, order log, fees and drawdown."""
    policy = load_policy_file(SMA_CROSS)[0]
    values = {"fast": FAST, "slow": SLOW}
    result = single_run(policy, values, tuple(bars), fee_bps=FEE_BPS, cash=CASH_CENTS, unit=1.0)
    return result.end_equity, result.orders.n


def sweep(bars: Workload, threads: int = 1) -> tuple[float, int]:
    """Sum of the final equities and of the orders of all pairs."""
    from apps.engine.sweep import sma_sweep

    def part(at: int) -> tuple[float, int]:
        result = sma_sweep(SWEEP_PAIRS[at::threads], tuple(bars), fee_bps=FEE_BPS, cash=CASH_CENTS, unit=1.0)
        return float(result.end_equity.sum()), int(result.orders.sum())

    if threads == 1:
        return part(0)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(part, range(threads)))
    return sum(equity for equity, _ in parts), sum(orders for _, orders in parts)


def sweep_any(bars: Workload) -> tuple[float, int]:
    """The same grid through the door that takes any policy."""
    from apps.engine.sweep import sweep_run

    policy = load_policy_file(SMA_CROSS)[0]
    grid = [{"fast": fast, "slow": slow} for fast, slow in SWEEP_PAIRS]
    result = sweep_run(policy, grid, tuple(bars), fee_bps=FEE_BPS, cash=CASH_CENTS, unit=1.0)
    return float(result.end_equity.sum()), int(result.orders.sum())


if __name__ == "__main__":
    tasks = {"single": single, "sweep": sweep, "sweep2": lambda bars: sweep(bars, 2), "sweep_any": sweep_any}
    answer("tradedesk", f"numba {numba.__version__}", tasks)
