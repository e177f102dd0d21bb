"""The simulated exchange itself: one server on loopback that answers REST and streams frames."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from aiohttp import WSCloseCode, web

from apps.marketdata.exchange.simulated.connection import Connection, Manners, unit_of
from apps.marketdata.exchange.simulated.control import MAX_STREAMS
from apps.marketdata.exchange.simulated.faults import NONE, Dice, Faults
from apps.marketdata.exchange.simulated.halts import HaltingMarket
from apps.marketdata.exchange.simulated.lies import HonestBars, LyingBars
from apps.marketdata.exchange.simulated.limits import ConnectionLimits, WeightLimits
from apps.marketdata.exchange.simulated.rest import Rest
from apps.marketdata.exchange.simulated.streams import Hub
from apps.marketdata.exchange.simulated.tape import Market, Tape

HOST = "127.0.0.1"
# A recorded market waits for slow readers, but not for dead ones.
_CALM_FRAMES = 500
_PATIENCE_S = 5.0
_TOO_MANY_CONNECTIONS = "Too many connection attempts; current limit is 300 per 5 minutes."


class Clock(Protocol):
    """Market time; `next_tick` returns None when the market is over."""

    def now_ms(self) -> int: ...
    async def next_tick(self) -> int | None: ...


class SimulatedExchange:
    """A market, a clock and everybody who listens. `on_end` is called once when a recorded market is over."""

    def __init__(
        self,
        market: Market,
        clock: Clock,
        *,
        manners: Manners | None = None,
        limits: WeightLimits | None = None,
        connection_limits: ConnectionLimits | None = None,
        faults: Faults = NONE,
        seed: int = 0,
        wait_for_client: bool = False,
        is_paced: bool = False,
        on_end: Callable[[int], None] | None = None,
    ) -> None:
        self.clock = clock
        self.tape = Tape(_halting(market, faults, seed))
        self._dice = Dice(faults, random.Random(seed)) if faults else None
        bars = LyingBars(faults, seed, market.specs) if faults else HonestBars()
        self.hub = Hub(self.tape, bars)
        self.port = 0
        self._manners = _mannered(manners or Manners(), faults)
        self._rest = Rest(self.tape, clock, limits or WeightLimits(), bars, self._dice)
        self._connection_limits = connection_limits or ConnectionLimits()
        self._wait_for_client = wait_for_client
        self._is_paced = is_paced
        self._on_end = on_end
        self._connections: set[Connection] = set()
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on loopback. Raises OSError when the port is taken."""
        app = web.Application()
        self._rest.register(app)
        app.router.add_get("/ws", self._raw)
        app.router.add_get("/ws/{streams:.+}", self._raw)
        app.router.add_get("/stream", self._combined)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Cut every connection and stop listening."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        cuts = [connection.close(WSCloseCode.GOING_AWAY, "Server shutdown") for connection in self._connections]
        await asyncio.gather(*cuts, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def wait_failed(self) -> None:
        """Return when the market has ended; raise what broke it."""
        if self._ticker is not None:
            await self._ticker

    async def _tick(self) -> None:
        while self._wait_for_client and not self.hub.has_kline_listener:
            await asyncio.sleep(0.02)
        before = self.clock.now_ms()
        while (now := await self.clock.next_tick()) is not None:
            self.hub.advance(before, now)
            before = now
            if self._is_paced:
                await self._calm()
        if self._on_end is not None:
            self._on_end(self.clock.now_ms())

    async def _calm(self) -> None:
        """Let a recorded market wait until the frames sent so far have left."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_S
        await asyncio.sleep(0)
        while any(one.queued > _CALM_FRAMES for one in self._connections) and loop.time() < until:
            await asyncio.sleep(0.002)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.match_info.get("streams", "").split("/") if name]
        return await self._serve(request, names, combined=False)

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.query.get("streams", "").split("/") if name]
        return await self._serve(request, names, combined=True)

    async def _serve(self, request: web.Request, names: list[str], *, combined: bool) -> web.StreamResponse:
        if not self._connection_limits.admits(request.remote or ""):
            return web.Response(status=429, text=_TOO_MANY_CONNECTIONS)
        if len(set(names)) > MAX_STREAMS:
            return web.Response(status=400, text="Too many streams")
        connection = Connection(
            self.hub, self._manners, combined=combined, unit=unit_of(request), names=names, dice=self._dice
        )
        self._connections.add(connection)
        try:
            return await connection.run(request)
        finally:
            self._connections.discard(connection)


def _halting(market: Market, faults: Faults, seed: int) -> Market:
    halt = faults.get("halt")
    if halt is None:
        return market
    return HaltingMarket(market, chance=halt.chance, seconds=halt.seconds, seed=seed)


def _mannered(manners: Manners, faults: Faults) -> Manners:
    """Connections live as long as the faults let them."""
    life = faults.get("life")
    if life is None:
        return manners
    return replace(manners, life_s=life.seconds, notice_s=min(manners.notice_s, life.seconds / 2))
