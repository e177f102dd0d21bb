"""The live shell (autopilot, desk thread, rows, audit) and the batch loop decide the same to the bit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.engine.values import Bars
from tests.parity.shells import batch_run, compare, compare_replay, compare_rows, live_run, rebuilt_is_stored
from tests.support.bars import walk_bars
from tests.support.desk import seed_desk


@pytest.fixture
def bars_desk(compiled: None, desk_db: Path, settings: Any) -> Any:
    settings.FILLS, settings.HORIZON_BARS = "bars", 5
    return settings


@pytest.mark.parametrize(
    ("symbols", "n"), [(("BTCUSDT",), 1_500), (("BTCUSDT", "ETHUSDT", "SOLUSDT"), 600)], ids=["one-1500", "three-600"]
)
def test_live_equals_batch(bars_desk: Any, symbols: tuple[str, ...], n: int) -> None:
    bars_desk.SYMBOLS = symbols
    seed_desk(symbols)
    blocks = [walk_bars(n, seed=seed + 1, sigma=0.003) for seed in range(len(symbols))]
    live_run(symbols, blocks)
    batch = batch_run(symbols, blocks)
    assert compare(symbols, batch).filled >= 20, "the parity of a desk that does not trade proves nothing"
    compare_rows(symbols, blocks, batch)
    assert compare_replay() >= len(batch.decisions)
    rebuilt_is_stored(symbols)


def test_live_equals_batch_with_fees_in_base(bars_desk: Any) -> None:
    """Dust in every position, and its worth in every equity."""
    symbols = ("BTCUSDT", "ETHUSDT")
    bars_desk.SYMBOLS, bars_desk.FEE_ASSET, bars_desk.FEE_BPS = symbols, "base", 7
    seed_desk(symbols)
    blocks = [walk_bars(600, seed=seed + 1, sigma=0.003) for seed in range(len(symbols))]
    live_run(symbols, blocks)
    batch = batch_run(symbols, blocks)
    compare(symbols, batch)
    compare_rows(symbols, blocks, batch)
    assert (batch.decisions["dust_after_e8"] > 0).sum() >= 20


def test_prices_between_two_ticks_are_worth_the_same_in_both(bars_desk: Any) -> None:
    """Bars older than a coarser tick: a holding is marked at whole ticks wherever it is counted."""
    symbols = ("BTCUSDT", "ETHUSDT")
    bars_desk.SYMBOLS = symbols
    seed_desk(symbols)
    blocks = []
    for seed in (1, 2):
        opened, *prices, volume, trades = walk_bars(600, seed=seed, sigma=0.003)
        blocks.append(Bars(opened, *(column + 654_321 for column in prices), volume, trades))
    live_run(symbols, blocks)
    batch = batch_run(symbols, blocks)
    compare(symbols, batch)
    compare_rows(symbols, blocks, batch)


def test_a_gap_and_a_breaker_trip_are_the_same_in_both(bars_desk: Any) -> None:
    """The rare paths: bars missing at a grid bar, and a drawdown that pauses trading and re-arms."""
    bars_desk.SYMBOLS = ("BTCUSDT",)
    bars_desk.MAX_DD, bars_desk.BREAKER_MINUTES = Decimal("0.0002"), 15
    seed_desk(("BTCUSDT",))
    bars = walk_bars(1_500, seed=9, sigma=0.004)
    keep = np.ones(bars.n, bool)
    keep[700:703] = False
    holed = type(bars)(*(np.ascontiguousarray(column[keep]) for column in bars))
    live_run(("BTCUSDT",), [holed])
    batch = batch_run(("BTCUSDT",), [holed])
    compare(("BTCUSDT",), batch)
    compare_rows(("BTCUSDT",), [holed], batch)
    assert int(batch.decisions["is_tripped"].sum()) >= 1
    assert int(batch.decisions["is_rearmed"].sum()) >= 1
