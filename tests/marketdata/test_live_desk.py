"""The real client, stream and commands against the simulated exchange, over real HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.core.management import CommandError, call_command

from apps.marketdata import selectors, services
from apps.marketdata.exchange.binance import venue
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.simulated.process import ExchangeProcess, start_exchange
from apps.marketdata.market import MarketView
from apps.marketdata.stream import run_stream

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with start_exchange(symbols=SYMBOLS) as process:
        yield process


@pytest.fixture
def desk(desk_db: Path, exchange: ExchangeProcess, settings: Any) -> None:
    settings.EXCHANGE_REST_URL, settings.EXCHANGE_WS_URL = exchange.rest_url, exchange.ws_url
    settings.SYMBOLS, settings.HISTORY_BARS = SYMBOLS, 1_500


async def until_live(view: MarketView, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(20):
        while not view.symbols() or any(view.quote(name) is None or view.book(name) is None for name in view.symbols()):
            if task.done():
                await task
            await asyncio.sleep(0.02)


async def test_it_syncs_and_streams_from_the_simulated_exchange(desk: None, exchange: ExchangeProcess) -> None:
    view, stop = MarketView(), asyncio.Event()
    client = ExchangeClient(venue("simulated", rest_url=exchange.rest_url, ws_url=exchange.ws_url))
    async with client:
        options = {"symbols": SYMBOLS, "interval": "1m", "store": services.bars_store, "n_history": 1_200}
        task = asyncio.ensure_future(run_stream(view=view, client=client, stop=stop, **options))
        await until_live(view, task)
        market_ms = await client.time()
        assert abs(view.now_ms() - market_ms) < 500
        for symbol in SYMBOLS:
            quote, book = view.quote(symbol), view.book(symbol)
            assert 0 < quote.bid_e8 < quote.ask_e8 and len(book.bids) == len(book.asks) == 20
            later = await view.wait_book_async(symbol, view.now_ms() + 50, 2.0)
            assert later is not None and later.ts_ms > book.ts_ms
        stop.set()
        await task
    bars = await database_sync_to_async(selectors.bars_load)("ETHUSDT", "1m")
    assert bars.n == 1_200 and set((bars.open_time_ms[1:] - bars.open_time_ms[:-1]).tolist()) == {60_000}
    watched = await database_sync_to_async(selectors.watch_list)()
    assert [info.symbol for info in watched] == list(SYMBOLS) and all(info.filters.is_exact() for info in watched)
    assert (view.feed.malformed, view.feed.dropped, view.feed.conflicting) == (0, 0, 0)


def test_the_sync_command_resumes(desk: None) -> None:
    out = StringIO()
    call_command("sync_ohlcv", "--symbols", "BTCUSDT", stdout=out)
    assert "BTCUSDT 1m" in out.getvalue() and "1500 inserted" in out.getvalue() and "100%" in out.getvalue()
    again = StringIO()
    call_command("sync_ohlcv", "--symbols", "BTCUSDT", "--json", stdout=again)
    report = json.loads(again.getvalue())
    assert report["inserted"] <= 1 and report["unchanged"] == 0
    whole = StringIO()
    call_command("sync_ohlcv", "--symbols", "BTCUSDT", "--days", "0.5", "--json", stdout=whole)
    report = json.loads(whole.getvalue())
    assert report["received"] >= 719 and report["conflicting"] == 0 and report["missing"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["--interval", "7m"], 2, "interval"),
        (["--symbols", "NOPEUSDT"], 2, "symbol"),
        (["--days", "-1"], 2, "--days"),
        (["--start", "2026-01-02", "--end", "2026-01-01"], 2, "--start"),
    ],
)
def test_bad_arguments_end_with_status_2(desk: None, arguments: list[str], status: int, word: str) -> None:
    with pytest.raises(CommandError, match=word) as caught:
        call_command("sync_ohlcv", *arguments, stdout=StringIO())
    assert caught.value.returncode == status


def test_an_exchange_that_is_away_ends_with_status_4(
    desk: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.marketdata.exchange.client.BACKOFF_BASE_S", 0.001)
    settings.EXCHANGE_REST_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError) as caught:
        call_command("sync_ohlcv", stdout=StringIO())
    assert caught.value.returncode == 4


async def test_a_replayed_market_is_followed_bar_by_bar(desk: None, recorded_data: Path) -> None:
    file = recorded_data / "klines/raw-dump/ETHUSDT-1m-2022-06-15.zip"
    view, stop = MarketView(), asyncio.Event()
    closed: list[int] = []
    view.on_bar_closed(lambda symbol, at: closed.append(at))
    process = await asyncio.to_thread(start_exchange, from_file=file, speed=0, history=300)
    try:
        async with ExchangeClient(venue("simulated", rest_url=process.rest_url, ws_url=process.ws_url)) as client:
            options = {"symbols": ["ETHUSDT"], "interval": "1m", "store": services.bars_store, "n_history": 200}
            task = asyncio.ensure_future(run_stream(view=view, client=client, stop=stop, **options))
            async with asyncio.timeout(20):
                while len(closed) < 8:
                    await asyncio.sleep(0.02)
            assert view.clock.rate > 2
            stop.set()
            await task
    finally:
        await asyncio.to_thread(process.stop)
    bars = await database_sync_to_async(selectors.bars_load)("ETHUSDT", "1m")
    assert bars.n >= 208 and set((bars.open_time_ms[1:] - bars.open_time_ms[:-1]).tolist()) == {60_000}
