"""Policies in processes of their own: as a program this module forks one for each life it is asked for.

Bars come in on standard input and signals go out on standard output, as raw floats. This process holds no market, and
in a stream each bar arrives after the signal of the one before it has left: what comes later is nowhere in a life,
whatever a policy reaches for. A closed life is refused every file and socket but code, with other clocks and draws.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.policies import POLICIES, Policy, validate_values
from apps.engine.policies.driver import policy_batch
from apps.engine.policies.files import load_policy_file
from apps.strategy.policy_probe import Watch, disguise

N_COLUMNS, FLOAT_BYTES = 5, 8
STREAM, BATCH, END = "stream", "batch", "end"
LOADING = -1


class Guard(Watch):
    """Notes what is opened and at which bar; when closed, it refuses."""

    def __init__(self, *, is_closed: bool) -> None:
        self.is_closed, self.bar = is_closed, LOADING
        self.opened: dict[str, int] = {}
        super().__init__()

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        super()._heard(event, args)
        news, self.found = self.found, set()
        for what in news:
            self.opened.setdefault(what, self.bar)
            if self.is_closed:
                raise PermissionError(f"{what}: a policy sees bars and nothing else")


def policies_of(files: list[str]) -> list[Policy]:
    """What the files register; without files, every policy that is built in."""
    return [policy for path in files for policy in load_policy_file(path)] if files else list(POLICIES)


def streamed(policy: Policy, values: dict[str, float], n: int, guard: Guard, read: BinaryIO, write: BinaryIO) -> None:
    """Answer each bar before the next is read."""
    params, state = policy.init(values)
    for t in range(n):
        bar = np.frombuffer(read.read(N_COLUMNS * FLOAT_BYTES), np.float64).tolist()
        guard.bar, guard.is_on = t, True
        signal = float(policy.update_nb(params, state, *bar))
        guard.is_on = False
        write.write(np.float64(signal).tobytes())
        write.flush()


def batched(policy: Policy, values: dict[str, float], n: int, guard: Guard, read: BinaryIO, write: BinaryIO) -> None:
    """Read all bars, then answer all signals."""
    raw = np.frombuffer(read.read(n * N_COLUMNS * FLOAT_BYTES), np.float64).reshape(n, N_COLUMNS)
    columns = tuple(np.array(raw[:, column]) for column in range(N_COLUMNS))
    params, state = policy.init(values)
    out = np.full(n, np.nan)
    guard.bar, guard.is_on = 0, True
    policy_batch(policy, params, state, columns, out)
    guard.is_on = False
    write.write(out.tobytes())
    write.flush()


def main() -> None:
    """Fork a life for every line; go on when it has ended well, end like it when it has not."""
    # What a policy prints must not get between the signals.
    read, write = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in iter(read.readline, b""):
        child = os.fork()
        if child == 0:
            live(json.loads(line), read, write)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            sys.exit(os.waitstatus_to_exitcode(status))


def live(asked: dict[str, Any], read: BinaryIO, write: BinaryIO) -> None:
    """Load the policy, then answer runs until told to end."""
    guard = Guard(is_closed=asked["is_closed"])
    if asked["is_closed"]:
        disguise()
    guard.is_on = True
    try:
        found = policies_of(asked["files"])
        if not asked["policy_id"]:
            _tell(write, {"policies": [policy.policy_id for policy in found]})
            return
        policy = POLICIES.get(asked["policy_id"])
        values = validate_values(policy, asked["values"])
        warm_up = policy.warm_up(values)
    except InvalidInput as error:
        _tell(write, {"error": str(error), "field": error.field, "opened": guard.opened})
        return
    guard.is_on = False
    _tell(write, {"warm_up": warm_up, "values": values, "opened": guard.opened})
    for line in iter(read.readline, b""):
        wanted = json.loads(line)
        if wanted["do"] == END:
            # Nothing may be sent before this is heard: it would be read by the wrong life.
            _tell(write, {})
            break
        run = streamed if wanted["do"] == STREAM else batched
        run(policy, values, wanted["n"], guard, read, write)
        _tell(write, {"opened": guard.opened, "fault": getattr(policy.update_nb, "fault", "")})


def _tell(write: BinaryIO, found: dict[str, Any]) -> None:
    write.write(json.dumps(found).encode() + b"\n")
    write.flush()


if __name__ == "__main__":
    main()
