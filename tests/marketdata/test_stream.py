"""The stream task: history first, then live bars without holes, whatever the connection does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import connections

from apps.engine.errors import IntegrityBreach
from apps.engine.stream import StreamLimits
from apps.marketdata import selectors, services
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.market import MarketView
from apps.marketdata.stream import run_stream
from apps.marketdata.sync import keep_symbols, sync_symbols
from tests.marketdata.builders import MINUTE, START, bars_at
from tests.marketdata.fake_exchange import FakeExchange

QUICK = StreamLimits(silence_ms=5_000, frozen_ms=5_000, beat_ms=50, backoff_base_ms=10, backoff_cap_ms=50)


class Desk:
    """A running stream and what it announced."""

    def __init__(self, view: MarketView, task: asyncio.Task[None]) -> None:
        self.view = view
        self.task = task
        self.announced: list[int] = []
        view.on_bar_closed(lambda symbol, at: self.announced.append((at - START) // MINUTE))

    async def connected(self) -> None:
        """The first connection stands, and what was missed before it has been asked for."""
        await self.until(lambda: self.view.feed.last_beat_ms is not None)

    async def until(self, ready: Callable[[], bool], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not ready():
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.005)


def stored() -> list[int]:
    return [int(at - START) // MINUTE for at in selectors.bars_load("BTCUSDT", "1m").open_time_ms]


def newest() -> int:
    try:
        return stored()[-1]
    finally:
        connections.close_all()


@asynccontextmanager
async def streaming(exchange: FakeExchange, limits: StreamLimits = QUICK, **more: Any) -> AsyncIterator[Desk]:
    view, stop = MarketView(), asyncio.Event()
    async with ExchangeClient(exchange.venue) as client:
        options = {"symbols": ["BTCUSDT"], "interval": "1m", "store": services.bars_store, "n_history": 50, **more}
        task = asyncio.ensure_future(run_stream(view=view, client=client, stop=stop, limits=limits, **options))
        desk = Desk(view, task)
        try:
            yield desk
        finally:
            stop.set()
            await task


async def in_thread(read: Callable[[], Any]) -> Any:
    return await database_sync_to_async(read)()


async def given(indexes: Iterable[int], source: str) -> None:
    await in_thread(
        lambda: services.bars_store(
            symbol="BTCUSDT", interval="1m", bars=bars_at(indexes), source=source, ts_ms=START + 1_000 * MINUTE
        )
    )


async def test_history_then_live_bars_stored_before_they_are_announced(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(80))
        steps: list[float] = []
        async with streaming(exchange, progress=lambda step: steps.append(step.fraction)) as desk:
            await desk.connected()
            assert await in_thread(stored) == list(range(30, 80))
            exchange.close_bars(80)
            seen: list[int] = []
            with ThreadPoolExecutor(1) as reader:
                desk.view.on_bar_closed(lambda symbol, at: seen.append(reader.submit(newest).result()))
                await exchange.say_bar(80, closed=True)
                await desk.until(lambda: 80 in desk.announced)
            assert seen == [80]
            assert desk.view.now_ms() >= START + 81 * MINUTE
        assert steps == [1.0]
        assert desk.view.status().connected is False


async def test_a_stopped_sync_goes_on_from_the_newest_stored_bar(desk_db: Path) -> None:
    await given(range(40, 70), "simulated")
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(80))
        async with streaming(exchange) as desk:
            await desk.connected()
        assert exchange.klines_asked[0] == ("BTCUSDT", START + 70 * MINUTE)
        assert await in_thread(stored) == list(range(40, 80))


async def test_a_missed_bar_is_fetched_before_the_next_is_announced(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange) as desk:
            await desk.connected()
            exchange.close_bars(10, 11, 12)
            await exchange.say_bar(12, closed=True)
            await desk.until(lambda: 12 in desk.announced)
            assert await in_thread(stored) == list(range(13))


async def test_a_bar_whose_closing_frame_never_comes_is_noticed_by_its_successor(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange) as desk:
            await desk.connected()
            exchange.close_bars(10)
            n_asked = len(exchange.klines_asked)
            for _ in range(5):
                await exchange.say_bar(11, closed=False)
            await desk.until(lambda: 10 in desk.announced)
            assert await in_thread(stored) == list(range(11))
            assert len(exchange.klines_asked) == n_asked + 1


async def test_bars_that_closed_while_the_line_was_down_are_fetched(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange) as desk:
            await desk.connected()
            await exchange.cut()
            exchange.close_bars(10, 11)
            await exchange.connected(2)
            await desk.until(lambda: 11 in desk.announced)
            assert await in_thread(stored) == list(range(12))
            assert desk.view.feed.reconnects == 1


async def test_a_halt_of_the_exchange_leaves_a_hole_and_does_not_stop_the_desk(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange) as desk:
            await desk.connected()
            for at in (15, 16):
                exchange.close_bars(at)
                await exchange.say_bar(at, closed=True)
            await desk.until(lambda: 16 in desk.announced)
            n_asked = len(exchange.klines_asked)
            exchange.close_bars(17)
            await exchange.say_bar(17, closed=True)
            await desk.until(lambda: 17 in desk.announced)
            assert await in_thread(stored) == [*range(10), 15, 16, 17]
            assert len(exchange.klines_asked) == n_asked


async def test_a_revised_bar_is_kept_as_first_observed_and_counted(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange) as desk:
            await desk.connected()
            exchange.close_bars(10)
            await exchange.say_bar(10, closed=True)
            await desk.until(lambda: 10 in desk.announced)
            await exchange.say_bar(10, closed=True, close="104.00000000")
            await desk.until(lambda: desk.view.feed.conflicting == 1)
        bars = await in_thread(lambda: selectors.bars_load("BTCUSDT", "1m"))
        assert int(bars.close_e8[10]) == 101 * 10**8


async def test_bad_frames_are_counted_and_survived(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange) as desk:
            await desk.connected()
            for socket in exchange.sockets:
                await socket.send_str("garbage")
                await socket.send_bytes(b"\xff\xfe")
            await exchange.say("btcusdt@kline_1m", {"e": "kline"})
            await exchange.say("btcusdt@new", {"e": "somethingNew"})
            exchange.close_bars(10)
            await exchange.say_bar(10, closed=True)
            await desk.until(lambda: 10 in desk.announced)
            assert desk.view.feed.malformed == 3
            await desk.until(lambda: desk.view.feed.unknown == 1)


async def test_silence_and_a_frozen_clock_lead_to_a_new_connection(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        impatient = StreamLimits(silence_ms=300, frozen_ms=9_000, beat_ms=50, backoff_base_ms=10)
        async with streaming(exchange, impatient) as desk:
            await exchange.connected(2)
            assert desk.view.feed.reconnects == 1
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        impatient = StreamLimits(silence_ms=9_000, frozen_ms=400, beat_ms=50, backoff_base_ms=10)
        async with streaming(exchange, impatient):
            async with asyncio.timeout(5):
                while exchange.n_connections < 2:
                    await exchange.say_bar(10, closed=False, event_ms=START + 10 * MINUTE + 10)
                    await asyncio.sleep(0.05)


async def test_a_server_that_says_goodbye_is_left_at_once(desk_db: Path) -> None:
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        patient = StreamLimits(beat_ms=50, backoff_base_ms=60_000, backoff_cap_ms=60_000)
        async with streaming(exchange, patient) as desk:
            await desk.connected()
            await exchange.say("!serverShutdown", {"e": "serverShutdown", "E": exchange.now_ms})
            await desk.until(lambda: exchange.n_connections == 2)


async def test_history_that_fails_is_fetched_with_the_next_bar(desk_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.marketdata.exchange.client.BACKOFF_BASE_S", 0.001)
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange) as desk:
            await desk.connected()
            exchange.klines_status = 503
            exchange.close_bars(10, 11)
            await exchange.say_bar(11, closed=True)
            await desk.until(lambda: 11 in desk.announced)
            exchange.klines_status = 200
            exchange.close_bars(12)
            await exchange.say_bar(12, closed=True)
            await desk.until(lambda: 12 in desk.announced)
            assert await in_thread(stored) == list(range(13))


async def test_bars_of_another_market_stop_it_with_a_word(desk_db: Path) -> None:
    await given([1], "binance")
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        with pytest.raises(IntegrityBreach, match="TRADEDESK_VAR"):
            async with streaming(exchange) as desk:
                await desk.until(lambda: False)


async def test_what_is_published_is_what_the_view_took(desk_db: Path) -> None:
    published: list[object] = []
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        async with streaming(exchange, publish=published.append) as desk:
            await desk.connected()
            ticker = {"u": 1, "s": "BTCUSDT", "b": "100", "B": "1", "a": "101", "A": "1"}
            await exchange.say("btcusdt@bookTicker", ticker)
            await desk.until(lambda: desk.view.quote("BTCUSDT") is not None)
            assert [type(event).__name__ for event in published] == ["BookTickerEvent"]


async def test_the_rules_are_read_again_every_hour_of_market_time(
    desk_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.marketdata.sync.RULES_POLL_S", 0.001)
    now = [START]
    async with FakeExchange() as exchange, ExchangeClient(exchange.venue) as client:
        await sync_symbols(client, ["BTCUSDT"])
        keeping = asyncio.ensure_future(keep_symbols(client, ["BTCUSDT"], lambda: now[0]))
        await asyncio.sleep(0.05)
        exchange.now_ms = now[0] = START + 3_599_999
        await asyncio.sleep(0.05)
        assert await in_thread(lambda: selectors.filters_checked_ms("BTCUSDT")) == START
        exchange.now_ms = now[0] = START + 3_600_000
        async with asyncio.timeout(5):
            while await in_thread(lambda: selectors.filters_checked_ms("BTCUSDT")) != START + 3_600_000:
                await asyncio.sleep(0.01)
        keeping.cancel()
