"""The exchange as a process: one ready line, the same market after a restart, an end with its parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import aiohttp
import orjson
import pytest

from apps.engine.errors import Unavailable
from apps.marketdata.exchange.simulated.faults import KINDS
from apps.marketdata.exchange.simulated.process import start_exchange
from apps.marketdata.exchange.simulated.run import main
from apps.marketdata.management.commands.simexchange import Command

ROOT = Path(__file__).resolve().parents[3]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
STREAMS = "btcusdt@kline_1m/btcusdt@aggTrade/btcusdt@depth20@100ms/ethusdt@depth@100ms/ethusdt@bookTicker"
MODULE = [sys.executable, "-m", "apps.marketdata.exchange.simulated"]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def test_a_restart_serves_what_was_streamed() -> None:
    """Real clock: the closing frame arrives promptly, and after a restart REST tells the same minute."""
    offset_ms = 60_000 - int(time.time() * 1000) % 60_000 - 2_500
    with start_exchange(seed=11, symbols=("BTCUSDT", "SOLUSDT"), offset_ms=offset_ms) as exchange:
        async with aiohttp.ClientSession() as session:
            ws = await session.ws_connect(exchange.ws_url + "/ws/solusdt@kline_1m")
            while not (frame := orjson.loads((await ws.receive(timeout=5)).data))["k"]["x"]:
                assert frame["e"] == "kline"
            late_ms = time.time() * 1000 + offset_ms - (frame["k"]["T"] + 1)
    assert exchange.process.returncode == 0 and 0 <= late_ms < 200
    with start_exchange(seed=11, symbols=("SOLUSDT",), offset_ms=offset_ms) as exchange:
        async with aiohttp.ClientSession() as session:
            query = f"klines?symbol=SOLUSDT&interval=1m&startTime={frame['k']['t']}&limit=1"
            response = await session.get(f"{exchange.rest_url}/api/v3/{query}")
            row = (await response.json())[0]
    assert row[:11] == [frame["k"][name] for name in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")]


def test_it_dies_with_its_parent() -> None:
    """Killed without a chance to clean up, the parent still takes the exchange with it."""
    code = (
        "import sys, time; from apps.marketdata.exchange.simulated.process import start_exchange; "
        "exchange = start_exchange(); print(exchange.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    deadline = time.monotonic() + 3.0
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def test_it_outlives_the_thread_that_started_it() -> None:
    started = []
    thread = Thread(target=lambda: started.append(start_exchange()))
    thread.start()
    thread.join()
    with started[0] as exchange:
        time.sleep(0.3)
        assert exchange.is_alive
    assert exchange.process.returncode == 0


def test_a_busy_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([*MODULE, "--port", str(port)], cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr == f"simexchange: cannot listen on 127.0.0.1:{port}: Address already in use\n"
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            start_exchange(port=port)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--port", "70000"], "--port"),
        (["--symbols", "BTC/USDT"], "--symbols"),
        (["--speed", "5"], "--speed"),
        (["--from", "/no/such/file.csv"], "--from"),
        (["--seed", "x"], "--seed"),
        (["--faults", "reset:0.01,flood"], "--faults: unknown fault 'flood'"),
    ],
)
def test_a_bad_argument_is_named(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and f"argument {named}" in capsys.readouterr().err


def test_a_bad_file_and_a_short_one_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text("open_time,open,high,low,close,volume\n1600000020000,1,1,1,1,1\n1600000080000,1,1,1,1,1\n")
    for extra, named in (([], "--history: the file holds 2 bars"), (["--symbol", "a b"], "argument --symbol")):
        with pytest.raises(SystemExit) as ended:
            main(["--from", str(path), *extra])
        assert ended.value.code == 2 and named in capsys.readouterr().err
    path.write_text("open_time,open\n")
    with pytest.raises(SystemExit):
        main(["--from", str(path)])
    assert "argument --from" in capsys.readouterr().err


def test_the_command_has_the_same_options() -> None:
    shown = Command().create_parser("manage.py", "simexchange").format_help()
    for option in (
        "--port",
        "--seed",
        "--symbols",
        "--from",
        "--speed",
        "--history",
        "--wait-for-client",
        "(default: 7)",
        *KINDS,
    ):
        assert option in shown


async def test_an_exchange_full_of_faults_stays_up_and_says_nothing_wrong() -> None:
    """Every fault, some far more often than by default, while clients come and go."""
    with start_exchange(symbols=SYMBOLS, faults="all,reset:0.3,huge:0.3,half-open:0.2,slice:0.3,life:1s") as exchange:
        until, n_frames, n_connections = time.monotonic() + 2.5, 0, 0
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < until:
                n_connections += 1
                async with session.ws_connect(f"{exchange.ws_url}/stream?streams={STREAMS}") as ws:
                    with suppress(TimeoutError):
                        while (await ws.receive(timeout=0.25)).type is aiohttp.WSMsgType.TEXT:
                            n_frames += 1
        assert exchange.is_alive and exchange.errors == ""
    assert n_frames > 5 and n_connections > 1


def test_the_command_serves_until_a_signal(tmp_path: Path) -> None:
    environment = {**os.environ, "TRADEDESK_VAR": str(tmp_path)}
    command = [sys.executable, "manage.py", "simexchange", "--symbols", "BTCUSDT"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as child:
        ready = json.loads(child.stdout.readline())
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 0
    assert ready["ready"] is True and ready["restUrl"] == f"http://127.0.0.1:{ready['port']}"
    assert ready["wsUrl"] == f"ws://127.0.0.1:{ready['port']}"
