"""The other side of `policy_worker`: a policy that answers from a process which holds nothing but what it was sent."""

from __future__ import annotations

import json
import os
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
from apps.research.policy_worker import BATCH, FLOAT_BYTES, STREAM

WORKER = "apps.research.policy_worker"
ANSWER_SECONDS = 600


@dataclass(frozen=True)
class PolicySource:
    """A policy by its id, with the files it may come from and the values of its parameters."""

    policy_id: str
    files: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)


def policy_sources(named: str, values: Mapping[str, float] | None = None) -> list[PolicySource]:
    """One registered policy, all of them (`all`), or those of a file. Raises InvalidInput, UnknownName."""
    given = dict(values or {})
    if named.endswith(".py"):
        path = Path(named).resolve()
        if not path.is_file():
            raise InvalidInput(f"{path} is not a file", field="policy")
        files = (str(path),)
        return [PolicySource(one, files, given) for one in _ids_of(files)]
    own = tuple(str((Path(settings.BASE_DIR) / name).resolve()) for name in settings.POLICY_PATHS)
    names = [policy.policy_id for policy in arms()]
    if named != "all" and named not in names:
        raise UnknownName(f"unknown policy {named!r}; known: {', '.join(names)}, or a file", field="policy")
    return [PolicySource(one, own, given) for one in (names if named == "all" else [named])]


def _ids_of(files: tuple[str, ...]) -> list[str]:
    with PolicyProcess(PolicySource("", files)) as process:
        return list(process.start["policies"])


class PolicyProcess:
    """A worker for one policy. Raises InvalidInput when the policy cannot be loaded or ends its process."""

    def __init__(self, source: PolicySource, *, is_closed: bool = False) -> None:
        self.source = source
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        environment = {name: value for name, value in os.environ.items() if name != "POLICY_PATHS"}
        flags = ["closed"] if is_closed else []
        self._worker = subprocess.Popen(
            [sys.executable, "-m", WORKER, json.dumps(source.files), source.policy_id, json.dumps(dict(source.values)),
             *flags],
            cwd=settings.BASE_DIR, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        # A policy that never answers must not hold the check for ever.
        self._timer = Timer(ANSWER_SECONDS, self._worker.kill)
        self._timer.daemon = True
        self._timer.start()
        self.opened: dict[str, int] = {}
        self.fault = ""
        try:
            self.start = self._line()
            self.opened = self.start.get("opened", {})
            if "error" in self.start:
                raise InvalidInput(self.start["error"], field=self.start["field"])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PolicyProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker, whatever it is doing."""
        self._timer.cancel()
        self._worker.kill()
        self._worker.communicate()
        self._log.close()

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
            self._send(row.tobytes())
            out[t] = np.frombuffer(self._read(FLOAT_BYTES), np.float64)[0]
        self._finish()
        return out

    def batch(self, columns: Columns) -> Array1d:
        """The signals of a run that has all bars before it begins."""
        n = int(columns[0].shape[0])
        self._ask(BATCH, n)
        self._send(np.ascontiguousarray(np.stack(columns, axis=1)).tobytes())
        out = np.frombuffer(self._read(n * FLOAT_BYTES), np.float64).copy()
        self._finish()
        return out

    def _ask(self, what: str, n: int) -> None:
        self._send(json.dumps({"do": what, "n": n}).encode() + b"\n")

    def _finish(self) -> None:
        told = self._line()
        self.opened, self.fault = told["opened"], told["fault"]

    def _send(self, raw: bytes) -> None:
        assert self._worker.stdin is not None
        try:
            self._worker.stdin.write(raw)
            self._worker.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def _read(self, size: int) -> bytes:
        assert self._worker.stdout is not None
        raw = self._worker.stdout.read(size)
        if len(raw) != size:
            raise self._ended()
        return raw

    def _line(self) -> dict[str, Any]:
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
        name = self.source.policy_id or ", ".join(self.source.files)
        return InvalidInput(f"{name}: ended its process ({status}): {last}", field="policy")
