"""Live against backtest over the same span: equal where nothing differs, and every planted cause named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.execution.models import EquityPoint
from apps.research.divergence.compare import Divergence, diverge
from apps.research.divergence.request import span_of
from apps.research.history import Window
from tests.support.bars import MINUTE_MS, START_MS, walk_bars
from tests.support.desk import seed_desk, store

N = 700


@pytest.fixture
def bars_desk(compiled: None, desk_db: Path, settings: Any) -> Any:
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", 5, ("BTCUSDT", "ETHUSDT")
    return settings


def trade(symbols: tuple[str, ...], blocks: list[Any]) -> None:
    for symbol, block in zip(symbols, blocks, strict=True):
        store(symbol, block)
    BarsAutopilot().step()
    desk_thread().stop()


def compared(start_ms: int | None = None, end_ms: int | None = None) -> Divergence:
    return diverge(span_of(Window(start_ms, end_ms)))


def test_under_bar_fills_there_is_no_difference(bars_desk: Any) -> None:
    seed_desk(bars_desk.SYMBOLS)
    blocks = [walk_bars(N, seed=seed + 1, sigma=0.003) for seed in range(2)]
    trade(bars_desk.SYMBOLS, blocks)
    found = compared()
    assert found.differences == []
    assert found.n_same == found.n_live == found.n_backtest >= 200
    assert found.live_e16 == found.backtest_e16 != found.start_e16
    points = dict(EquityPoint.objects.values_list("ts_ms", "equity_e8"))
    assert [points[int(ts)] for ts in blocks[0].open_time_ms + MINUTE_MS] == found.backtest_curve


def test_the_middle_of_a_history_starts_from_the_account_as_it_was(bars_desk: Any) -> None:
    seed_desk(bars_desk.SYMBOLS)
    trade(bars_desk.SYMBOLS, [walk_bars(N, seed=seed + 1, sigma=0.003) for seed in range(2)])
    found = compared(START_MS + 402 * MINUTE_MS, START_MS + 650 * MINUTE_MS)
    assert found.differences == [] and 90 <= found.n_same == found.n_live == found.n_backtest
