"""The exchange cuts every connection after a day; a day is a second here, and a minute of the market a few ms."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import pytest
from channels.db import database_sync_to_async

from apps.engine.stream import StreamLimits
from apps.engine.stream_events import KlineEvent
from apps.marketdata import selectors, services
from apps.marketdata.exchange.binance import venue
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.simulated.connection import Manners
from apps.marketdata.exchange.simulated.market import SyntheticMarket
from apps.marketdata.exchange.simulated.server import SimulatedExchange
from apps.marketdata.market import MarketView
from apps.marketdata.stream import run_stream
from tests.marketdata.simulated.conftest import NOON_MS, HandClock

MINUTE = 60_000
NEVER_MS = 10**9


def scaled(rotate_after_ms: int, rotate_jitter_ms: int) -> StreamLimits:
    return StreamLimits(
        silence_ms=3_000,
        frozen_ms=4_000,
        backoff_base_ms=10,
        healthy_after_ms=200,
        rotate_after_ms=rotate_after_ms,
        rotate_jitter_ms=rotate_jitter_ms,
        overlap_ms=100,
        overlap_patience_ms=300,
        beat_ms=20,
    )


async def move(clock: HandClock, pause_s: float) -> None:
    """Let the market go on, a third of a minute at a time."""
    while True:
        await clock.step(clock.now_ms() + MINUTE // 3)
        await asyncio.sleep(pause_s)


async def rotate(
    manners: Manners, limits: StreamLimits, caplog: pytest.LogCaptureFixture, *, pause_s: float, timeout_s: float
) -> tuple[list[int], list[str]]:
    """Stream until the line was rotated three times. Returns the open times of the bars told, and the log."""
    caplog.set_level(logging.INFO, logger="apps.marketdata")
    clock, view, stop, told = HandClock(NOON_MS), MarketView(), asyncio.Event(), []
    exchange = SimulatedExchange(SyntheticMarket(seed=7, symbols=("BTCUSDT",)), clock, manners=manners)

    def hear(event: object) -> None:
        if isinstance(event, KlineEvent) and event.closed:
            told.append(event.open_time_ms)

    async def watch() -> None:
        while sum("rotated" in record.message for record in caplog.records) < 3:
            await asyncio.sleep(0.02)
        n_told = len(told)
        while len(told) < n_told + 3:
            await asyncio.sleep(0.02)
        stop.set()

    await exchange.start()
    moving = asyncio.ensure_future(move(clock, pause_s))
    try:
        async with ExchangeClient(venue("simulated", rest_url=exchange.rest_url, ws_url=exchange.ws_url)) as client:
            options = {"symbols": ["BTCUSDT"], "interval": "1m", "store": services.bars_store, "n_history": 20}
            streaming = run_stream(view=view, client=client, stop=stop, publish=hear, limits=limits, **options)
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                watching = group.create_task(watch())
                group.create_task(streaming).add_done_callback(lambda _: watching.cancel())
    finally:
        moving.cancel()
        with suppress(asyncio.CancelledError):
            await moving
        await exchange.stop()
    assert view.feed.reconnects == 0
    return told, [record.message for record in caplog.records if record.name.endswith("stream_shell")]


async def assert_complete(told: list[int]) -> None:
    """The stream told every bar once, in order, and none had to be fetched to have them all in store."""
    assert told == list(range(told[0], told[-1] + MINUTE, MINUTE))
    bars = await database_sync_to_async(selectors.bars_load)("BTCUSDT", "1m", folded_only=False)
    stored = bars.open_time_ms.tolist()
    assert stored == list(range(stored[0], stored[-1] + MINUTE, MINUTE))


async def test_three_planned_rotations_lose_no_bar(desk_db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a word the server cuts at 1 s; the desk leaves before."""
    manners = Manners(ping_s=0.4, pong_s=1.2, life_s=1.0, notice_s=0)
    told, lines = await rotate(manners, scaled(750, 50), caplog, pause_s=0.004, timeout_s=20)
    assert len(told) > 15, "three rotations among too few bars prove nothing"
    await assert_complete(told)
    assert [line for line in lines if "missing" in line] == []
    assert sum("planned" in line and "in 0.00 s" in line for line in lines) == 3


async def test_three_announced_shutdowns_lose_no_bar(desk_db: Path, caplog: pytest.LogCaptureFixture) -> None:
    manners = Manners(ping_s=0.4, pong_s=1.2, life_s=1.0, notice_s=0.4)
    told, lines = await rotate(manners, scaled(NEVER_MS, 0), caplog, pause_s=0.004, timeout_s=20)
    await assert_complete(told)
    assert [line for line in lines if "missing" in line] == []
    assert sum("the server is about to shut down" in line and "rotated" in line for line in lines) == 3


@pytest.mark.soak
async def test_three_days_in_four_minutes_lose_no_bar(desk_db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Times / 1000: a life of 86.4 s, rotations at 82.8 s and up to 1.8 s around it, a minute of market in 60 ms."""
    manners = Manners(ping_s=0.4, pong_s=1.2, life_s=86.4, notice_s=0)
    told, lines = await rotate(manners, scaled(82_800, 1_800), caplog, pause_s=0.02, timeout_s=400)
    assert len(told) > 500, "three rotations among too few bars prove nothing"
    await assert_complete(told)
    assert [line for line in lines if "missing" in line] == []
