"""A simulated exchange inside the test's own loop, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
import pytest

from apps.marketdata.exchange.simulated.connection import Manners
from apps.marketdata.exchange.simulated.limits import WeightLimits
from apps.marketdata.exchange.simulated.market import SyntheticMarket
from apps.marketdata.exchange.simulated.server import SimulatedExchange

NOON_MS = 1_767_268_800_000  # 2026-01-01 12:00 UTC
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class HandClock:
    """Stands still until the test moves it; `step` returns when the server has sent what the step brought."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._steps: asyncio.Queue[int] = asyncio.Queue()
        self._idle = asyncio.Event()

    def now_ms(self) -> int:
        return self._now_ms

    async def next_tick(self) -> int | None:
        self._idle.set()
        self._now_ms = await self._steps.get()
        return self._now_ms

    async def step(self, ts_ms: int) -> None:
        await self._idle.wait()
        self._idle.clear()
        self._steps.put_nowait(ts_ms)
        await self._idle.wait()


class Desk:
    """A running exchange and a client session."""

    def __init__(self, exchange: SimulatedExchange, clock: Any, session: aiohttp.ClientSession) -> None:
        self.exchange = exchange
        self.clock = clock
        self.session = session

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        """Status, parsed body and headers of GET /api/v3/<path>."""
        async with self.session.get(f"{self.exchange.rest_url}/api/v3/{path}", headers=headers) as response:
            return response.status, orjson.loads(await response.read()), response.headers

    async def listen(self, path: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
        return await self.session.ws_connect(f"{self.exchange.ws_url}{path}", **options)


async def frames_now(ws: aiohttp.ClientWebSocketResponse, quiet_s: float = 0.1) -> list[dict[str, Any]]:
    """Every frame that has come until nothing more does."""
    found = []
    while True:
        try:
            message = await ws.receive(timeout=quiet_s)
        except TimeoutError:
            return found
        if message.type is not aiohttp.WSMsgType.TEXT:
            return found
        found.append(orjson.loads(message.data))


@pytest.fixture
async def open_desk() -> AsyncIterator[Callable[..., Awaitable[Desk]]]:
    """Opens exchanges; all are closed when the test ends."""
    async with AsyncExitStack() as stack:

        async def open_one(
            *,
            now_ms: int = NOON_MS,
            market: Any = None,
            clock: Any = None,
            manners: Manners | None = None,
            limits: WeightLimits | None = None,
            **options: Any,
        ) -> Desk:
            clock = clock or HandClock(now_ms)
            market = market or SyntheticMarket(seed=7, symbols=SYMBOLS)
            exchange = SimulatedExchange(market, clock, manners=manners, limits=limits, **options)
            await exchange.start()
            stack.push_async_callback(exchange.stop)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Desk(exchange, clock, session)

        yield open_one
