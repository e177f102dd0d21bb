"""How fast is the whole desk over a million bars, and where does the time go? `bench/desk.py [--bars N] [--json]`

Policies, features, two change point detectors, router with exact propensities, sizing, guards, fills, rehearsal and
ledger, one symbol on one core. Times are medians; what is per CPU second says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tradedesk.env import prepare_process  # noqa: E402 - the path comes first

prepare_process()

HORIZONS = (5, 15)
RUNS = 5


def speed_rows(n: int) -> list[dict[str, Any]]:
    """Bars a second of whole runs."""
    from bench.whole_desk.market import CALM, LIVELY, market_bars, run_desk, took

    rows = []
    for name, sigma, bars_n in (("calm", CALM, n), ("calm", CALM, n // 10), ("lively", LIVELY, n // 10)):
        bars = market_bars(bars_n, sigma=sigma)
        for horizon in HORIZONS:
            seconds = took(lambda b=bars, h=horizon: run_desk(b, h), RUNS if bars_n < n else 3)
            decisions = run_desk(bars, horizon).decisions
            rows.append(
                {
                    "market": name, "bars": bars_n, "horizon": horizon, "decisions": len(decisions),
                    "fills": int((decisions["filled_lots"] > 0).sum()),
                    "bars_per_s": bars_n / seconds.wall, "bars_per_cpu_s": bars_n / seconds.cpu,
                }
            )  # fmt: skip
    return rows


def threads_ratio(n: int) -> float:
    """How much more two threads do at once than one, each with a desk of its own."""
    from bench.whole_desk.market import market_bars, run_desk, took

    bars = market_bars(n)

    def both() -> None:
        threads = [threading.Thread(target=run_desk, args=(bars, 5)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return 2.0 * took(lambda: run_desk(bars, 5), RUNS).wall / took(both, RUNS).wall


def child(what: str, n: int, python: str = sys.executable) -> dict[str, float]:
    """The same script in a process of its own, for what a process can measure only once."""
    # Byte code is kept, as it is unless somebody forbids it: else each start would compile numba's own sources.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    answer = subprocess.run(
        [python, str(Path(__file__)), "--child", what, "--bars", str(n)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(answer.stdout))


def warm_start(n: int) -> dict[str, float]:
    """The median start of several, after one that fills the caches, with what the desk needs and no test library."""
    from bench.peers.running import OURS, interpreter

    python = str(interpreter(OURS))
    starts = [child("start", n, python) for _ in range(RUNS + 1)][1:]
    return {name: median(start[name] for start in starts) for name in starts[0]}


def child_main(what: str, n: int) -> dict[str, float]:
    """start: import and first run, kernels being in the cache. memory: the most this process ever held."""
    start = time.perf_counter()
    from bench.whole_desk.market import market_bars, run_desk

    imported = time.perf_counter()
    bars = market_bars(n)
    made = time.perf_counter()
    run_desk(bars, 5)
    done = time.perf_counter()
    return {
        "import_s": imported - start,
        "first_run_s": done - made,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def against_nautilus(n: int) -> dict[str, Any]:
    """The desk on the bars that nautilus_trader runs a bare SMA over; a reason where it is absent."""
    try:
        from bench.whole_desk.peer import ratio
    except ImportError as error:
        return {"skipped": f"the peers' bench is absent ({error})"}
    return ratio(n)


def measure(n: int) -> dict[str, Any]:
    from bench.whole_desk import detector
    from bench.whole_desk.live import live_step
    from bench.whole_desk.market import market_bars
    from bench.whole_desk.parts import parts

    return {
        "speed": speed_rows(n),
        "parts": {str(horizon): parts(market_bars(n // 5), horizon) for horizon in HORIZONS},
        "threads_ratio": threads_ratio(n // 5),
        "start": warm_start(2_000),
        "memory": child("memory", n),
        "detector": detector.rows(),
        "live": live_step(market_bars(8_000), 5),
        "nautilus": against_nautilus(n // 10),
        "load": os.getloadavg()[0],
    }


def show(found: dict[str, Any]) -> None:
    for row in found["speed"]:
        print(
            f"{row['market']:<7}{row['bars']:>9,} bars, H = {row['horizon']:<3}{row['bars_per_s']:>11,.0f} bars/s"
            f"{row['bars_per_cpu_s']:>11,.0f} per CPU s{row['fills']:>8,} fills in {row['decisions']:,} decisions"
        )
    for horizon, rows in found["parts"].items():
        print(f"us of CPU a decision, H = {horizon}")
        for name, us in rows:
            print(f"  {name:<54}{us:8.2f}")
    print(f"two threads against one     {found['threads_ratio']:8.2f} x")
    start, memory, live = found["start"], found["memory"], found["live"]
    print(
        f"warm start: import          {start['import_s']:8.2f} s, first run of 2,000 bars {start['first_run_s']:.2f} s"
    )
    print(f"most memory, whole run      {memory['peak_mb']:8.0f} MB")
    print(f"live step, kernels          {live['kernels_us']:8.1f} us")
    print(f"  called from Python        {live['called_us']:8.1f} us, dressed in values {live['dressed_us']:.0f} us")
    detector = found["detector"]
    print(
        f"detector, changing series   {detector['changing_per_s']:8,.0f} obs/s, error {detector['changing_error']:.1e}"
    )
    print(
        f"detector, stationary series {detector['stationary_per_s']:8,.0f} obs/s, error of P(L <= 10)"
        f" {detector['stationary_recent_error']:.1e}, of E[L] {detector['stationary_age_error']:.1e} of it"
    )
    print(
        f"  the same, {detector['fine_runs']:,} runs      {detector['fine_per_s']:8,.0f} obs/s, error of P(L <= 10)"
        f" {detector['fine_recent_error']:.1e}, of E[L] {detector['fine_age_error']:.1e} of it"
    )
    print(f"nautilus_trader: {found['nautilus']}")
    print(f"load at the end: {found['load']:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--child", choices=("start", "memory"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child_main(arguments.child, arguments.bars)))
        return
    found = measure(arguments.bars)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
