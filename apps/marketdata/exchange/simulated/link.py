"""How do frames reach one client: at once and whole, or as a bad network and a bad server would have it?"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

from aiohttp import WSMsgType, web

from apps.marketdata.exchange.simulated.faults import Dice

HUGE_BYTES = 2 * 1024 * 1024
_HUGE = b'{"stream":"x","data":"' + b"x" * HUGE_BYTES + b'"}'
_GARBAGE = (
    b"",
    b"{",
    b"[1,2,3]",
    b'{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}',
    b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"NaN","B":"1","a":"1","A":"1"}}',
    b'{"stream":7,"data":[]}',
    b"<html>502 Bad Gateway</html>",
)


class Link:
    """Writes frames to one client, honestly."""

    latency_s = 0.0
    is_dead = False

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws

    async def send(self, frame: bytes) -> None:
        await self._ws.send_frame(frame, WSMsgType.TEXT)

    async def ping(self, payload: bytes) -> None:
        await self._ws.ping(payload)

    def hears_pong(self) -> bool:
        return True


class FaultyLink(Link):
    """Writes frames to one client with the faults that the dice bring."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport, dice: Dice) -> None:
        super().__init__(ws)
        self._transport = transport
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._looked_at = self._loop.time()
        self._is_silent = False
        self._held: bytes | None = None
        self._writing = asyncio.Lock()  # a ping must not land between the pieces of a frame
        self.latency_s = dice.seconds("latency") if dice.hits("latency") else 0.0

    async def send(self, frame: bytes) -> None:
        await self._suffer()
        if self.is_dead or self._is_silent:
            return
        for told in self._told(frame):
            async with self._writing:
                if self._dice.hits("slice"):
                    await self._send_sliced(told)
                else:
                    await self._ws.send_frame(told, WSMsgType.TEXT)

    async def ping(self, payload: bytes) -> None:
        if not self.is_dead:
            async with self._writing:
                await self._ws.ping(payload)

    def hears_pong(self) -> bool:
        return not self._dice.hits("swallow-pong")

    async def _suffer(self) -> None:
        """What befalls the connection as time passes."""
        now = self._loop.time()
        elapsed, self._looked_at = now - self._looked_at, now
        if self._dice.hits("reset", times=elapsed):
            reset(self._transport)
        elif self._dice.hits("half-open", times=elapsed):
            self.is_dead = True
            self._transport.pause_reading()
        elif self._dice.hits("silence", times=elapsed):
            self._is_silent = True
        elif self._dice.hits("stall", times=elapsed):
            await asyncio.sleep(self._dice.seconds("stall"))
            self._looked_at = self._loop.time()
        elif self._dice.hits("huge", times=elapsed):
            async with self._writing:
                await self._ws.send_frame(_HUGE, WSMsgType.TEXT)

    def _told(self, frame: bytes) -> Iterator[bytes]:
        """The frames that go out in place of this one."""
        if self._dice.hits("lose"):
            return
        if self._dice.hits("garbage"):
            yield self._dice.rng.choice(_GARBAGE)
        if self._held is not None:
            held, self._held = self._held, None
            yield from (frame, held)
        elif self._dice.hits("reorder"):
            self._held = frame
        else:
            yield frame
            if self._dice.hits("duplicate"):
                yield frame

    async def _send_sliced(self, frame: bytes) -> None:
        raw, at = _header(len(frame)) + frame, 0
        while at < len(raw):
            if self._transport.is_closing():
                raise ConnectionResetError("the client left between two pieces of a frame")
            size = self._dice.rng.randint(1, 60)
            self._transport.write(raw[at : at + size])
            at += size
            await asyncio.sleep(0)


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST instead of FIN."""
    peer: Any = transport.get_extra_info("socket")
    if peer is not None and not transport.is_closing():
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _header(n: int) -> bytes:
    """Of an unmasked, unfragmented text frame."""
    if n < 126:
        return struct.pack("!BB", 0x81, n)
    return struct.pack("!BBH", 0x81, 126, n) if n < 65_536 else struct.pack("!BBQ", 0x81, 127, n)
