"""A run in slices is the run in one piece, wherever it is cut: bits of decisions, equity, account and states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from apps.engine.decision import FILL_BARS, N_ARMS
from apps.engine.ledger import BookState, book_state
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.router import RouterParams
from apps.engine.run import RunResult, RunSettings, run
from apps.engine.values import Bars
from tests.support.bars import FILTERS, MINUTE_MS, START_MS, walk_bars
from tests.support.engine import CASH_E8, build_limits, build_terms

pytestmark = pytest.mark.usefixtures("compiled")
H, N = 5, 1_100
FIRST = START_MS // MINUTE_MS
HOLE = range(601, 607)
NONE_INACTIVE = np.zeros(N_ARMS, np.int64)


def blocks() -> list[Bars]:
    """Two symbols; the second starts late and has a hole right after a grid bar."""
    late = walk_bars(N - 130, seed=8, price=3_000.0, sigma=0.01, start_ms=START_MS + 130 * MINUTE_MS)
    keep = np.ones(late.n, bool)
    keep[[at - 130 for at in HOLE]] = False
    return [walk_bars(N, seed=7, sigma=0.01), Bars(*(np.ascontiguousarray(column[keep]) for column in late))]


def settings() -> RunSettings:
    terms = build_terms(
        unit_e8=0, horizon_bars=H, bars_per_year=525_600, weight_e9=500_000_000, fill_kind=FILL_BARS
    )  # fmt: skip
    limits = build_limits(max_notional_e8=10**14, symbol_notional_cap_e8=10**14, max_drawdown_bps=10_000)
    return RunSettings(20260101, CASH_E8, limits, terms, 50, 86_400_000)


def observers() -> list[Observer]:
    lively = RouterParams(v=2.0, eps=0.3)
    return [Observer(ObserveSettings(symbol, MINUTE_MS, H, params=lively)) for symbol in ("BTCUSDT", "ETHUSDT")]


def run_cut(cuts: list[int]) -> tuple[list[RunResult], list[Observer], BookState]:
    desk, book, parts = observers(), book_state(2, CASH_E8), []
    for first, end in itertools.pairwise([0, *cuts, N]):
        inside = [bars.slice(*np.searchsorted(bars.open_time_ms, START_MS + np.array([first, end]) * MINUTE_MS))
                  for bars in blocks()]  # fmt: skip
        parts.append(run(desk, inside, [FILTERS] * 2, settings(), inactive=NONE_INACTIVE, is_bocpd=True,
                         book=book, span=(FIRST + first, FIRST + end)))  # fmt: skip
    return parts, desk, book


@pytest.mark.parametrize(
    "cuts",
    [[601], [603], [607], [600, 601, 602], [130], [1], [1_096], [97, 331, 604, 1_000]],
    ids=["before the hole", "inside it", "after it", "bar by bar", "late start", "one bar", "near the end", "four"],
)
def test_slices_are_the_whole(cuts: list[int]) -> None:
    desk = observers()
    whole = run(desk, blocks(), [FILTERS] * 2, settings(), inactive=NONE_INACTIVE, is_bocpd=True)
    assert (whole.decisions["filled_lots"] > 0).sum() >= 10 and len(set(whole.regime.tolist())) >= 2
    parts, cut_desk, book = run_cut(cuts)
    for name in ("decisions", "floats", "probabilities", "symbol", "regime", "equity_e8"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert joined.tobytes() == getattr(whole, name).tobytes(), name
    assert [column.tobytes() for column in book] == [column.tobytes() for column in whole.book]
    assert [one.state_hash() for one in cut_desk] == [one.state_hash() for one in desk]


def test_the_regime_of_a_decision_is_that_of_its_view() -> None:
    """Folded bar by bar by hand: the label after the grid bar."""
    bars = blocks()[0].slice(0, 600)
    one = Observer(observers()[0].settings)
    labels = []
    for row in range(bars.n - 1):
        view = one.observe(bars.slice(row, row + 1), inactive=NONE_INACTIVE, is_bocpd=True)
        if view.is_grid:
            labels.append(view.record.regime_label)
    result = run([Observer(one.settings)], [bars], [FILTERS], settings(), inactive=NONE_INACTIVE, is_bocpd=True)
    assert result.regime.tolist() == labels
