"""Two symbols, one that begins later and lacks bars: live and batch still take the same decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apps.engine.desk import UNKNOWN_MARK
from apps.engine.reasons import Reason
from apps.engine.values import Bars
from tests.parity.shells import batch_run, compare, compare_rows, live_run
from tests.support.bars import MINUTE_MS, START_MS, walk_bars
from tests.support.desk import seed_desk

LATE, HOLE = 130, range(601, 607)


@pytest.mark.usefixtures("compiled", "desk_db")
def test_a_hole_in_one_of_two_symbols_is_the_same_in_both(settings: Any) -> None:
    """The hole takes the bar that an order would fill at, and the next grid bar, at which the other symbol decides."""
    symbols = ("BTCUSDT", "ETHUSDT")
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", 5, symbols
    seed_desk(symbols)
    one = walk_bars(700, seed=11, sigma=0.006)
    other = walk_bars(700 - LATE, seed=69, sigma=0.006, start_ms=START_MS + LATE * MINUTE_MS)
    keep = np.ones(other.n, bool)
    keep[[at - LATE for at in HOLE]] = False
    blocks = [one, Bars(*(np.ascontiguousarray(column[keep]) for column in other))]
    live_run(symbols, blocks)
    batch = batch_run(symbols, blocks)
    compare(symbols, batch)
    compare_rows(symbols, blocks, batch)
    rows = batch.decisions
    assert all(((rows["filled_lots"] > 0) & (batch.symbol == s)).sum() >= 10 for s in (0, 1))
    into_hole = rows[(rows["bar_index"] == START_MS // MINUTE_MS + HOLE.start - 1) & (batch.symbol == 1)][0]
    assert into_hole["sent_lots"] > 0 and into_hole["reason"] == Reason.NEXT_BAR_MISSING
    at_hole = rows[rows["bar_index"] == START_MS // MINUTE_MS + 605]
    assert at_hole["unknown"].tolist() == [UNKNOWN_MARK], "one symbol decides while the other, held, has no mark"
    assert at_hole["reason"].tolist() == [Reason.DATA_STALE]
