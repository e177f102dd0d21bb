"""Policies of one's own: loaded from files by a setting, in Python or compiled, and refused with file and reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from apps.engine.decision import GATE_FAULTY
from apps.engine.errors import InvalidInput
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.policies import POLICIES, Policy, python_policy
from apps.engine.policies.files import load_policy_file
from tests.engine.policy_runs import signals
from tests.engine.series import market
from tests.support.bars import walk_bars

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples" / "policies").glob("own_*.py"))
N = 400


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is gone after it."""
    monkeypatch.setattr(POLICIES, "_entries", dict(POLICIES._entries))
    yield
    for name in [name for name in sys.modules if name.startswith("policy_file_")]:
        del sys.modules[name]


def test_the_examples_are_policies() -> None:
    found = [policy for path in EXAMPLES for policy in load_policy_file(str(path))]
    assert {policy.policy_id: policy.is_compiled for policy in found} == {"vwap_side": True, "three_rises": False}
    for policy in found:
        out = signals(policy, market(N))
        assert set(out) == {0.0, 1.0} and not out[: policy.warm_up(policy.defaults()) - 1].any()
    assert [policy.policy_id for policy in load_policy_file(str(EXAMPLES[0]))] == ["vwap_side"], "loaded once"


def test_the_python_example_by_hand() -> None:
    policy = load_policy_file(str(EXAMPLES[1]))[0]
    closes = np.array([1.0, 2.0, 3.0, 4.0, 3.0, 3.5, 3.0, 2.0, 3.0])
    columns = (closes, closes, closes, closes, np.ones(9))
    assert signals(policy, columns).tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]


BROKEN = {
    "a syntax error": ("def (", "SyntaxError"),
    "an error of its own": ("import numpy\nnumpy.nothing_of_this_name", "AttributeError"),
    "nothing registered": ("x = 1", "registers no policy"),
    "a known id": ("POLICIES.register(POLICY('donchian'))", "'donchian' is registered twice"),
    "the id of cash": ("POLICIES.register(POLICY('cash'))", "'cash'"),
    "a default outside": (
        "POLICIES.register(POLICY('p', parameters=(Parameter('a','int',9,1,5,'linear','A.'),)))",
        "'a'",
    ),
    "a warm-up of none": ("POLICIES.register(POLICY('p', warm_up=lambda values: 0))", "warm_up"),
    "an init that fails": ("POLICIES.register(POLICY('p', init=lambda values: values['b']))", "KeyError"),
    "an update not compiled": ("POLICIES.register(replace(POLICY('p'), is_compiled=True))", "python_policy"),
    "another signature": (
        "POLICIES.register(replace(POLICY('p'), is_compiled=True, update_nb=njit('f8(f8)')(lambda x: x)))",
        "UPDATE_SIGNATURE",
    ),
}
HEAD = """
from dataclasses import replace
import numpy as np
from numba import njit
from apps.engine.policies import POLICIES, Parameter, python_policy
def POLICY(name, **given):
    known = {"init": lambda values: np.zeros(1), "warm_up": lambda values: 1}
    return python_policy(policy_id=name, summary="S.", update=lambda state, bar: 0.0, **{**known, **given})
"""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    source, reason = BROKEN[name]
    path = tmp_path / "broken.py"
    path.write_text(HEAD + source)
    with pytest.raises(InvalidInput) as caught:
        load_policy_file(str(path))
    assert str(path) in str(caught.value) and reason in str(caught.value) and caught.value.field == "POLICY_PATHS"


def own(policy_id: str, update: object) -> Policy:
    return POLICIES.register(
        python_policy(
            policy_id=policy_id,
            summary="A test's.",
            init=lambda values: np.zeros(2),
            update=update,  # type: ignore[arg-type]
            warm_up=lambda values: 1,
        )
    )


def test_what_is_no_signal_closes_the_gate_of_its_arm_and_is_not_learned_from() -> None:
    """Every seventh bar NaN, every eleventh 1.5, every thirteenth an error; between them an honest 0.5."""

    def bad(state: np.ndarray, bar: object) -> float:
        state[0] += 1.0
        if state[0] % 13.0 == 0.0:
            raise ValueError("thirteen")
        return float("nan") if state[0] % 7.0 == 0.0 else 1.5 if state[0] % 11.0 == 0.0 else 0.5

    own("a_bad_one", bad)
    bars = walk_bars(N, seed=3)
    single, many = (Observer(ObserveSettings("X", 60_000, 5)) for _ in range(2))
    assert many.runs[0].policy.policy_id == "a_bad_one"
    inactive = np.zeros(len(single.runs), np.int64)
    for t in range(N):
        view = single.observe(bars.slice(t, t + 1), inactive=inactive, is_bocpd=True)
        is_bad = any((t + 1) % n == 0 for n in (7, 11, 13))
        assert (view.gates[0], view.arms[0, 0]) == ((GATE_FAULTY, 0.0) if is_bad else (0, 0.5))
        assert not (view.gates[1:] & GATE_FAULTY).any()
    many.observe_many(bars, inactive=inactive, is_bocpd=True)
    assert many.state_hash() == single.state_hash() and np.isfinite(many.core.arms).all()
    assert 0 < many.core.n[0] < many.core.n[1:].max() and many.runs[0].policy.update_nb.fault == "ValueError: thirteen"


def test_an_arm_that_is_not_active_is_gated_like_any_other() -> None:
    own("an_own_one", lambda state, bar: 1.0)
    observer = Observer(ObserveSettings("X", 60_000, 5))
    bars = walk_bars(60, seed=3)
    observer.observe_many(bars, inactive=np.array([1] + [0] * (len(observer.runs) - 1)), is_bocpd=True)
    assert observer.view().gates[0] == 4


DESK = """
from tradedesk.env import engine_hash, prepare_process
prepare_process()
import json
import numpy as np
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.policies import arms
from apps.engine.sections import ARM_NAMES
from tests.support.bars import walk_bars
from tradedesk.warm import warm_kernels
bars = walk_bars(700, seed=3)
single, many = (Observer(ObserveSettings("X", 60_000, 5)) for _ in range(2))
inactive = np.zeros(len(arms()), np.int64)
for t in range(bars.n):
    single.observe(bars.slice(t, t + 1), inactive=inactive, is_bocpd=True)
many.observe_many(bars, inactive=inactive, is_bocpd=True)
warm_kernels(Observer(ObserveSettings("W", 60_000, 5)), inactive)
view = many.view()
print(json.dumps({
    "hash": engine_hash(), "arms": ARM_NAMES, "equal": single.state_hash() == many.state_hash(),
    "pulls": many.core.n.tolist(), "loc": many.core.arms[1].tolist(), "gates": view.gates.tolist(),
    "missing": view.record.context_missing,
}))
"""


def test_two_files_make_nine_arms_that_learn(tmp_path: Path) -> None:
    """More arms than the eight lanes of the posterior: nine are folded alike bar by bar and at once, and decided on."""
    answer = desk(*EXAMPLES)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["arms"] == sorted([*POLICIES.names(), "three_rises", "vwap_side"]) + ["cash"]
    assert len(found["arms"]) == 10 and found["equal"] and found["missing"] == 0
    assert found["gates"] == [0] * 9 and min(found["pulls"]) > 0.0 and all(value != 0.0 for value in found["loc"])
    copy = tmp_path / "copy.py"
    copy.write_text(EXAMPLES[0].read_text() + "# edited\n")
    assert found["hash"] != desk(EXAMPLES[1], program=HASH).stdout.strip() != desk(copy, program=HASH).stdout.strip()


HASH = "from tradedesk.env import engine_hash, prepare_process; prepare_process(); print(engine_hash())"


@pytest.mark.parametrize(
    ("source", "reason"),
    [("def (", "SyntaxError"), (HEAD + "POLICIES.register(POLICY('tsmom'))", "registered twice"), (None, "read")],
)
def test_a_setting_that_names_a_bad_file_ends_the_process_with_one_line(
    tmp_path: Path, source: str | None, reason: str
) -> None:
    path = tmp_path / "bad.py"
    if source is not None:
        path.write_text(source)
    answer = desk(path, program=HASH)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
    assert str(path) in answer.stderr and reason in answer.stderr and "POLICY_PATHS" in answer.stderr


def desk(*paths: Path, program: str = DESK) -> subprocess.CompletedProcess[str]:
    """Run a program in a process whose POLICY_PATHS are these; the engine's kernels are shared with this one."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "POLICY_PATHS": ",".join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
