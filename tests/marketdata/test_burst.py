"""A burst as fast as the socket takes it, on a desk whose database is slow: bounded, newest first, and survived."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from apps.engine.values import Bars
from apps.marketdata import services
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.frames import BookTickerEvent, FrameParser
from apps.marketdata.market import MarketView
from apps.marketdata.services import StoreResult
from apps.marketdata.stream import run_stream
from tests.marketdata import builders
from tests.marketdata.fake_exchange import FakeExchange
from tests.support.frame_source import START, Script, Source, frame_source

T = TypeVar("T")
BURST = 200_000
DRAINED_WITHIN_S = 3.0
STORE_S = 0.25  # what one write costs on the slow database
STEP_MS = 120  # market time between two frames: more bars close during the burst than may wait


class SlowStore:
    """The desk's own store, behind a database that takes its time."""

    n_stored = 0

    def __call__(self, *, symbol: str, interval: str, bars: Bars, source: str, ts_ms: int) -> StoreResult:
        time.sleep(STORE_S)
        self.n_stored += len(bars.open_time_ms)
        return services.bars_store(symbol=symbol, interval=interval, bars=bars, source=source, ts_ms=ts_ms)


@dataclass
class Seen:
    """What an onlooker of the desk saw during the burst."""

    view: MarketView
    task: asyncio.Task[None]
    store: SlowStore
    backlog: int = 0
    longest_block_s: float = 0.0

    async def watch(self) -> None:
        """The largest backlog, and for how long nothing else had its turn."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            self.longest_block_s = max(self.longest_block_s, now - before)
            self.backlog = max(self.backlog, self.view.feed.backlog_size)
            before = now

    async def during(self, work: Callable[[], T]) -> T:
        """What blocking work answers, unless the stream ends first."""
        answer = asyncio.ensure_future(asyncio.to_thread(work))
        async with asyncio.timeout(60):
            await asyncio.wait({answer, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            await self.task
        return await answer

    async def until_shown(self, expected: dict[str, BookTickerEvent]) -> float:
        """When the newest quote of every symbol was the one that is shown."""
        async with asyncio.timeout(60):
            while not all(is_shown(self.view, event) for event in expected.values()):
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.001)
        return time.monotonic()


def is_shown(view: MarketView, event: BookTickerEvent) -> bool:
    quote = view.quote(event.symbol)
    return quote is not None and (quote.bid_e8, quote.ask_e8) == (event.bid_e8, event.ask_e8)


def newest_quotes(source: Source) -> dict[str, BookTickerEvent]:
    parsed = [FrameParser().parse(frame) for frame in source.last_quotes()]
    return {event.symbol: event for event in parsed if isinstance(event, BookTickerEvent)}


@asynccontextmanager
async def desk_on(source: Source, script: Script, **options: Any) -> AsyncIterator[Seen]:
    view, stop, store = MarketView(), asyncio.Event(), SlowStore()
    async with FakeExchange() as exchange:
        exchange.now_ms = START
        venue = exchange.venue._replace(ws_url=source.url)
        async with ExchangeClient(venue) as client:
            given = {"symbols": script.symbols, "interval": "1m", "store": store, "n_history": 1, **options}
            task = asyncio.ensure_future(run_stream(view=view, client=client, stop=stop, **given))
            seen = Seen(view, task, store)
            watching = asyncio.ensure_future(seen.watch())
            try:
                yield seen
            finally:
                watching.cancel()
                stop.set()
                await task


async def burst(script: Script) -> tuple[Seen, str]:
    """Offer a script to a desk with a slow database and see every figure of it hold."""
    with frame_source(script) as source:
        async with desk_on(source, script) as seen:
            expected = await seen.during(lambda: newest_quotes(source))
            assert set(expected) == set(script.symbols)
            first_s, last_s = await seen.during(source.offered)
            shown_s = await seen.until_shown(expected)
            feed = seen.view.feed
            figures = (
                f"{script.n:,} messages of {len(script.symbols)} symbols offered in {last_s - first_s:.2f} s, the "
                f"newest shown {max(0.0, shown_s - last_s) * 1000:.0f} ms after the last; backlog at most "
                f"{seen.backlog} of {feed.backlog_limit}, {feed.conflated:,} conflated, {feed.dropped:,} dropped, "
                f"other work held up for at most {seen.longest_block_s * 1000:.0f} ms"
            )
            assert feed.messages == script.n, figures
            assert 0 < seen.backlog <= feed.backlog_limit, figures
            assert shown_s - last_s <= DRAINED_WITHIN_S, figures
            await asyncio.sleep(1.0 + STORE_S)  # the slow database is still writing, and one beat has passed
            assert all(is_shown(seen.view, event) for event in expected.values()), figures
            assert feed.connected and feed.malformed == 0 and feed.reconnects == 0, figures
            assert not seen.task.done(), figures
    return seen, figures


def test_the_source_and_the_fake_exchange_share_a_calendar() -> None:
    assert START == builders.START


async def test_a_burst_is_bounded_and_the_newest_quote_wins(
    desk_db: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    seed = random.randrange(2**32)
    with caplog.at_level(logging.WARNING):
        seen, figures = await burst(Script(BURST, step_ms=STEP_MS, seed=seed))
    with capsys.disabled():
        print(f"\nburst: {figures}")
    assert all(record.levelno < logging.ERROR for record in caplog.records), f"seed {seed}: {caplog.text}"
    assert "of at most 1000 wait" in caplog.text or not seen.view.feed.dropped, f"seed {seed}: {figures}"
    assert seen.store.n_stored > 0, f"seed {seed}: {figures}"
