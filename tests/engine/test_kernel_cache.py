"""An edited guard changes what compiled callers answer, because the kernel folder is named by all sources.

numba keeps a compiled caller as long as the caller's own file is unchanged: without that folder a callee that was
edited in another file would silently go on as it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUARD = Path("apps/engine/guards/order_rate.py")
# A few guards are enough for the rule and compile in a second or two.
KEPT = ("__init__.py", "base.py", "order_rate.py")
ASK = """
import sys
from tradedesk.env import prepare_process
prepare_process()
import numpy as np
from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.gate import FINDING_WIDTH, N_GUARDS, gate_nb
desk = DeskRecord(*([0] * 7), 6, *([0] * 25))
order = OrderRecord(1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 1)
limits = LimitRecord(0, 0, 0, 0, 6, *([0] * 20))
print(*gate_nb(desk, order, limits, np.zeros((N_GUARDS, FINDING_WIDTH), np.int64)))
"""
REFUSED, ALLOWED = "1 24", "0 0"
NEW_GUARD = """
from numba import njit
from apps.engine.guards.base import GUARDS, Guard, finding_nb
from apps.engine.reasons import Reason

@njit(cache=True)
def added_nb(desk, order, limits):
    return finding_nb(2, 0, 0)

GUARDS.register(Guard("added", Reason.KILL_SWITCH, "lots", added_nb, "Refuses everything."))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources a kernel can come from, with one guard."""
    folder = tmp_path / "tree"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "apps" / "engine", folder / "apps" / "engine", ignore=ignore)
    (folder / "tradedesk").mkdir()
    for name in ("apps/__init__.py", "tradedesk/__init__.py", "tradedesk/env.py"):
        shutil.copy(ROOT / name, folder / name)
    for path in (folder / GUARD).parent.glob("*.py"):
        if path.name not in KEPT:
            path.unlink()
    return folder


def gate_of(tree: Path, **environment: str) -> str:
    """What a fresh process with this tree answers to the seventh order of a minute."""
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    answer = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tree,
        env={**inherited, "TRADEDESK_VAR": str(tree / "var"), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


def edit(tree: Path) -> None:
    source = (tree / GUARD).read_text()
    edited = source.replace("desk.orders_last_minute < limits", "desk.orders_last_minute <= limits")
    assert edited != source
    (tree / GUARD).write_text(edited)


def test_an_edited_guard_changes_the_gate(tree: Path) -> None:
    assert gate_of(tree) == REFUSED
    assert gate_of(tree) == REFUSED
    edit(tree)
    assert gate_of(tree) == ALLOWED
    assert len(list((tree / "var" / "kernels").iterdir())) == 2


def test_without_the_named_folder_the_old_guard_would_go_on(tree: Path) -> None:
    """Why the rule exists. Should numba ever notice edited callees, this fails and the rule may go."""
    fixed = {"NUMBA_CACHE_DIR": str(tree / "kernels")}
    assert gate_of(tree, **fixed) == REFUSED
    edit(tree)
    assert gate_of(tree, **fixed) == REFUSED, "a stale kernel answered"


def test_a_new_guard_is_one_new_file(tree: Path) -> None:
    (tree / GUARD).with_name("added.py").write_text(NEW_GUARD)
    assert gate_of(tree) == "1 50"
