"""How does the desk start and stop its simulated exchange?"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import IO

from apps.engine.errors import Unavailable

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_ROOT = Path(__file__).resolve().parents[4]
_KEPT_LINES = 50
log = logging.getLogger(__name__)


class ExchangeProcess:
    """A running simulated exchange. Use as a context manager or call `stop()`."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, object], errors: deque[str]) -> None:
        self.process = process
        self.rest_url = str(ready["restUrl"])
        self.ws_url = str(ready["wsUrl"])
        self.port = int(str(ready["port"]))
        self._errors = errors

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def errors(self) -> str:
        """The last lines the exchange wrote to standard error."""
        return "\n".join(self._errors)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask it to end, insist after the timeout, and return its exit code. May be called twice."""
        if self.is_alive:
            self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __enter__(self) -> ExchangeProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def start_exchange(
    *,
    port: int = 0,
    seed: int = 7,
    symbols: Sequence[str] = (),
    from_file: Path | str | None = None,
    symbol: str | None = None,
    speed: float | None = None,
    history: int | None = None,
    wait_for_client: bool | None = None,
    offset_ms: int = 0,
    faults: str | None = None,
    timeout_s: float = READY_TIMEOUT_S,
) -> ExchangeProcess:
    """Start the exchange as a child that dies with this process, and wait until it listens.

    Raises Unavailable with the child's own words when it does not come up in time.
    """
    arguments = ["--port", str(port), "--seed", str(seed), "--parent-pid", str(os.getpid())]
    optional = {"--from": from_file, "--symbol": symbol, "--speed": speed, "--history": history, "--faults": faults}
    for name, value in optional.items():
        arguments += [] if value is None else [name, str(value)]
    arguments += ["--symbols", ",".join(symbols)] if symbols else []
    arguments += ["--offset-ms", str(offset_ms)] if offset_ms else []
    if wait_for_client is not None:
        arguments.append("--wait-for-client" if wait_for_client else "--no-wait-for-client")
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.marketdata.exchange.simulated", *arguments],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return _when_ready(process, timeout_s)


def _when_ready(process: subprocess.Popen[str], timeout_s: float) -> ExchangeProcess:
    lines: Queue[str | None] = Queue()
    errors: deque[str] = deque(maxlen=_KEPT_LINES)
    readers = [
        threading.Thread(target=_read, args=(process.stderr, errors.append, logging.WARNING), daemon=True),
        threading.Thread(target=_read_ready, args=(process.stdout, lines), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        first = lines.get(timeout=timeout_s)
    except Empty:
        first = None
    if first is not None:
        return ExchangeProcess(process, json.loads(first), errors)
    process.kill()
    process.wait()
    readers[0].join(timeout=1.0)
    words = "\n".join(errors) or f"no word within {timeout_s:g} s"
    raise Unavailable(f"the simulated exchange did not start: {words}")


def _read_ready(stream: IO[str], lines: Queue[str | None]) -> None:
    """Hand over the first line (None when there is none), then log the rest."""
    first = stream.readline()
    lines.put(first or None)
    _read(stream, lambda line: None, logging.INFO)


def _read(stream: IO[str], keep: Callable[[str], object], level: int) -> None:
    """Drain a pipe so that the child never blocks on it."""
    with stream:
        for line in stream:
            keep(line.rstrip())
            log.log(level, "%s", line.rstrip())
