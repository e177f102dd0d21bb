"""The same seed over the same minutes is the same market, and the desk on it writes the same log to the last byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.audit.selectors import audit_head
from apps.engine.values import Bars
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.execution.models import Order
from apps.marketdata.exchange.simulated.market import SyntheticMarket
from tests.support.desk import seed_desk, store

SYMBOLS = ("BTCUSDT", "SOLUSDT")
START_MS = 1_795_392_000_000
N_BARS = 300


def market_bars(symbol: str, seed: int) -> Bars:
    table = SyntheticMarket(seed=seed, symbols=SYMBOLS).table(symbol, START_MS, START_MS + N_BARS * 60_000)
    return Bars(
        table.open_ms, table.open_e8, table.high_e8, table.low_e8, table.close_e8, table.volume_e8, table.trades
    )


def trade(seed: int) -> tuple[int, str]:
    """Run a fresh desk over the market of a seed; the head of its audit log."""
    seed_desk(SYMBOLS)
    for symbol in SYMBOLS:
        store(symbol, market_bars(symbol, seed))
    BarsAutopilot().step()
    desk_thread().stop()
    return audit_head()


def test_two_desks_on_the_same_seed_write_the_same_log(
    compiled: None, new_desk_db: Callable[[str], Path], settings: Any
) -> None:
    settings.SYMBOLS, settings.FILLS, settings.HORIZON_BARS = SYMBOLS, "bars", 5
    heads = []
    for name, seed in (("first", 7), ("second", 7), ("other", 8)):
        new_desk_db(name)
        heads.append(trade(seed))
        assert Order.objects.count() >= 3
    assert heads[0] == heads[1]
    assert heads[2] != heads[0]
