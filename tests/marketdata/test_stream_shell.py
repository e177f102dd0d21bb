"""The sockets of the price stream: pongs in time, messages in any form, gaps handed on, failures told."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from apps.engine.stream import StreamLimits
from apps.marketdata import services
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.market import MarketView
from apps.marketdata.stream import run_stream
from apps.marketdata.trade_reader import TradeReader
from tests.marketdata.builders import MINUTE, START
from tests.marketdata.fake_exchange import FakeExchange

QUICK = StreamLimits(beat_ms=20, backoff_base_ms=10, backoff_cap_ms=50)
Talk = Callable[[ServerConnection], Any]


def ticker(update_id: int, *, padding: int = 0) -> str:
    data = {"u": update_id, "s": "BTCUSDT", "b": "100", "B": "1", "a": "101", "A": "1", "z": "x" * padding}
    return json.dumps({"stream": "btcusdt@bookTicker", "data": data})


def trade(trade_id: int) -> str:
    at = START + 10 * MINUTE + trade_id
    data = {"e": "aggTrade", "E": at, "s": "BTCUSDT", "a": trade_id, "p": "100", "q": "1", "T": at, "m": True}
    return json.dumps({"stream": "btcusdt@aggTrade", "data": data})


class Desk:
    """A stream that runs against a talking server."""

    def __init__(self, view: MarketView, task: asyncio.Task[None]) -> None:
        self.view = view
        self.task = task

    async def until(self, ready: Callable[[], bool], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not ready():
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.005)

    async def sees(self, update_id: int) -> None:
        await self.until(lambda: self.view.version("BTCUSDT") > 0 and self.update_id() >= update_id)

    def update_id(self) -> int:
        return self.view._lanes["BTCUSDT"].update_id


@asynccontextmanager
async def listening(talk: Talk, **more: Any) -> AsyncIterator[Desk]:
    """A desk whose stream connects to a server that does what `talk` says and then only listens."""

    async def handle(socket: ServerConnection) -> None:
        try:
            await talk(socket)
            await socket.wait_closed()
        except ConnectionClosed:
            pass

    view, stop = MarketView(), asyncio.Event()
    async with FakeExchange() as rest, serve(handle, "127.0.0.1", 0, ping_interval=None) as server:
        rest.close_bars(*range(10))
        port = server.sockets[0].getsockname()[1]
        async with ExchangeClient(rest.venue._replace(ws_url=f"ws://127.0.0.1:{port}")) as client:
            if "on_trades" in more:
                reader = TradeReader(client=client, feed=view.feed)
                reader.on_trades(more.pop("on_trades"))
                more["trades"] = reader
            options = {"symbols": ["BTCUSDT"], "interval": "1m", "store": services.bars_store, "n_history": 5}
            options |= {"limits": QUICK, **more}
            task = asyncio.ensure_future(run_stream(view=view, client=client, stop=stop, **options))
            try:
                yield Desk(view, task)
            finally:
                stop.set()
                await asyncio.wait({task})


async def test_pings_are_answered_while_every_consumer_sleeps(desk_db: Path) -> None:
    """A store that takes seconds and a flood of frames: neither may hold up a pong."""
    delays: list[float] = []

    async def talk(socket: ServerConnection) -> None:
        for at in range(20):
            for update_id in range(500):
                await socket.send(ticker(at * 500 + update_id))
                await socket.send(trade(at * 500 + update_id))
            delays.append(await asyncio.wait_for(await socket.ping(f"{at}"), 5.0))

    def sleepy_store(**block: Any) -> Any:
        time.sleep(0.5)
        return services.bars_store(**block)

    async with listening(talk, store=sleepy_store) as desk:
        await desk.until(lambda: len(delays) == 20, 20.0)
        await desk.sees(9_999)
        assert max(delays) <= 1.0, f"the slowest pong took {max(delays):.3f} s"
        assert desk.view.feed.messages == 20_000 and desk.view.feed.reconnects == 0
        assert desk.view.feed.dropped == 0


async def test_a_message_in_several_frames_is_one_message(desk_db: Path) -> None:
    async def talk(socket: ServerConnection) -> None:
        text = ticker(7)
        await socket.send([text[:10], text[10:50], text[50:]])
        await socket.send(ticker(8))

    async with listening(talk) as desk:
        await desk.sees(8)
        assert desk.view.feed.messages == 2 and desk.view.feed.malformed == 0


async def test_a_message_of_two_megabytes_ends_the_connection_and_not_the_stream(
    desk_db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="apps.marketdata.stream_shell")
    n_connections = 0

    async def talk(socket: ServerConnection) -> None:
        nonlocal n_connections
        n_connections += 1
        await socket.send(ticker(n_connections, padding=2 * 1024 * 1024 if n_connections == 1 else 0))

    async with listening(talk) as desk:
        await desk.sees(2)
        await desk.until(lambda: desk.view.feed.reconnects == 1)
    assert "connection 2 in 0.0" in caplog.text and "1009 (message too big)" in caplog.text


async def test_missing_trades_are_asked_for_and_told_in_order(desk_db: Path) -> None:
    told: list[int] = []

    async def talk(socket: ServerConnection) -> None:
        for trade_id in (5, 6, 9, 10):
            await socket.send(trade(trade_id))

    async with listening(talk, on_trades=lambda symbol, trades: told.extend(one.trade_id for one in trades)) as desk:
        await desk.until(lambda: told == [5, 6])
        assert [one.trade_id for one in desk.view.trades("BTCUSDT")] == [5, 6, 9, 10]


async def test_a_symbol_that_alone_is_silent_is_subscribed_anew(desk_db: Path) -> None:
    heard: list[dict[str, Any]] = []
    ids = itertools.count(1)

    async def hear(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for text in socket:
                heard.append(json.loads(text))

    async def talk(socket: ServerConnection) -> None:
        hearing = asyncio.ensure_future(hear(socket))
        while not hearing.done():
            at = next(ids)
            await socket.send(ticker(at))
            await socket.send(trade(at))
            await asyncio.sleep(0.01)

    quick = QUICK._replace(frozen_ms=600, stale_after_ms=400)
    async with listening(talk, limits=quick, symbols=["BTCUSDT", "ETHUSDT"]) as desk:
        await desk.until(lambda: len(heard) >= 2)
    assert [message["method"] for message in heard[:2]] == ["UNSUBSCRIBE", "SUBSCRIBE"]
    kinds = ("kline_1m", "bookTicker", "aggTrade", "depth20@100ms")
    assert heard[1]["params"] == [f"ethusdt@{kind}" for kind in kinds]


async def test_a_listener_that_raises_ends_the_stream_with_its_error(desk_db: Path) -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.send(ticker(1))

    def publish(event: object) -> None:
        raise ZeroDivisionError("of a listener")

    async with listening(talk, publish=publish) as desk:
        with pytest.raises(ZeroDivisionError, match="of a listener"):
            await asyncio.wait_for(desk.task, 5.0)
        assert not desk.view.feed.connected


async def test_an_exchange_that_refuses_is_asked_again(desk_db: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="apps.marketdata.stream_shell")
    async with FakeExchange() as exchange:
        exchange.close_bars(*range(10))
        venue = exchange.venue._replace(ws_url="ws://127.0.0.1:9")
        view, stop = MarketView(), asyncio.Event()
        async with ExchangeClient(venue) as client:
            options = {"symbols": ["BTCUSDT"], "interval": "1m", "store": services.bars_store, "n_history": 5}
            task = asyncio.ensure_future(run_stream(view=view, client=client, stop=stop, limits=QUICK, **options))
            async with asyncio.timeout(5):
                while caplog.text.count("price stream: connection") < 5:
                    await asyncio.sleep(0.01)
            stop.set()
            await task
    assert "refused" in caplog.text or "Connect call failed" in caplog.text
