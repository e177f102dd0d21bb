"""Saving in the middle and going on in another process changes no bit: of a run, and of the desk itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.audit.selectors import audit_head
from apps.engine.ledger import BookState, book_state
from apps.engine.values import Bars
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.execution.models import Order
from tests.parity.later_half import COLUMNS, SYMBOLS, H, observers, run_part, save_run
from tests.parity.shells import live_run, rebuilt_is_stored
from tests.support.bars import MINUTE_MS, START_MS, walk_bars
from tests.support.desk import seed_desk, store
from tests.support.engine import CASH_E8

pytestmark = pytest.mark.usefixtures("compiled")
ROOT = Path(__file__).resolve().parents[2]
FIRST, N = START_MS // MINUTE_MS, 900
BLOCKS = [walk_bars(N, seed=seed, sigma=0.006) for seed in (21, 22)]


def in_another_process(*arguments: object, **environment: str) -> Any:
    command = [sys.executable, "-W", "error", "-m", "tests.parity.later_half", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_saved_run_goes_on_in_another_process(tmp_path: Path) -> None:
    """Saved while a decision waits for its bar."""
    cut, desk = 601, observers()
    whole = run_part(desk, book_whole := book_state(2, CASH_E8), BLOCKS, FIRST, FIRST + N)
    assert (whole.decisions["filled_lots"] > 0).sum() >= 20
    early, book = observers(), book_state(2, CASH_E8)
    first = run_part(early, book, BLOCKS, FIRST, FIRST + cut)
    assert book.due.tolist() == [1, 1]
    save_run(tmp_path / "saved.npz", early, book, BLOCKS)
    states = in_another_process("run", tmp_path / "saved.npz", FIRST + cut, FIRST + N)
    with np.load(tmp_path / "rest.npz") as rest:
        for name in COLUMNS:
            joined = np.concatenate([getattr(first, name), rest[name]])
            assert joined.tobytes() == getattr(whole, name).tobytes(), name
        assert all(rest[name].tobytes() == getattr(book_whole, name).tobytes() for name in BookState._fields)
    hashes = [observer.state_hash() for observer in desk]
    assert states == {"batch": hashes, "single": hashes}


def stretch(first: int, end: int) -> list[Bars]:
    return [block.slice(first, end) for block in BLOCKS]


def go_on_here(blocks: list[Bars]) -> None:
    """A restart inside this process: what was in memory is made anew from rows."""
    autopilot = BarsAutopilot()
    autopilot.warm()
    for symbol, block in zip(SYMBOLS, blocks, strict=True):
        store(symbol, block)
    autopilot.step()
    desk_thread().stop()


def test_a_desk_that_is_restarted_twice_writes_the_same_log(
    new_desk_db: Callable[[str], Path], settings: Any, tmp_path: Path
) -> None:
    """Once with a decision due, into another process; once between decisions. The head hashes every record before."""
    settings.SYMBOLS, settings.FILLS, settings.HORIZON_BARS = SYMBOLS, "bars", H
    new_desk_db("whole")
    seed_desk(SYMBOLS)
    live_run(SYMBOLS, stretch(0, 600))
    assert Order.objects.count() >= 20
    head = audit_head()
    database = new_desk_db("cut")
    seed_desk(SYMBOLS)
    live_run(SYMBOLS, stretch(0, 201))
    assert head != audit_head()
    for symbol, block in zip(SYMBOLS, stretch(201, 403), strict=True):
        np.savez(tmp_path / f"{symbol}.npz", **block._asdict())
    told = in_another_process(
        "desk", database, tmp_path,
        FILLS="bars", HORIZON_BARS=str(H), SYMBOLS=",".join(SYMBOLS), TRADEDESK_VAR=str(database.parent),
    )  # fmt: skip
    assert tuple(told["head"]) == audit_head()
    go_on_here(stretch(403, 600))
    assert audit_head() == head
    rebuilt_is_stored(SYMBOLS)
