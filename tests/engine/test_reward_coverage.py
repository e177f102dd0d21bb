"""Monitors fed bar by bar hold the bits of monitors fed a whole history, and are fed what the router learned."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.conformal import J_JUDGED, J_WINDOW
from apps.engine.coverage import RewardCoverage
from apps.engine.observe_state import S_APPLIED, view_rows
from apps.engine.observer import Observer, ObserveSettings, float_columns
from apps.engine.values import Bars
from tests.support.bars import walk_bars

HORIZON = 3


def holed(n: int, seed: int) -> Bars:
    """A walk without some bars: single ones and runs, on the grid and off it."""
    bars, rng = walk_bars(n, seed=seed, sigma=0.003), np.random.default_rng(seed)
    keep = np.ones(n, bool)
    for start in rng.integers(1_100, n - 20, 4):
        keep[start : start + rng.integers(1, 9)] = False
    return Bars(*(np.ascontiguousarray(column[keep]) for column in bars))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_live_and_history_hold_the_same_bits(seed: int) -> None:
    bars = holed(2_400, seed)
    cut = bars.n - 40  # what comes after a rebuild goes on from its open forecasts
    settings = ObserveSettings("BTCUSDT", 60_000, HORIZON)
    live, rebuilt = Observer(settings), Observer(settings)
    inactive = np.zeros(len(live.runs), np.int64)
    one, other = (RewardCoverage(len(live.runs), HORIZON) for _ in range(2))
    learned, applied = 0, -1
    for t in range(bars.n):
        view = live.observe(bars.slice(t, t + 1), inactive=inactive, is_bocpd=True)
        learned += int(live.core.scalars_i[S_APPLIED]) != applied
        applied = int(live.core.scalars_i[S_APPLIED])
        one.follow(view, live.core.reward)
    seen = view_rows(bars.n, len(live.runs))
    n_rows = rebuilt.observe_many(bars.slice(0, cut), inactive=inactive, is_bocpd=True, seen=seen)
    index = bars.open_time_ms[:cut] // 60_000
    other.follow_history(index, float_columns(bars.slice(0, cut))[0], seen, n_rows)
    for t in range(cut, bars.n):
        view = rebuilt.observe(bars.slice(t, t + 1), inactive=inactive, is_bocpd=True)
        other.follow(view, rebuilt.core.reward)
    for (f, i), (g, j) in zip(one.states, other.states, strict=True):
        assert f.tobytes() == g.tobytes() and i.tobytes() == j.tobytes()
    scored = [min(int(i[J_WINDOW + 1]), 500) for _, i in one.states]
    assert max(scored) == min(learned, 500) and learned > 300
    assert all(int(i[J_JUDGED]) > 200 for _, i in one.states)


def test_an_untouched_monitor_reports_why_it_knows_nothing() -> None:
    (report,) = RewardCoverage(1, 5).report()
    assert report.coverage.value is None and report.coverage.reason == "0 of 500 forecasts judged"
    assert not report.is_alert
