"""The other side of `policy_worker`: a policy that answers from a process which holds nothing but what it was sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any

import numpy as np
from django.conf import settings

from apps.engine.errors import InvalidInput, UnknownName
from apps.engine.policies import arms
from apps.engine.single import Columns
from apps.engine.values import Array1d
from apps.research.validation.policy_worker import BATCH, END, FLOAT_BYTES, STREAM

WORKER = "apps.research.validation.policy_worker"
ANSWER_SECONDS = 600


@dataclass(frozen=True)
class PolicySource:
    """A policy by its id, with the files it may come from and the values of its parameters."""

    policy_id: str
    files: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)


class PolicyHost:
    """The process that lives are forked from: it holds the engine and no market. Made once for many policies."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        environment = {name: value for name, value in os.environ.items() if name != "POLICY_PATHS"}
        self._worker = subprocess.Popen(
            [sys.executable, "-m", WORKER], cwd=settings.BASE_DIR, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> PolicyHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._log.close()

    def end(self) -> None:
        """End the worker and its life, whatever they are doing."""
        if self._worker.poll() is None:
            os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.communicate()

    def sources(self, named: str, values: Mapping[str, float] | None = None) -> list[PolicySource]:
        """One registered policy, all of them (`all`), or those of a file. Raises InvalidInput, UnknownName."""
        given = dict(values or {})
        if named.endswith(".py"):
            path = Path(named).resolve()
            if not path.is_file():
                raise InvalidInput(f"{path} is not a file", field="policy")
            files = (str(path),)
            with PolicyProcess(self, PolicySource("", files)) as process:
                return [PolicySource(one, files, given) for one in process.start["policies"]]
        own = tuple(str((Path(settings.BASE_DIR) / name).resolve()) for name in settings.POLICY_PATHS)
        names = [policy.policy_id for policy in arms()]
        if named != "all" and named not in names:
            raise UnknownName(f"unknown policy {named!r}; known: {', '.join(names)}, or a file", field="policy")
        return [PolicySource(one, own, given) for one in (names if named == "all" else [named])]

    def send(self, raw: bytes) -> None:
        assert self._worker.stdin is not None
        try:
            self._worker.stdin.write(raw)
            self._worker.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def read(self, size: int) -> bytes:
        assert self._worker.stdout is not None
        raw = self._worker.stdout.read(size)
        if len(raw) != size:
            raise self._ended()
        return raw

    def line(self) -> dict[str, Any]:
        assert self._worker.stdout is not None
        line = self._worker.stdout.readline()
        if not line:
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self) -> InvalidInput:
        status = self._worker.wait()
        self._log.seek(0)
        last = (self._log.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        return InvalidInput(f"the policy ended its process ({status}): {last}", field="policy")


class PolicyProcess:
    """One life of a policy. Raises InvalidInput when it cannot be loaded or ends its process."""

    def __init__(self, host: PolicyHost, source: PolicySource, *, is_closed: bool = False) -> None:
        self._host = host
        # A policy that never answers must not hold the check for ever.
        self._timer = Timer(ANSWER_SECONDS, host.end)
        self._timer.daemon = True
        self._timer.start()
        self.fault, self._is_waiting = "", False
        asked = {"files": source.files, "policy_id": source.policy_id, "values": dict(source.values)}
        try:
            host.send(json.dumps({**asked, "is_closed": is_closed}).encode() + b"\n")
            self.start = host.line()
            self.opened: dict[str, int] = self.start.get("opened", {})
            if "error" in self.start:
                raise InvalidInput(self.start["error"], field=self.start["field"])
        except BaseException:
            self._timer.cancel()
            raise
        self._is_waiting = bool(source.policy_id)

    def __enter__(self) -> PolicyProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the life. One that was left in the middle of a run has no use any more, nor has its host."""
        self._timer.cancel()
        if self._is_waiting:
            self._host.send(json.dumps({"do": END}).encode() + b"\n")
            self._host.line()
        elif self.start.get("policies") is None:
            self._host.end()

    @property
    def warm_up(self) -> int:
        """Bars the policy declares it needs under these values."""
        return int(self.start["warm_up"])

    def stream(self, columns: Columns) -> Array1d:
        """The signal after each bar; a bar is sent when the signal of the one before it is here."""
        table = np.ascontiguousarray(np.stack(columns, axis=1))
        self._ask(STREAM, table.shape[0])
        out = np.full(table.shape[0], np.nan)
        for t, row in enumerate(table):
            self._host.send(row.tobytes())
            out[t] = np.frombuffer(self._host.read(FLOAT_BYTES), np.float64)[0]
        self._finish()
        return out

    def batch(self, columns: Columns) -> Array1d:
        """The signals of a run that has all bars before it begins."""
        n = int(columns[0].shape[0])
        self._ask(BATCH, n)
        self._host.send(np.ascontiguousarray(np.stack(columns, axis=1)).tobytes())
        out = np.frombuffer(self._host.read(n * FLOAT_BYTES), np.float64).copy()
        self._finish()
        return out

    def _ask(self, what: str, n: int) -> None:
        self._is_waiting = False
        self._host.send(json.dumps({"do": what, "n": n}).encode() + b"\n")

    def _finish(self) -> None:
        told = self._host.line()
        self._is_waiting = True
        self.opened, self.fault = told["opened"], told["fault"]
