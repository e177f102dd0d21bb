"""A desk with seeded rows, for tests that trade: controls, account, symbols, and a market view fed by hand."""

from __future__ import annotations

from typing import Any

from apps.canary.services import seed_canary
from apps.engine.values import E8, Bars, Book, Filters
from apps.execution.services import account_open
from apps.marketdata import services as market
from apps.marketdata.market import Quote, market_view
from apps.risk.seeding import seed_controls
from tests.support.bars import FILTERS, START_MS


def seed_desk(symbols: tuple[str, ...], *, filters: Filters = FILTERS, ts_ms: int = START_MS) -> None:
    """What a first start writes, and the exchange's rules for each symbol."""
    for symbol in symbols:
        market.filters_record(symbol=symbol, filters=filters, ts_ms=ts_ms)
    seed_controls(ts_ms=ts_ms)
    seed_canary(ts_ms=ts_ms)
    account_open(ts_ms=ts_ms)


def store(symbol: str, bars: Bars) -> None:
    now_ms = int(bars.open_time_ms[-1]) + 60_000
    market.bars_store(symbol=symbol, interval="1m", bars=bars, source="test", ts_ms=now_ms)


def book_at(symbol: str, price: float, ts_ms: int, *, depth: float = 5.0, levels: int = 20) -> Book:
    """A symmetric book around a price: one dollar a level."""
    mid, size = int(price * 100) * 10**6, int(depth * E8)
    bids = tuple((mid - (level + 1) * E8, size) for level in range(levels))
    asks = tuple((mid + (level + 1) * E8, size) for level in range(levels))
    return Book(symbol, ts_ms, ts_ms, bids, asks)


def feed(symbol: str, price: float, ts_ms: int, **book: Any) -> Book:
    """Put a fresh book and quote into this process's market view and set its clock."""
    view = market_view()
    view.follow([symbol])
    view.clock.observe(ts_ms)
    made = book_at(symbol, price, view.now_ms(), **book)
    view.put_book(made)
    view.put_quote(Quote(symbol, made.bids[0][0], made.asks[0][0], int(price * E8), made.ts_ms, made.ts_ms))
    return made
