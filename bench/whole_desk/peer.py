"""The desk and nautilus_trader on the same bars: ours decides with everything it has, the peer runs a bare SMA."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.engine.values import Bars
from bench.peers.running import Absent, ask, bars_file
from bench.peers.workload import CENTS, Workload, load_bars
from bench.whole_desk.market import run_desk, took
from tests.support.bars import MINUTE_MS, START_MS

E8 = 100_000_000


def engine_bars(bars: Workload) -> Bars:
    """The peers' bars as the engine holds them; their prices are whole cents."""
    n = bars.close.shape[0]
    prices = [np.rint(column).astype(np.int64) * (E8 // CENTS) for column in bars[:4]]
    volume = np.rint(bars.volume).astype(np.int64) * E8
    return Bars(START_MS + np.arange(n) * MINUTE_MS, *prices, volume, np.ones(n, np.int64))


def ratio(n: int) -> dict[str, Any]:
    """Bars a second of both on n bars, and how much faster the desk is; a reason where the peer cannot run."""
    bars = engine_bars(load_bars(str(bars_file(n))))
    own = {horizon: took(lambda h=horizon: run_desk(bars, h), 3) for horizon in (5, 15)}
    try:
        peer = ask("nautilus", "single", n)
    except Absent as reason:
        return {"skipped": str(reason)}
    return {
        "version": peer.version,
        "bars": n,
        "peer_bars_per_s": n / min(peer.seconds),
        "ratio_wall": {str(h): min(peer.seconds) / seconds.wall for h, seconds in own.items()},
        "ratio_cpu": {str(h): min(peer.cpu_seconds) / seconds.cpu for h, seconds in own.items()},
    }
