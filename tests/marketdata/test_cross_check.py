"""Bars without holes: what the stream told is compared with REST, and what was missed or lied about is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async

from apps.audit.selectors import audit_latest
from apps.engine.errors import Unavailable
from apps.engine.stream_events import KlineEvent
from apps.engine.values import Bars
from apps.marketdata import selectors, services
from apps.marketdata.bar_writer import BarWriter
from apps.marketdata.cross_check import series_check
from apps.marketdata.exchange.binance import Venue
from apps.marketdata.exchange.frames import BadKline
from apps.marketdata.gaps import gaps_listed
from apps.marketdata.market import MarketView
from apps.marketdata.models import Bar, Quarantine
from tests.marketdata.builders import E8, MINUTE, START, bars_at

SYMBOL = "BTCUSDT"
NOW = START + 10_000 * MINUTE


class Exchange:
    """The REST side: which bars it has, with which close, and whether it answers. One dict for every symbol."""

    venue = Venue("test", "", "")

    def __init__(self, bars: dict[int, int]) -> None:
        self.bars = bars
        self.now_ms = NOW
        self.asked: list[tuple[str, int, int]] = []
        self.slow: dict[str, asyncio.Event] = {}
        self.down = False

    async def time(self) -> int:
        return self.now_ms

    async def klines(
        self, symbol: str, interval: str, *, start_ms: int, end_ms: int, unreadable: list[Any]
    ) -> AsyncIterator[Bars]:
        self.asked.append((symbol, (start_ms - START) // MINUTE, (end_ms - START) // MINUTE))
        if symbol in self.slow:
            await self.slow[symbol].wait()
        if self.down:
            raise Unavailable("down")
        for at in sorted(self.bars):
            if start_ms <= START + at * MINUTE < end_ms:
                yield bars_at([at], close=self.bars[at])


def closing(at: int, *, close: int = 101, symbol: str = SYMBOL) -> KlineEvent:
    """The frame that closes a bar, as the stream tells it."""
    opened = START + at * MINUTE
    prices = (100 * E8, 105 * E8, 95 * E8, close * E8, (7 + at) * E8)
    return KlineEvent(symbol, opened + MINUTE + 5, "1m", opened, opened + MINUTE - 1, *prices, 3, True)


def opening(at: int, *, after_ms: int) -> KlineEvent:
    return closing(at)._replace(closed=False, event_ms=START + at * MINUTE + after_ms)


def stored(symbol: str = SYMBOL) -> dict[int, int]:
    """Close by index of the stored bars."""
    bars = selectors.bars_load(symbol, "1m", folded_only=False)
    return {
        (opened - START) // MINUTE: close // E8
        for opened, close in zip(bars.open_time_ms.tolist(), bars.close_e8.tolist(), strict=True)
    }


def given(*indexes: int, symbol: str = SYMBOL) -> None:
    services.bars_store(symbol=symbol, interval="1m", bars=bars_at(indexes), source="test", ts_ms=NOW)


def rows() -> list[tuple[int, str, str, str]]:
    """Quarantine rows as (index, reason, origin, status)."""
    return [
        ((row.open_time_ms - START) // MINUTE, row.reason, row.origin, row.status)
        for row in Quarantine.objects.order_by("id")
    ]


async def in_thread(work: Callable[..., Any], *args: Any) -> Any:
    return await database_sync_to_async(work)(*args)


async def check(exchange: Exchange, until: int) -> Any:
    return await series_check(
        exchange, SYMBOL, "1m", window_ms=60 * MINUTE, until_ms=START + until * MINUTE, store=services.bars_store
    )


class Rig:
    """A running writer and what it announced."""

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        self.exchange = exchange
        self.view = MarketView(symbols=[SYMBOL, "ETHUSDT"])
        self.view.clock.observe(START + 10 * MINUTE)
        self.writer = BarWriter(view=self.view, client=exchange, interval="1m", store=services.bars_store, **options)
        self.announced: list[tuple[str, int]] = []
        self.view.on_bar_closed(lambda symbol, at: self.announced.append((symbol, (at - START) // MINUTE)))

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not ready():
                await asyncio.sleep(0.002)

    async def quiet(self) -> None:
        await self.until(lambda: self.view.feed.backlog_size == 0)
        await asyncio.sleep(0.02)


@asynccontextmanager
async def writing(exchange: Exchange, **options: Any) -> AsyncIterator[Rig]:
    rig = Rig(exchange, **options)
    await rig.writer.resume([SYMBOL, "ETHUSDT"])
    task = asyncio.ensure_future(rig.writer.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_bar_that_the_exchange_has_changed_is_kept_as_observed_and_noted_once(desk_db: Path) -> None:
    await in_thread(given, *range(10))
    exchange = Exchange({at: 101 for at in range(10)} | {4: 104})
    first = await check(exchange, 10)
    await check(exchange, 10)
    assert first.compared.stored.conflicting == 1
    assert (await in_thread(stored))[4] == 101
    assert await in_thread(rows) == [(4, "rest_mismatch", "check", "noted")]
    row = await in_thread(Quarantine.objects.get)
    assert '"104"' in row.raw and '"101"' in row.detail and row.raw_hash
    assert [entry.kind for entry in await in_thread(audit_latest, 10)] == ["marketdata.quarantine.found"]


async def test_the_check_stores_what_is_missing_and_writes_down_what_nobody_has(desk_db: Path) -> None:
    await in_thread(given, 0, 1, 2, 8, 9)
    exchange = Exchange({at: 101 for at in range(10) if at not in {5, 6}})
    report = await check(exchange, 10)
    assert report.newest_ms == START + 9 * MINUTE and report.compared.stored.inserted == 3
    assert sorted(await in_thread(stored)) == [0, 1, 2, 3, 4, 7, 8, 9]
    gap = (await in_thread(gaps_listed, SYMBOL, "1m"))[0]
    assert (gap.n_bars, gap.state, gap.attempts) == (2, "open", 1)


async def test_the_check_does_not_reach_before_the_oldest_bar(desk_db: Path) -> None:
    await in_thread(given, 5, 6)
    await check(Exchange({at: 101 for at in range(7)}), 7)
    assert sorted(await in_thread(stored)) == [5, 6] and await in_thread(gaps_listed, SYMBOL, "1m") == []


async def test_bars_are_compared_on_the_schedule_of_market_time_and_after_a_reconnect(desk_db: Path) -> None:
    await in_thread(given, *range(10))
    exchange = Exchange({at: 101 for at in range(40)})
    async with writing(exchange, cross_check_ms=15 * MINUTE) as rig:
        for at in range(10, 20):
            rig.writer.take(closing(at))
        await rig.quiet()
        assert exchange.asked == []
        for at in range(20, 27):
            rig.writer.take(closing(at))
        await rig.until(lambda: exchange.asked == [(SYMBOL, 0, 25)])
        exchange.bars[3] = 99
        rig.view.clock.observe(START + 27 * MINUTE)
        rig.writer.recheck([SYMBOL], START + 27 * MINUTE + 4_000)
        await rig.until(lambda: len(exchange.asked) == 2)
        await rig.until(lambda: rig.view.feed.conflicting == 1)
    assert (3, "rest_mismatch", "check", "noted") in await in_thread(rows)


async def test_a_stream_that_closes_a_bar_twice_differently_is_written_down(desk_db: Path) -> None:
    async with writing(Exchange({})) as rig:
        rig.writer.take(closing(0))
        await rig.until(lambda: (SYMBOL, 0) in rig.announced)
        rig.writer.take(closing(0, close=104))
        await rig.until(lambda: rig.view.feed.conflicting == 1)
    assert await in_thread(stored) == {0: 101}
    assert await in_thread(rows) == [(0, "rest_mismatch", "stream", "noted")]


async def test_a_wild_bar_is_held_not_announced_and_does_not_stop_the_next(desk_db: Path) -> None:
    await in_thread(given, *range(150))
    async with writing(Exchange({})) as rig:
        rig.view.clock.observe(START + 152 * MINUTE)
        wild = closing(150)._replace(high_e8=900 * E8, close_e8=890 * E8)
        rig.writer.take(wild)
        await rig.quiet()
        assert rig.announced == []
        rig.writer.take(closing(151))
        await rig.until(lambda: rig.announced == [(SYMBOL, 151)])
        assert rig.exchange.asked == [], "a held bar is the replacer's business, not a missing one"
    assert 150 not in await in_thread(stored)
    assert [(row[0], row[3]) for row in await in_thread(rows)] == [(150, "pending")]


async def test_a_frame_that_cannot_be_read_is_kept_and_the_bar_comes_from_rest(desk_db: Path) -> None:
    await in_thread(given, *range(10))
    async with writing(Exchange({at: 101 for at in range(11)})) as rig:
        rig.view.clock.observe(START + 11 * MINUTE + 10)
        broken = {"symbol": SYMBOL, "interval": "1m", "open_time_ms": START + 10 * MINUTE, "raw": '{"k":{"c":"NaN"}}'}
        rig.writer.reject(BadKline("c is not a number", closed=True, **broken))
        await rig.until(lambda: (SYMBOL, 10) in rig.announced)
        rig.writer.reject(BadKline("x", closed=False, **broken))
        rig.writer.reject(BadKline("x", closed=True, **{**broken, "symbol": "NOPE"}))
        rig.writer.reject(BadKline("x", closed=True, **{**broken, "interval": "5m"}))
        await rig.quiet()
    assert await in_thread(rows) == [(10, "unreadable", "stream", "replaced")]
    assert (await in_thread(Quarantine.objects.get)).raw == '{"k":{"c":"NaN"}}'


async def test_a_stream_of_garbage_does_not_fill_the_table(desk_db: Path) -> None:
    await in_thread(given, 0)
    async with writing(Exchange({})) as rig:
        for at in range(50):
            rig.writer.reject(
                BadKline("x", symbol=SYMBOL, interval="1m", open_time_ms=None, closed=None, raw=f"garbage {at}")
            )
        await rig.quiet()
    assert await in_thread(Quarantine.objects.count) == 5


async def test_a_missing_bar_is_asked_for_again_when_the_queue_was_full(desk_db: Path) -> None:
    await in_thread(given, 0)
    exchange = Exchange({0: 101, 1: 101})
    rig = Rig(exchange, n_limit=1)
    await rig.writer.resume([SYMBOL])
    rig.writer.take(closing(0))
    rig.writer.take(opening(2, after_ms=4_000))
    assert rig.view.feed.dropped == 1
    task = asyncio.ensure_future(rig.writer.run())
    await rig.quiet()
    assert 1 not in await in_thread(stored)
    rig.writer.take(opening(2, after_ms=6_000))
    await rig.until(lambda: rig.announced == [(SYMBOL, 1)])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_symbol_whose_history_is_slow_does_not_hold_up_another(desk_db: Path) -> None:
    await in_thread(given, 0)
    exchange = Exchange({at: 101 for at in range(6)})
    exchange.slow[SYMBOL] = asyncio.Event()
    async with writing(exchange) as rig:
        rig.writer.take(closing(5))
        rig.writer.take(closing(5, symbol="ETHUSDT"))
        await rig.until(lambda: rig.announced == [("ETHUSDT", 5)])
        exchange.slow[SYMBOL].set()
        await rig.until(lambda: (SYMBOL, 5) in rig.announced)
    assert sorted(await in_thread(stored)) == [0, 1, 2, 3, 4, 5]


async def test_the_reader_is_not_slowed_down_by_a_slow_database(desk_db: Path) -> None:
    def slow_store(**block: Any) -> Any:
        gate.wait(5)
        return services.bars_store(**block)

    import threading
    from time import perf_counter

    gate = threading.Event()
    rig = Rig(Exchange({}), n_limit=100)
    rig.writer._store = slow_store
    task = asyncio.ensure_future(rig.writer.run())
    rig.writer.take(closing(0))
    await asyncio.sleep(0.02)
    started = perf_counter()
    for at in range(1, 5_001):
        rig.writer.take(closing(at))
    seconds = perf_counter() - started
    assert seconds < 0.25, f"{seconds / 5_000 * 1e6:.1f} us for a frame"
    assert rig.view.feed.backlog_size == 100 and rig.view.feed.dropped == 4_901
    gate.set()
    await rig.quiet()
    assert await in_thread(Bar.objects.count) == 100
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_backtest_is_told_of_gaps_and_candles_that_were_doubted(desk_db: Path) -> None:
    await in_thread(given, 0, 1, 4, 5)
    exchange = Exchange({0: 101, 1: 99, 4: 101, 5: 101})
    await check(exchange, 6)
    found = await in_thread(selectors.bars_for_backtest, SYMBOL, "1m", START, START + 6 * MINUTE)
    assert found.bars.n == 4
    assert [tuple(gap) for gap in found.gaps] == [(START + 2 * MINUTE, START + 4 * MINUTE, "open")]
    assert [tuple(held) for held in found.quarantined] == [(START + MINUTE, "rest_mismatch", "noted")]


async def test_an_exchange_that_is_away_costs_a_warning(desk_db: Path, caplog: pytest.LogCaptureFixture) -> None:
    await in_thread(given, *range(10))
    exchange = Exchange({})
    exchange.down = True
    async with writing(exchange) as rig:
        rig.writer.recheck([SYMBOL], START + 12 * MINUTE)
        await rig.until(lambda: "could not be compared" in caplog.text and "missing for now" in caplog.text)
        rig.writer.take(closing(12))
        await rig.until(lambda: rig.announced == [(SYMBOL, 12)])
