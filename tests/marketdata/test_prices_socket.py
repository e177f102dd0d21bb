"""WS /ws/prices/: who may open it, what comes, what the client must do."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from autobahn.exception import Disconnected
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from apps.marketdata import consumers, price_client
from apps.marketdata.beat import Beat
from apps.marketdata.exchange.frames import AggTradeEvent, BookTickerEvent
from apps.marketdata.hub import broadcast, hub
from apps.marketdata.market import MarketView, market_view
from apps.marketdata.routing import websocket_urlpatterns

T0 = 1_600_000_000_000
HOST = (b"host", b"localhost:5000")
OWN = (b"origin", b"http://localhost:5000")


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketView]:
    """A view of its own for each test, seen by the consumer instead of the process's."""
    fresh = MarketView(symbols=["BTCUSDT", "ETHUSDT", "SOLUSDT"])
    fresh.on_update(hub.ring)
    monkeypatch.setattr(consumers, "market_view", lambda: fresh)
    yield fresh
    assert hub.n_clients == 0


def set_price(view: MarketView, symbol: str, bid: int, update_id: int) -> None:
    view.apply(AggTradeEvent(symbol, T0 + update_id, update_id, bid * 10**8, 1, T0, False))
    view.apply(BookTickerEvent(symbol, update_id, bid * 10**8, 1, (bid + 1) * 10**8, 1))


@asynccontextmanager
async def opened(
    query: str = "", headers: tuple[tuple[bytes, bytes], ...] = (HOST, OWN), client: str = "127.0.0.1"
) -> AsyncIterator[WebsocketCommunicator]:
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), f"/ws/prices/{query}", headers=list(headers))
    socket.scope["client"] = [client, 40_000]
    accepted, _ = await socket.connect()
    assert accepted
    try:
        yield socket
    finally:
        await socket.disconnect()


async def message(socket: WebsocketCommunicator, timeout_s: float = 2.0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await socket.receive_from(timeout_s))
    return found


async def close_code(socket: WebsocketCommunicator) -> int:
    while True:
        output = await socket.receive_output(2.0)
        if output["type"] == "websocket.close":
            return int(output["code"])


async def test_first_a_snapshot_then_ticks(view: MarketView) -> None:
    set_price(view, "BTCUSDT", 100, 1)
    async with opened("?symbols=BTCUSDT,ETHUSDT") as socket:
        first = await message(socket)
        assert (first["type"], first["seq"], first["status"]["connected"]) == ("snapshot", 1, False)
        assert [(tick["symbol"], tick["bid"], tick["ask"], tick["last"]) for tick in first["ticks"]] == [
            ("BTCUSDT", "100", "101", "100")
        ]
        set_price(view, "ETHUSDT", 7, 2)
        ticks = await message(socket)
        assert (ticks["type"], ticks["seq"]) == ("ticks", 2)
        tick = ticks["ticks"][0]
        assert set(tick) == {"symbol", "bid", "ask", "last", "ts", "ageMs"}
        assert tick["symbol"] == "ETHUSDT" and tick["ts"].endswith("Z") and tick["ageMs"] >= 0


async def test_a_burst_is_conflated_to_the_latest(view: MarketView) -> None:
    set_price(view, "BTCUSDT", 1, 1)
    async with opened("?symbols=BTCUSDT") as socket:
        await message(socket)
        started = asyncio.get_running_loop().time()
        for number in range(2, 400):
            set_price(view, "BTCUSDT", number, number)
            await asyncio.sleep(0.001)
        frames = []
        while not frames or frames[-1]["ticks"][0]["bid"] != "399":
            frames.append(await message(socket))
        seconds = asyncio.get_running_loop().time() - started
        assert len(frames) <= 10 * seconds + 1
        assert [frame["seq"] for frame in frames] == list(range(2, len(frames) + 2))
        assert view.feed.conflated > 100


async def test_symbols_that_were_not_asked_for_do_not_come(view: MarketView) -> None:
    async with opened("?symbols=BTCUSDT") as socket:
        await message(socket)
        set_price(view, "SOLUSDT", 9, 1)
        set_price(view, "BTCUSDT", 9, 2)
        frame = await message(socket)
        while frame["type"] != "ticks":
            frame = await message(socket)
        assert [tick["symbol"] for tick in frame["ticks"]] == ["BTCUSDT"]


async def test_a_broadcast_from_any_thread_reaches_every_client(view: MarketView) -> None:
    async with opened() as one, opened("?symbols=BTCUSDT") as two:
        for socket in (one, two):
            assert (await message(socket))["type"] == "snapshot"
        thread = threading.Thread(target=broadcast, args=({"type": "execution", "executionId": "e1"},))
        thread.start()
        thread.join()
        for socket in (one, two):
            found = await message(socket)
            assert (found["type"], found["executionId"], found["seq"]) == ("execution", "e1", 2)


async def test_a_change_of_the_feed_is_told(view: MarketView) -> None:
    async with opened() as socket:
        assert (await message(socket))["type"] == "snapshot"
        view.feed.connected = True
        found = await message(socket)
        assert (found["type"], found["connected"]) == ("status", True)


@pytest.mark.parametrize(
    "query", ["?symbols=NOPE", "?symbols=BTCUSDT,BTCUSDT", "?other=1", "?symbols=BTCUSDT&symbols=ETHUSDT", "?%ff", "?a"]
)
async def test_a_question_that_makes_no_sense_is_closed_4400(view: MarketView, query: str) -> None:
    async with opened(query) as socket:
        assert await close_code(socket) == 4400


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "[]",
        "{}",
        '{"ack": "1"}',
        '{"ack": true}',
        '{"ack": 99}',
        '{"ack": -1}',
        '{"ack": 0, "x": 1}',
        "x" * 9_999,
    ],
)
async def test_garbage_from_the_client_is_closed_4400(view: MarketView, text: str) -> None:
    async with opened() as socket:
        await message(socket)
        await socket.send_to(text_data=text)
        assert await close_code(socket) == 4400


async def test_a_flood_of_acknowledgements_is_closed_4400(view: MarketView) -> None:
    async with opened() as socket:
        await message(socket)
        for _ in range(50):
            await socket.send_to(text_data='{"ack": 1}')
        assert await close_code(socket) == 4400
        assert await socket.receive_nothing(0.05)


async def test_binary_is_garbage(view: MarketView) -> None:
    async with opened() as socket:
        await socket.send_to(bytes_data=b'{"ack": 0}')
        assert await close_code(socket) == 4400


async def test_who_does_not_acknowledge_is_closed_4408(view: MarketView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_client, "ACK_WITHIN_S", 0.4)
    async with opened() as silent, opened() as polite:
        for _ in range(4):
            set_price(view, "BTCUSDT", 5, 1)
            last = await message(polite)
            await polite.send_to(text_data=json.dumps({"ack": last["seq"]}))
            await asyncio.sleep(0.15)
        assert await close_code(silent) == 4408
        assert await polite.receive_nothing(0.05)


async def test_who_lags_gets_no_more_ticks_until_it_catches_up(
    view: MarketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_client, "UNSEEN_FRAMES", 3)
    async with opened("?symbols=BTCUSDT") as socket:
        seqs = []
        for number in range(1, 8):
            set_price(view, "BTCUSDT", number, number)
            await asyncio.sleep(0.12)
        while not await socket.receive_nothing(0.05):
            seqs.append((await message(socket))["seq"])
        assert seqs == [1, 2, 3]
        await socket.send_to(text_data='{"ack": 3}')
        caught_up = await message(socket)
        assert caught_up["ticks"][0]["bid"] == "7"


async def test_who_lets_messages_pile_up_is_closed_4409(view: MarketView) -> None:
    async with opened() as socket:
        await message(socket)
        for _ in range(300):
            broadcast({"type": "execution", "note": "x" * 1_000})
        frames = 0
        while (output := await socket.receive_output(2.0))["type"] == "websocket.send":
            frames += 1
        assert output["code"] == 4409
        assert 250_000 < frames * 1_030 < 256 * 1024


async def test_a_client_that_leaves_is_silent(
    view: MarketView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The transport knows that the client is gone before the consumer is told, and says so by raising."""
    async with opened() as socket:
        await message(socket)

        async def gone(*args: Any, **given: Any) -> None:
            raise Disconnected("Attempt to send on a closed protocol")

        monkeypatch.setattr(price_client.PriceClient, "write", gone)
        set_price(view, "BTCUSDT", 5, 1)
        assert await socket.receive_nothing(0.3)
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


async def test_a_failure_of_ours_is_logged_and_closed_4500(
    view: MarketView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only 1000 and 3000 to 4999 may be sent by an application."""
    async with opened() as socket:
        await message(socket)

        def broken(*args: Any, **given: Any) -> Any:
            raise RuntimeError("a bug")

        monkeypatch.setattr(Beat, "_encode", broken)
        set_price(view, "BTCUSDT", 5, 1)
        assert await close_code(socket) == price_client.FAILED == 4500
    assert "a price client is cut off" in caplog.text


async def test_a_message_that_cannot_be_encoded_cuts_everybody_off_and_is_logged(
    view: MarketView, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as one, opened() as two:
        for socket in (one, two):
            await message(socket)
        broadcast({"type": "execution", "executionId": object()})
        assert [await close_code(one), await close_code(two)] == [4500, 4500]
    assert "a beat of prices failed" in caplog.text
    async with opened() as again:
        assert (await message(again))["type"] == "snapshot"


def test_every_close_code_is_one_that_may_be_sent() -> None:
    codes = ("BAD_REQUEST", "NOT_ALLOWED", "NO_ACK", "TOO_SLOW", "FAILED")
    assert all(3000 <= getattr(price_client, name) <= 4999 for name in codes)


def test_the_process_has_one_view_and_it_rings_the_hub() -> None:
    assert market_view() is market_view()
    assert hub.ring in market_view()._update_listeners
