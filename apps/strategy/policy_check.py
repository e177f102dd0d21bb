"""Does a policy file keep the contract? Its text is read and its policies are tried in two processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.engine.errors import InvalidInput
from apps.strategy.policy_sources import source_faults

PROBE = "apps.strategy.policy_probe"
PROBE_SECONDS = 300
# A compiled policy may cost so many times the dearest built-in one, a plain one so many times an empty function.
MAX_COMPILED_TIMES, MAX_PLAIN_TIMES = 20.0, 100.0
# And its bars must not grow dearer as they add up.
MAX_GROWTH_TIMES, GROWTH_FROM_NS = 3.0, 500.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `detail` says what is wrong, or what was measured."""

    name: str
    is_passed: bool
    detail: str


@dataclass(frozen=True)
class PolicyReport:
    """All that was found about one policy."""

    policy_id: str
    is_compiled: bool
    ns_per_bar: float
    checks: tuple[Check, ...]


def check_policy_file(path: Path, *, root: Path) -> list[PolicyReport]:
    """Report on every policy of the file. Raises InvalidInput, naming file and reason, when it cannot be loaded."""
    path = path.resolve()
    try:
        faults = source_faults(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}", field="file") from error
    except SyntaxError as error:
        raise InvalidInput(f"{path}: SyntaxError: {error}", field="file") from error
    first = _probe(root, "1", str(path))
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved.json"
        saved.write_text(json.dumps({found["policy_id"]: found["middle"] for found in first["policies"]}))
        second = _probe(root, "2", str(path), str(saved))
    opened = sorted({*first["opened"], *second["opened"]})
    pairs = zip(first["policies"], second["policies"], strict=True)
    return [_judge(one, other, [*faults, *(f"opens {what}" for what in opened)]) for one, other in pairs]


def _probe(root: Path, hash_seed: str, *arguments: str) -> Any:
    """The answer of one probe. A policy that never answers, or ends its process, is refused."""
    environment = {name: value for name, value in os.environ.items() if name != "POLICY_PATHS"}
    try:
        answer = subprocess.run(
            [sys.executable, "-m", PROBE, *arguments],
            cwd=root,
            env={**environment, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"{arguments[0]}: gave no answer in {PROBE_SECONDS} s", field="file") from error
    lines = answer.stdout.splitlines()
    if answer.returncode != 0 or not lines:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise InvalidInput(f"{arguments[0]}: ended its process ({answer.returncode}): {last}", field="file")
    found = json.loads(lines[-1])
    if "error" in found:
        raise InvalidInput(found["error"], field="file")
    return found


def _judge(one: dict[str, Any], other: dict[str, Any], sources: list[str]) -> PolicyReport:
    checks = (
        # The schema was checked on loading; a file that breaks it does not come this far.
        Check("schema", True, "parameters, ranges, defaults, warm-up and arrays are complete"),
        _check("sources", "; ".join(sources), "nothing but bars, numpy and the engine"),
        _check("bounded", one["bounded"], "every signal is a number from -1 to 1"),
        _check("causal", one["causal"], "no signal changes with the bars after it"),
        _check("deterministic", _differing(one, other), "equal bits in two runs and two processes"),
        _check("serializable", _unlike(other), "a state saved in the middle goes on with equal bits elsewhere"),
        _check("fold", one["alone"], "two markets at once do not hear of each other"),
        _speed(one),
    )
    return PolicyReport(one["policy_id"], one["is_compiled"], one["speed"]["late_ns"], checks)


def _check(name: str, fault: str, praise: str) -> Check:
    return Check(name, not fault, fault or praise)


def _differing(one: dict[str, Any], other: dict[str, Any]) -> str:
    if one["repeats"]:
        return f"a second run over the {one['repeats'][0]} series gives other bits"
    names = [name for name, digest in one["digests"].items() if other["digests"][name] != digest]
    return f"another process gives other bits on the {names[0]} series" if names else ""


def _unlike(other: dict[str, Any]) -> str:
    names = [name for name, digest in other["later"].items() if other["expected_later"][name] != digest]
    return f"a state saved in the middle of the {names[0]} series goes on otherwise elsewhere" if names else ""


def _speed(one: dict[str, Any]) -> Check:
    early, late, reference = (one["speed"][name] for name in ("early_ns", "late_ns", "reference_ns"))
    limit = MAX_COMPILED_TIMES if one["is_compiled"] else MAX_PLAIN_TIMES
    measured = f"{late:,.0f} ns a bar, {late / reference:.1f} times the reference in the same run (limit {limit:.0f})"
    if late > MAX_GROWTH_TIMES * early and late > GROWTH_FROM_NS:
        return Check("speed", False, f"bars grow dearer: {early:,.0f} ns early in the series, {late:,.0f} ns late")
    return Check("speed", late <= limit * reference, measured)
