"""The bench of the whole desk measures a desk that trades on bars that could be."""

from __future__ import annotations

import numpy as np
import pytest

from bench.whole_desk.market import LIVELY, market_bars, run_desk

pytestmark = pytest.mark.usefixtures("compiled")


def test_its_bars_are_possible_and_the_same_each_time() -> None:
    bars = market_bars(3_000)
    assert (bars.low_e8 <= np.minimum(bars.open_e8, bars.close_e8)).all() and (bars.low_e8 > 0).all()
    assert (bars.high_e8 >= np.maximum(bars.open_e8, bars.close_e8)).all() and (bars.volume_e8 > 0).all()
    again = market_bars(3_000)
    assert all((own == other).all() for own, other in zip(bars, again, strict=True))


def test_its_desk_decides_at_every_grid_bar_and_trades_rehearsal_included() -> None:
    decisions = run_desk(market_bars(3_000, sigma=LIVELY), 5).decisions
    assert len(decisions) == 3_000 // 5 and int((decisions["filled_lots"] > 0).sum()) >= 20
    assert int((decisions["rehearsal_filled_lots"] > 0).sum()) >= 20
