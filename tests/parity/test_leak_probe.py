"""Would parity notice a reward that is learned one decision too late, or one too early? Planted, it must turn red."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command

from apps.engine import observer
from apps.engine.run import RunResult
from tests.parity.kernel_copies import EARLY, LATE, observing_copy
from tests.parity.shells import batch_run, compare, compare_replay, live_run
from tests.support.bars import START_MS, walk_bars
from tests.support.desk import seed_desk

SYMBOLS, N, H = ("BTCUSDT",), 600, 5
BARS = walk_bars(N, seed=3, sigma=0.003)
PROBES = {"late": LATE, "early": EARLY}


@pytest.fixture
def bars_desk(compiled: None, desk_db: Path, settings: Any) -> None:
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", H, SYMBOLS
    seed_desk(SYMBOLS)


def planted(kernel: Callable[..., int], monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(observer, "observe_batch_nb", kernel)
        return work()


def first_difference(one: RunResult, other: RunResult) -> int:
    """The first decision whose propensities differ."""
    same = (one.probabilities == other.probabilities).all(axis=1)
    return int(np.argmin(same)) if not same.all() else len(same)


def test_a_shifted_reward_is_noticed(bars_desk: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the batch. The copy itself is no fault: without an edit it gives the same bits."""
    live_run(SYMBOLS, [BARS])
    batch = batch_run(SYMBOLS, [BARS])
    assert compare(SYMBOLS, batch).decisions == N // H
    copy = planted(observing_copy(), monkeypatch, lambda: batch_run(SYMBOLS, [BARS]))
    assert compare(SYMBOLS, copy).decisions == N // H
    for name, edits in PROBES.items():
        shifted = planted(observing_copy(*edits), monkeypatch, lambda: batch_run(SYMBOLS, [BARS]))
        assert len(shifted.decisions) == len(batch.decisions)
        # Not a general wreck: all is equal until the first reward is learned.
        assert 3 <= first_difference(batch, shifted) < N // H // 2, name
        with pytest.raises(AssertionError):
            compare(SYMBOLS, shifted)


def test_a_shifted_reward_of_the_live_desk_is_noticed(bars_desk: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decisions follow from its views, so shallow replay is content; batch and the bars are not."""
    planted(observing_copy(*LATE), monkeypatch, lambda: live_run(SYMBOLS, [BARS]))
    assert compare_replay() >= N // H
    with pytest.raises(AssertionError):
        compare(SYMBOLS, batch_run(SYMBOLS, [BARS]))
    out = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("replay", "--limit", "1", "--deep", stdout=out, stderr=StringIO())
    assert end.value.code == 3
    named = next(line for line in out.getvalue().splitlines() if line.startswith("DIFFERENT view"))
    opened = int(named.rsplit(" ", 1)[1])
    assert (opened // 60_000) % H == 0 and opened < START_MS + N // 2 * 60_000, (
        "from the first reward on, at its grid bar"
    )
