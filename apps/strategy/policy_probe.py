"""Try the policies of one file in a process of its own: `python -m apps.strategy.policy_probe FILE [SAVED]`.

It prints JSON. A first process tries everything and saves its states in the middle; a second one, with other hashes,
another time and nothing in memory, goes on from there: what a policy hides outside its state is missing there.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from time import thread_time_ns
from typing import Any

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.policies import Policy, python_policy
from apps.engine.policies.contract import POLICIES
from apps.engine.policies.driver import policy_batch
from apps.engine.policies.files import load_policy_file
from apps.engine.values import Array1d
from apps.strategy.policy_series import MIDDLE, N_BARS, Columns, trial_series

CUTS = (1, 60, 400, MIDDLE, N_BARS - 1)
SPEED_BARS, SPEED_RUNS = 1_000, 5
READ_SUFFIXES = (".py", ".pyc", ".so")


class Watch:
    """Notes files and sockets that are opened while a policy runs. An audit hook cannot be taken off again."""

    def __init__(self) -> None:
        self.is_on, self.found = False, set[str]()
        sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if self.is_on and (event == "open" or event.startswith(("socket.", "subprocess.", "os.system"))):
            what = str(args[0]) if args else ""
            # The compiler keeps its kernels in a folder of its own, and imports read code.
            is_code = what.endswith(READ_SUFFIXES) or what.startswith(os.environ["NUMBA_CACHE_DIR"])
            if event != "open" or not is_code:
                self.found.add(f"{event} {what}".strip())


def run(policy: Policy, columns: Columns, state: Array1d | None = None) -> tuple[Array1d, Array1d]:
    """(signals, state after them), from the start or from a copy of `state`."""
    params, fresh = policy.init(policy.defaults())
    state = fresh if state is None else state.copy()
    out = np.full(columns[0].shape[0], np.nan)
    policy_batch(policy, params, state, columns, out)
    return out, state


def part(columns: Columns, first: int, last: int) -> Columns:
    return tuple(np.ascontiguousarray(column[first:last]) for column in columns)


def digest(*arrays: Array1d) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def try_policy(policy: Policy, series: dict[str, Columns]) -> dict[str, Any]:
    """Everything one process can tell about one policy."""
    whole = {name: run(policy, columns) for name, columns in series.items()}
    found: dict[str, Any] = {
        "policy_id": policy.policy_id,
        "is_compiled": policy.is_compiled,
        "digests": {name: digest(*pair) for name, pair in whole.items()},
        "bounded": _first_unbounded(policy, series, whole),
        "repeats": [name for name, columns in series.items() if digest(*run(policy, columns)) != digest(*whole[name])],
        "causal": _first_acausal(policy, series, whole),
        "alone": _interleaved(policy, series["wild"], series["falling"], whole),
        "middle": {name: run(policy, part(columns, 0, MIDDLE))[1].tobytes().hex() for name, columns in series.items()},
    }
    return found


def _first_unbounded(policy: Policy, series: dict[str, Columns], whole: dict[str, tuple[Array1d, Array1d]]) -> str:
    for name, (out, _) in whole.items():
        wrong = np.flatnonzero(~(np.abs(out) <= 1.0))
        if wrong.size:
            fault = getattr(policy.update_nb, "fault", "")
            said = f"{out[wrong[0]]}" + (f" ({fault})" if fault else "")
            return f"signal {said} at bar {wrong[0]} of the {name} series"
    return ""


def _first_acausal(policy: Policy, series: dict[str, Columns], whole: dict[str, tuple[Array1d, Array1d]]) -> str:
    for name, columns in series.items():
        for n in CUTS:
            short, _ = run(policy, part(columns, 0, n))
            if short.tobytes() != whole[name][0][:n].tobytes():
                return f"the signals of the first {n} bars of the {name} series change with the bars after them"
    if whole["wild"][0][:MIDDLE].tobytes() != whole["another future"][0][:MIDDLE].tobytes():
        return "one past gives other signals with another future"
    return ""


def _interleaved(policy: Policy, one: Columns, other: Columns, whole: dict[str, tuple[Array1d, Array1d]]) -> str:
    """Two markets in turn, bar by bar: neither may hear of the other."""
    (params_a, a), (params_b, b) = policy.init(policy.defaults()), policy.init(policy.defaults())
    for t in range(MIDDLE):
        first = float(policy.update_nb(params_a, a, *(float(column[t]) for column in one)))
        second = float(policy.update_nb(params_b, b, *(float(column[t]) for column in other)))
        for name, value in (("wild", first), ("falling", second)):
            if np.float64(value).tobytes() != whole[name][0][t : t + 1].tobytes():
                return f"two markets at once disturb each other at bar {t}"
    return ""


def goes_on(policy: Policy, series: dict[str, Columns], saved: dict[str, str]) -> dict[str, str]:
    """Digest of signals after the middle and of the last state, from states that another process saved."""
    found = {}
    for name, columns in series.items():
        state = np.frombuffer(bytes.fromhex(saved[name]), np.float64)
        found[name] = digest(*run(policy, part(columns, MIDDLE, N_BARS), state))
    return found


def speed(policy: Policy, columns: Columns) -> dict[str, float]:
    """Nanoseconds a bar early and late in a run, and of a reference of the same kind in the same run."""
    reference = POLICIES.get("boll_revert") if policy.is_compiled else _nothing()
    early, late, floor = [], [], []
    for _ in range(SPEED_RUNS):
        params, state = policy.init(policy.defaults())
        early.append(_ns(policy, params, state, part(columns, 0, SPEED_BARS)))
        policy_batch(policy, params, state, part(columns, SPEED_BARS, N_BARS - SPEED_BARS), np.zeros(SPEED_BARS))
        late.append(_ns(policy, params, state, part(columns, N_BARS - SPEED_BARS, N_BARS)))
        floor.append(_ns(reference, *reference.init(reference.defaults()), part(columns, 0, SPEED_BARS)))
    # CPU time, and the least of several runs: what else the machine does only ever adds.
    return {"early_ns": min(early), "late_ns": min(late), "reference_ns": min(floor)}


def _ns(policy: Policy, params: Array1d, state: Array1d, columns: Columns) -> float:
    out = np.zeros(columns[0].shape[0])
    started = thread_time_ns()
    policy_batch(policy, params, state, columns, out)
    return (thread_time_ns() - started) / len(out)


def _nothing() -> Policy:
    return python_policy(
        policy_id="nothing",
        summary="Answers 0.",
        init=lambda values: np.zeros(1),
        update=lambda state, bar: 0.0,
        warm_up=lambda values: 1,
    )


def _later(real: Callable[[], float]) -> Callable[[], float]:
    return lambda: real() * 1.37 + 12_345_678.9


def disguise() -> None:
    """Another clock and other draws than the first process had, for whoever asks."""
    for name in ("time", "monotonic", "perf_counter"):
        setattr(time, name, _later(getattr(time, name)))
    random.seed(987_654_321)
    np.random.seed(987_654_321)  # noqa: NPY002 - a policy may use the old generator; it must not matter


def first(policies: list[Policy], series: dict[str, Columns]) -> list[dict[str, Any]]:
    return [try_policy(policy, series) | {"speed": speed(policy, series["wild"])} for policy in policies]


def second(policies: list[Policy], series: dict[str, Columns], saved: dict[str, Any]) -> list[dict[str, Any]]:
    """The states of the first process are gone on with before anything else can be remembered."""
    later = [goes_on(policy, series, saved[policy.policy_id]) for policy in policies]
    answers = []
    for policy, found in zip(policies, later, strict=True):
        whole = {name: run(policy, columns) for name, columns in series.items()}
        answers.append(
            {
                "later": found,
                "expected_later": {name: digest(out[MIDDLE:], state) for name, (out, state) in whole.items()},
                "digests": {name: digest(*pair) for name, pair in whole.items()},
            }
        )
    return answers


def main(path: str, saved_path: str | None) -> None:
    saved = json.loads(Path(saved_path).read_text()) if saved_path else None
    if saved is not None:
        disguise()
    watch, series = Watch(), trial_series()
    watch.is_on = True
    try:
        policies = load_policy_file(path)
    except InvalidInput as error:
        print(json.dumps({"error": str(error)}))
        return
    answers = first(policies, series) if saved is None else second(policies, series, saved)
    watch.is_on = False
    print(json.dumps({"policies": answers, "opened": sorted(watch.found)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
