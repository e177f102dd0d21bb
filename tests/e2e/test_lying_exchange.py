"""The whole desk on an exchange that lies, stalls and drops: it lives, trades on, and stores nothing untrue."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from apps.marketdata.exchange.simulated.process import start_exchange
from apps.marketdata.klines_file import read_klines
from tests.e2e.desk_process import DeskProcess, manage, prepared_var

FILE = "klines/1m/BTCUSDT-1m-2021-04-15_2021-05-31.csv.gz"
FAULTS = "wrong-bar:0.1,missing-bar:0.02,reset:0.03,stall:0.01:2s,duplicate,reorder,lose,garbage:0.002,slice"
N_LIVE = 250


def stored_bars(var: Path) -> dict[int, tuple[int, ...]]:
    with sqlite3.connect(var / "tradedesk.sqlite3") as database:
        rows = database.execute(
            "SELECT open_time_ms, open_e8, high_e8, low_e8, close_e8, volume_e8 FROM marketdata_bar"
        ).fetchall()
    return {row[0]: row for row in rows}


@pytest.mark.soak
def test_an_exchange_that_lies_is_seen_through(
    recorded_data: Path, compiled: None, db_template: Path, tmp_path: Path
) -> None:
    """One closing frame in ten is spoiled (close +10 %, prices x10, high and low exchanged); REST tells the truth."""
    file = recorded_data / FILE
    exchange = start_exchange(from_file=file, symbol="BTCUSDT", speed=0, history=500, faults=FAULTS)
    var = prepared_var(tmp_path / "var", db_template)
    where = {"EXCHANGE_REST_URL": exchange.rest_url, "EXCHANGE_WS_URL": exchange.ws_url, "SYMBOLS": "BTCUSDT"}
    desk = DeskProcess(var, **where, MAX_NOTIONAL="600000", SYMBOL_NOTIONAL_CAP="600000")
    try:
        desk.wait_for_line("autopilot: running")
        before, deadline = len(stored_bars(var)), time.monotonic() + 300
        while len(stored_bars(var)) < before + N_LIVE and time.monotonic() < deadline:
            assert desk.process.poll() is None, "\n".join(desk.lines[-20:])
            time.sleep(0.5)
        stats = desk.get("/api/data-quality/stats")[1]
    finally:
        code = desk.stop()
        exchange.stop()
    told = stored_bars(var)
    truth = read_klines(file, symbol="BTCUSDT", interval="1m", now_ms=2_000_000_000_000).bars
    known = {int(row[0]): tuple(int(value) for value in row[:6]) for row in zip(*truth, strict=True)}
    print(f"{len(told) - before} live bars; {stats}")
    assert code == 0 and len(told) >= before + N_LIVE
    assert [opened for opened, row in told.items() if row != known[opened]] == [], "a lie was stored"
    assert stats["quarantined"] >= N_LIVE // 40 and stats["replaced"] >= N_LIVE // 80
    gaps = manage(var, "gaps", "--symbol", "BTCUSDT", "--json", **where)
    assert gaps.returncode in (0, 3)
    report = manage(var, "desk_report", **where)
    assert report.returncode == 0, report.stdout[-2_000:] + report.stderr[-2_000:]
