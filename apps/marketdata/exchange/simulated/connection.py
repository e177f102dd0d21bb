"""How does one WebSocket connection behave: its queue, its pings, its limits, its end?"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from apps.marketdata.exchange.simulated.control import MAX_STREAMS, answer
from apps.marketdata.exchange.simulated.faults import Dice
from apps.marketdata.exchange.simulated.link import FaultyLink, Link
from apps.marketdata.exchange.simulated.payloads import MICRO, MILLI
from apps.marketdata.exchange.simulated.streams import Hub

MAX_MESSAGE_BYTES = 65_536
MAX_QUEUED_FRAMES = 5_000
MAX_QUEUED_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Manners:
    """Durations in wall seconds; tests scale them down. `notice_s` = 0 cuts old connections without serverShutdown."""

    ping_s: float = 20.0
    pong_s: float = 60.0
    life_s: float = 86_400.0
    notice_s: float = 10.0
    messages_per_s: int = 5
    close_s: float = 2.0


class Connection:
    """One client. Frames queue here; a client that does not take them is dropped, never waited for."""

    def __init__(
        self, hub: Hub, manners: Manners, *, combined: bool, unit: int, names: list[str], dice: Dice | None = None
    ) -> None:
        self.combined = combined
        self.unit = unit
        self.names = dict.fromkeys(names)
        self._hub = hub
        self._manners = manners
        self._ws = web.WebSocketResponse(
            autoping=False, compress=False, timeout=manners.close_s, max_msg_size=MAX_MESSAGE_BYTES
        )
        self._dice = dice
        self._link = Link(self._ws)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._received: deque[float] = deque()
        self._pings: dict[bytes, float] = {}

    @property
    def queued(self) -> int:
        return len(self._queue)

    def post(self, frame: bytes) -> None:
        """Queue a frame; beyond the bounds the connection is cut."""
        self._queue.append((time.monotonic() + self._link.latency_s, frame))
        self._queued_bytes += len(frame)
        if len(self._queue) > MAX_QUEUED_FRAMES or self._queued_bytes > MAX_QUEUED_BYTES:
            self._drop()
        self._wake.set()

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the client until either side ends it."""
        await self._ws.prepare(request)
        self._transport = request.transport
        if self._dice is not None and self._transport is not None:
            self._link = FaultyLink(self._ws, self._transport, self._dice)
        self._hub.subscribe(self, self.names)
        helpers = [asyncio.create_task(self._write()), asyncio.create_task(self._keep())]
        try:
            await self._read()
        except ConnectionError:
            self._drop()  # the client left before its answer
        finally:
            self._hub.unsubscribe(self, self.names)
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        return self._ws

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye and leave; a half-open connection ends without a word."""
        if self._link.is_dead:
            self._drop()
        await self._ws.close(code=code, message=reason.encode())

    async def announce_shutdown(self) -> None:
        """Say serverShutdown, and cut after the notice. Without a notice: cut at once."""
        if self._manners.notice_s > 0:
            body = {"e": "serverShutdown", "E": int(time.time() * 1000) * self.unit}
            self.post(orjson.dumps({"stream": "!serverShutdown", "data": body} if self.combined else body))
            await asyncio.sleep(self._manners.notice_s)
        await self.close(WSCloseCode.GOING_AWAY, "Server shutdown")

    async def _read(self) -> None:
        async for message in self._messages():
            now = time.monotonic()
            while self._received and self._received[0] <= now - 1.0:
                self._received.popleft()
            self._received.append(now)
            if len(self._received) > self._manners.messages_per_s:
                await self.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            await self._take(message)

    async def _messages(self) -> AsyncIterator[WSMessage]:
        """What the client sends, pings and pongs included, until the connection is over."""
        while True:
            message = await self._ws.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
                return
            yield message

    async def _take(self, message: WSMessage) -> None:
        if message.type == WSMsgType.PING:
            await self._ws.pong(message.data)
        elif message.type == WSMsgType.PONG:
            # Only the echo of a ping counts; unasked pongs are allowed and keep nothing alive.
            if self._link.hears_pong():
                self._pings.pop(bytes(message.data), None)
        else:
            self.post(orjson.dumps(answer(message.data, self)))

    def add(self, names: list[str]) -> bool:
        """Subscribe. False when that were too many streams."""
        if len(self.names | dict.fromkeys(names)) > MAX_STREAMS:
            return False
        self.names |= dict.fromkeys(names)
        self._hub.subscribe(self, names)
        return True

    def remove(self, names: list[str]) -> None:
        for name in names:
            self.names.pop(name, None)
        self._hub.unsubscribe(self, names)

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    due, frame = self._queue.popleft()
                    self._queued_bytes -= len(frame)
                    if (wait_s := due - time.monotonic()) > 0:
                        await asyncio.sleep(wait_s)
                    await self._link.send(frame)
        except (ConnectionError, RuntimeError):
            # The socket closed under a frame; the reader sees it too and ends the connection.
            self._drop()

    async def _keep(self) -> None:
        """Ping, cut the silent, and end the connection when its life is over."""
        born = time.monotonic()
        due = born + self._manners.ping_s
        while True:
            now = time.monotonic()
            end = born + self._manners.life_s - self._manners.notice_s
            oldest = min(self._pings.values(), default=float("inf")) + self._manners.pong_s
            if now >= end:
                await self.announce_shutdown()
                return
            if now >= oldest:
                await self.close(WSCloseCode.POLICY_VIOLATION, "Pong timeout")
                return
            if now >= due:
                payload = str(int(time.time() * 1000)).encode()
                self._pings[payload] = now
                due = now + self._manners.ping_s
                await self._link.ping(payload)
            await asyncio.sleep(max(min(due, end, oldest) - time.monotonic(), 0.001))

    def _drop(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        if self._transport is not None:
            self._transport.abort()


def unit_of(request: web.Request) -> int:
    return MICRO if request.query.get("timeUnit", "").upper() == "MICROSECOND" else MILLI
