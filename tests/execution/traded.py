"""A desk that has decided on its own and for people, built once and copied: every kind of record to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.engine.decision import SOURCE_FLATTEN, SOURCE_PERSON, SOURCE_ROUTER
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.execution.facts import MarketFacts, mid_e8
from apps.execution.requests import DecisionRequest, Prepared
from apps.execution.services import decide_and_record
from apps.strategy.selectors import view_latest
from tests.support.bars import walk_bars
from tests.support.desk import book_at, seed_desk, store

SYMBOL = "BTCUSDT"
LATENCY_MS = 60


def decide_on_book(source: int, price: float, ts_ms: int, **request: Any) -> None:
    """One decision on a displayed book whose mid moved by 2 dollars while the order traveled."""
    seen = book_at(SYMBOL, price, ts_ms, depth=0.4)
    arrival = book_at(SYMBOL, price + 2, ts_ms + LATENCY_MS, depth=0.4)
    view = view_latest(SYMBOL) if source == SOURCE_ROUTER else None
    asked = DecisionRequest(symbol=SYMBOL, source=source, actor="owner:alice", reason="a test", **request)
    marks = {SYMBOL: mid_e8(arrival)}
    facts = MarketFacts(ts_ms + LATENCY_MS, marks, 7, 0, seen, arrival)
    decide_and_record(prepared=Prepared(asked, view, seen, ts_ms), read_facts=lambda: facts)


def build(settings: Any) -> None:
    """Bars to fold and trade on, then a person who buys, asks for too much, lets the router look, and flattens."""
    settings.FILLS = "bars"
    seed_desk((SYMBOL,))
    bars = walk_bars(700, seed=4, sigma=0.003)
    store(SYMBOL, bars)
    BarsAutopilot().step()
    desk_thread().stop()
    settings.FILLS = "depth"
    price, closed_ms = float(bars.close_e8[-1]) / 1e8, int(bars.open_time_ms[-1]) + 60_000
    decide_on_book(SOURCE_PERSON, price, closed_ms + 1_000, side=1, quantity_e8=100_000_000)
    decide_on_book(SOURCE_PERSON, price, closed_ms + 2_000, side=1, quantity_e8=900_000_000)
    decide_on_book(SOURCE_ROUTER, price, closed_ms + 3_000)
    decide_on_book(SOURCE_FLATTEN, price, closed_ms + 4_000)


@pytest.fixture
def traded(
    desk_db: Path, compiled: None, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ...]]:
    """The symbols of a desk that has traded; each test has a copy of its own."""
    settings.SYMBOLS, settings.HORIZON_BARS = (SYMBOL,), 5
    kept = tmp_path_factory.getbasetemp() / "traded.sqlite3"
    if not kept.exists():
        build(settings)
        with connections["default"].cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(desk_db, kept)
    connections["default"].close()
    shutil.copy(kept, desk_db)
    yield (SYMBOL,)
