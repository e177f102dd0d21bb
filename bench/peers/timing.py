"""What each engine's process shares: its arguments, the clock around its runs, and the line it answers with."""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable

from bench.peers.workload import CENTS, Workload, load_bars

# One run of an engine answers its final equity and the number of its orders.
Run = Callable[[Workload], tuple[float, int]]


def answer(engine: str, version: str, tasks: dict[str, Run], *, unit: float = CENTS) -> None:
    """Do the task that the command line names and print what it took. `unit` is what the engine's money counts in."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bars", required=True)
    parser.add_argument("--task", choices=sorted(tasks), required=True)
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    bars = load_bars(arguments.bars)
    seconds, cpu_seconds = [], []
    for _ in range(arguments.runs):
        wall, cpu = time.perf_counter(), time.process_time()
        end_equity, orders = tasks[arguments.task](bars)
        seconds.append(time.perf_counter() - wall)
        cpu_seconds.append(time.process_time() - cpu)
    said = {
        "engine": engine,
        "version": version,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "end_equity": end_equity / unit,
        "orders": orders,
        # Since the interpreter's start, imports included.
        "process_cpu_s": time.process_time(),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(said))
