"""The real desk as a process of its own: started by its command, asked over HTTP, ended or killed."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0


class DeskProcess:
    """`manage.py rundesk` on a var folder of its own. Standard output and error are kept as lines."""

    def __init__(self, var: Path, *arguments: str, port: int | None = None, **settings: str) -> None:
        self.var = var
        self.port = free_port() if port is None else port
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "rundesk", "--port", str(self.port), *arguments],
            cwd=ROOT,
            env=environment(var, **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip())

    def wait_for_line(self, word: str) -> None:
        """Until the desk has said it. Raises with its words when it ends before."""
        wait_until(lambda: any(word in line for line in self.lines) or self.process.poll() is not None)
        assert any(word in line for line in self.lines), "\n".join(self.lines)

    def wait_until_trading(self) -> None:
        self.wait_for_line("autopilot: running")
        wait_until(lambda: self.get("/readyz")[0] == 200)
        wait_until(lambda: self.get("/api/ws/status")[1].get("stale") is False)

    def get(self, path: str) -> tuple[int, Any]:
        return self.request("GET", path)

    def post(self, path: str, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
        return self.request("POST", path, body, **headers)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and the JSON or text of the answer. Raises OSError when the desk is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, sent, {"Content-Type": "application/json", **named})
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = "json" in (answer.getheader("Content-Type") or "")
            return answer.status, json.loads(text) if is_json else text
        finally:
            connection.close()

    def is_gone(self, within_s: float) -> bool:
        """Whether the process has ended, or does so shortly."""
        deadline = time.monotonic() + within_s
        while is_running(self.process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        return not is_running(self.process.pid)

    def children(self) -> list[int]:
        """Process ids of the children, on Linux."""
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(word) for word in found.stdout.split()]

    def kill(self) -> None:
        """kill -9; returns once it and its children are gone."""
        children = self.children()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        wait_until(lambda: not any(is_running(pid) for pid in children), timeout_s=10)
        self._reader.join(5)

    def stop(self, timeout_s: float = 20.0) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(timeout_s)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        return code


def environment(var: Path, **settings: str) -> dict[str, str]:
    """What the process is told: its var folder, a short history, and the kernels that the tests compiled."""
    given = {"TRADEDESK_VAR": str(var), "HISTORY_BARS": "400", "LOG_LEVEL": "WARNING"}
    return {**os.environ, **given, **settings}


def prepared_var(folder: Path, template: Path) -> Path:
    """A var folder with a migrated database."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, folder / "tradedesk.sqlite3")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def manage(var: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """One management command on a var folder."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(var, **settings),
        capture_output=True,
        text=True,
        timeout=120,
    )


def wait_until(is_done: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
