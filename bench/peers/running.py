"""One engine in a process and an environment of its own: built once, asked for a task, answering in JSON."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers.workload import save_bars

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("vectorbt", "backtesting", "backtrader", "nautilus")
OURS = "tradedesk"
INSTALL_TIMEOUT_S, RUN_TIMEOUT_S = 900, 900


class Absent(Exception):
    """A peer that cannot run here, with the reason in words."""


@dataclass(frozen=True)
class Answer:
    """What an engine's process said about one task, and how long the whole process took."""

    engine: str
    version: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    end_equity: float
    orders: int
    max_rss_mb: float
    process_s: float
    process_cpu_s: float

    def to_json(self) -> dict[str, Any]:
        return self.__dict__ | {"seconds": list(self.seconds), "cpu_seconds": list(self.cpu_seconds)}


def var_folder() -> Path:
    folder = ROOT / os.environ.get("TRADEDESK_VAR", "var") / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def bars_file(n: int) -> Path:
    """The bars on disk, named by the code that makes them, so that every engine loads the same ones."""
    code = hashlib.sha256((ROOT / "bench/peers/workload.py").read_bytes()).hexdigest()[:12]
    path = var_folder() / f"bars-{n}-{code}.npy"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.npy")
        save_bars(n, part)
        part.rename(path)
    return path


def environment(name: str) -> Path:
    """The interpreter of a peer's throw-away environment, built if need be. Raises Absent with a reason."""
    requirements = ROOT / "bench" / f"requirements-{name}.txt"
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = var_folder() / f"{name}-{key}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    print(f"setting up {name} in an environment of its own", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)],
    ):
        _install(name, command)
    (folder / "ready").touch()
    return python


def interpreter(name: str) -> Path:
    """The project's own runs anywhere the bench does; in the bench's environment it starts a little slower."""
    try:
        return environment(name)
    except Absent as reason:
        if name != OURS:
            raise
        print(f"{reason}; running in the environment of the bench", file=sys.stderr)
        return Path(sys.executable)


def _install(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Absent(f"{name} could not be set up: {error}") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise Absent(f"{name} could not be set up: {said[-1] if said else command}")


def ask(name: str, task: str, n: int, *, runs: int = 1, timeout_s: float = RUN_TIMEOUT_S) -> Answer:
    """Let one engine do one task on n bars in a fresh process. Raises Absent when it is not to be had or fails."""
    python, bars = interpreter(name), bars_file(n)
    script = ROOT / "bench" / "peers" / f"run_{name}.py"
    command = [str(python), str(script), "--bars", str(bars), "--task", task, "--runs", str(runs)]
    # Its own working folder: nothing of the project is imported unless a script says so.
    start = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=var_folder(), capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Absent(f"{name} was stopped after {timeout_s:.0f} s") from error
    process_s = time.perf_counter() - start
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Absent(f"{name} failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return _answer(json.loads(done.stdout.splitlines()[-1]), process_s)


def _answer(said: dict[str, Any], process_s: float) -> Answer:
    named = ("engine", "version", "end_equity", "orders", "max_rss_mb", "process_cpu_s")
    times = {name: tuple(said[name]) for name in ("seconds", "cpu_seconds")}
    return Answer(**{name: said[name] for name in named}, **times, process_s=process_s)
