"""Is the desk well? Every app answers for what it owns; all are asked at once, none may take long.

Asked at most once a second, each in a thread of its own, so a hanging dependency costs one second and one thread. What
raises or does not answer is down. The desk is down when a critical part is, and degraded when any other is not well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

from django.conf import settings
from django.db import connections

OK, DEGRADED, DOWN, UNKNOWN = "ok", "degraded", "down", "unknown"
STATES = (OK, DEGRADED, DOWN)
TIMEOUT_S = 0.5
CACHE_S = 1.0
STARTED = time.monotonic()
# Parts of the contract that report even where no app answers for them yet.
EXPECTED = ("db", "ws", "router", "exec", "ohlcv", "channel_layer", "audit")
Probe = Callable[[], Mapping[str, Any]]
_log = logging.getLogger(__name__)


class Board:
    """Named probes, asked together."""

    def __init__(
        self, *, expected: tuple[str, ...] = (), timeout_s: float = TIMEOUT_S, cache_s: float = CACHE_S
    ) -> None:
        self._expected = expected
        self._timeout_s = timeout_s
        self._cache_s = cache_s
        self._probes: dict[str, tuple[Probe, bool]] = {}
        self._running: dict[str, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._cached: tuple[float, dict[str, dict[str, Any]]] | None = None

    def register(self, name: str, probe: Probe, *, critical: bool = False) -> None:
        """Answer for a part. Raises ValueError when the name is taken."""
        if name in self._probes:
            raise ValueError(f"health probe {name!r} is registered twice")
        self._probes[name] = (probe, critical)

    def unregister(self, name: str) -> None:
        """Stop answering for a part, and forget what was answered."""
        with self._lock:
            self._probes.pop(name, None)
            self._running.pop(name, None)
            self._cached = None

    def parts(self) -> dict[str, dict[str, Any]]:
        """What each part answers, with its status. At most a second old."""
        with self._lock:
            if self._cached is None or time.monotonic() - self._cached[0] >= self._cache_s:
                answers = self._ask_all()
                self._cached = (time.monotonic(), answers)
            return self._cached[1]

    def overall(self, parts: Mapping[str, Mapping[str, Any]]) -> str:
        """The worst of the critical parts; what is not critical can only degrade."""
        states = {name: part["status"] for name, part in parts.items()}
        if any(states.get(name) == DOWN for name, (_, critical) in self._probes.items() if critical):
            return DOWN
        return DEGRADED if any(state in {DOWN, DEGRADED} for state in states.values()) else OK

    def _ask_all(self) -> dict[str, dict[str, Any]]:
        for name, (probe, _) in self._probes.items():
            if name not in self._running:
                self._running[name] = _start(name, probe)
        asked = dict(self._running)
        done, _ = wait(asked.values(), timeout=self._timeout_s)
        answers: dict[str, dict[str, Any]] = {name: {"status": UNKNOWN} for name in self._expected}
        for name, future in asked.items():
            if future in done:
                del self._running[name]
                answers[name] = future.result()
            else:
                answers[name] = {"status": DOWN, "error": f"no answer within {self._timeout_s:g} s"}
        return answers


def _start(name: str, probe: Probe) -> Future[dict[str, Any]]:
    future: Future[dict[str, Any]] = Future()

    def run() -> None:
        try:
            future.set_result(_answer(name, probe))
        finally:
            connections.close_all()

    threading.Thread(target=run, name=f"health-{name}", daemon=True).start()
    return future


def _answer(name: str, probe: Probe) -> dict[str, Any]:
    try:
        answer = dict(probe())
        status = answer.setdefault("status", OK)
        if status not in STATES:
            raise ValueError(f"a probe's status must be one of {', '.join(STATES)}, not {status!r}")
    except Exception as error:
        _log.warning("health probe %s failed", name, exc_info=True)
        return {"status": DOWN, "error": f"{type(error).__name__}: {error}"[:200]}
    return answer


BOARD = Board(expected=EXPECTED)
READINESS = Board()


def register(name: str, probe: Probe, *, critical: bool = False) -> None:
    """Answer for a part in /api/health: snake_case values, and "status" when not "ok"."""
    BOARD.register(name, probe, critical=critical)


def register_ready(name: str, check: Probe) -> None:
    """Add a condition of /readyz: not ready while it raises or its status is "down"."""
    READINESS.register(name, check, critical=True)


def report() -> dict[str, Any]:
    """The whole answer of /api/health."""
    parts = BOARD.parts()
    uptime_seconds = round(time.monotonic() - STARTED, 3)
    return {"status": BOARD.overall(parts), **parts, "version": settings.VERSION, "uptime_seconds": uptime_seconds}


def readiness() -> dict[str, Any]:
    """The whole answer of /readyz."""
    checks = READINESS.parts()
    return {"ready": READINESS.overall(checks) != DOWN, "checks": checks}
