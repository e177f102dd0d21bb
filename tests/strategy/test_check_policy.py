"""check_policy passes the examples, and fails each planted policy at the checks that must see it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.strategy.policy_check import _speed
from apps.strategy.policy_sources import source_faults

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples" / "policies").glob("*.py"))
PLANTED = Path(__file__).with_name("planted.py")
READER = """
import numpy as np
from apps.engine.policies import POLICIES, python_policy
FUTURE = __builtins__["open"](__file__.replace("reader.py", "future.csv")).read().split(",")

def update(state, bar):
    state[0] += 1.0
    return 1.0 if float(FUTURE[int(state[0]) % 3]) > bar.close else 0.0

POLICIES.register(python_policy(policy_id="reader", summary="Planted.", init=lambda values: np.zeros(1),
    update=update, warm_up=lambda values: 1))
"""


def check(path: Path) -> tuple[int, dict[str, Any]]:
    """(exit status, the JSON answer)."""
    out = StringIO()
    try:
        call_command("check_policy", str(path), "--json", stdout=out)
    except SystemExit as ended:
        return int(str(ended.code)), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def failed(policy: dict[str, Any]) -> set[str]:
    return {found["name"] for found in policy["checks"] if not found["is_passed"]}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_hold(path: Path) -> None:
    status, answer = check(path)
    assert [failed(policy) for policy in answer["policies"]] == [set()] and answer["holds"] is True
    assert status == 0 and answer["policies"][0]["ns_per_bar"] > 0.0 and len(answer["policies"][0]["checks"]) == 8


def test_each_planted_policy_fails_where_it_must() -> None:
    status, answer = check(PLANTED)
    found = {policy["policy_id"]: failed(policy) for policy in answer["policies"]}
    assert (status, answer["holds"]) == (3, False)
    assert {"causal", "deterministic"} <= found["looks_ahead"]
    assert {"fold", "serializable"} <= found["hides_state"]
    assert found["depends_on_hashes"] >= {"deterministic"}
    assert found["reads_the_clock"] == {"deterministic"}
    assert found["is_unbounded"] == found["is_nan"] == found["raises"] == {"bounded"}
    assert found["is_slow"] == {"speed"}
    details = {policy["policy_id"]: {c["name"]: c["detail"] for c in policy["checks"]} for policy in answer["policies"]}
    assert details["is_unbounded"]["bounded"] == "signal 1.001 at bar 1000 of the wild series"
    assert details["is_nan"]["bounded"] == "signal nan at bar 0 of the silent series"
    assert "ZeroDivisionError" in details["raises"]["bounded"]


def test_a_file_read_behind_the_back_of_the_text_is_heard(tmp_path: Path) -> None:
    (tmp_path / "reader.py").write_text(READER)
    (tmp_path / "future.csv").write_text("1,2,3")
    assert source_faults(READER) == []
    status, answer = check(tmp_path / "reader.py")
    detail = next(found["detail"] for found in answer["policies"][0]["checks"] if found["name"] == "sources")
    assert status == 3 and failed(answer["policies"][0]) == {"sources"} and "future.csv" in detail


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import time", "imports time"),
        ("from random import random", "imports random"),
        ("import datetime as numpy", "imports datetime"),
        ("from apps.execution import selectors", "imports apps.execution"),
        ("from . import neighbor", "imports"),
        ("x = open('closes.csv')", "calls open"),
        ("def f():\n    global SEEN\n    SEEN = 1", "keeps SEEN outside the state"),
        ("import numpy as np\nx = np.random.default_rng()", "numpy.random"),
        ("import numpy\nx = numpy.load('closes.npy')", "numpy.load"),
    ],
)
def test_the_text_is_read_for_what_a_signal_must_not_depend_on(line: str, reason: str) -> None:
    faults = source_faults(line)
    assert len(faults) == 1 and reason in faults[0] and faults[0].startswith("line ")


@pytest.mark.parametrize(
    ("is_compiled", "early", "late", "is_passed"),
    [(True, 900.0, 999.0, True), (True, 900.0, 1_001.0, False), (False, 4_000.0, 4_999.0, True),
     (False, 4_900.0, 5_001.0, False), (False, 1_000.0, 3_001.0, False), (True, 10.0, 400.0, True)],
)  # fmt: skip
def test_speed_is_judged_against_the_reference_and_against_itself(
    is_compiled: bool, early: float, late: float, is_passed: bool
) -> None:
    """A reference of 50 ns: at most 1,000 for a compiled policy, 5,000 for a plain one, and no more than tripled."""
    speed = {"early_ns": early, "late_ns": late, "reference_ns": 50.0}
    assert _speed({"is_compiled": is_compiled, "speed": speed}).is_passed == is_passed


@pytest.mark.parametrize("source", [None, "def (", "x = 1", "import sys\nsys.exit(0)"])
def test_a_file_that_cannot_be_loaded_ends_with_two(tmp_path: Path, source: str | None) -> None:
    path = tmp_path / "bad.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(CommandError, match=r"bad\.py") as caught:
        call_command("check_policy", str(path))
    assert caught.value.returncode == 2
