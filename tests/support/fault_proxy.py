"""What can happen to frames between a desk and its exchange? Everything here, on command or drawn from a seed.

A TCP proxy on loopback. Plain HTTP passes through untouched. On a WebSocket the proxy reads the frames of both sides,
so that a fault hits whole frames, or cuts one where it hurts.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

HOST = "127.0.0.1"
HUGE_BYTES = 2 * 1024 * 1024
TEXT, PONG = 0x1, 0xA
_QUEUED_FRAMES = 4_096
_GARBAGE = (
    b"",
    b"{",
    b"null",
    b"[1,2,3]",
    b'{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}',
    b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"NaN","B":"1","a":"1","A":"1"}}',
    b'{"stream":7,"data":[]}',
    b"\xf0\x9f\xa6\x86 not json at all",
    b"[" * 2_000,
    # Well-formed, and from the year 2286.
    b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":9999999999999,"s":"BTCUSDT","k":{"t":9999999960000,'
    b'"T":9999999999999,"s":"BTCUSDT","i":"1m","f":1,"L":1,"o":"1","c":"1","h":"1","l":"1","v":"1","n":1,"x":false,'
    b'"q":"1","V":"1","Q":"1","B":"0"}}}',
)


class Fault(StrEnum):
    """What the proxy can do to the links that are open when it is told to."""

    RESET = "reset"  # RST to both sides
    STALL = "stall"  # nothing from the server for a while, then all of it
    HALF_OPEN = "half-open"  # both sockets stay open and nothing passes any more
    SLICE = "slice"  # the next n frames come in pieces of a few bytes
    DUPLICATE = "duplicate"  # the next n frames come twice
    REORDER = "reorder"  # each of the next n frames changes places with the one after it
    LOSE = "lose"  # the next n frames never come
    GARBAGE = "garbage"  # n well-formed frames whose text is not what it should be
    BROKEN = "broken"  # bytes that are no frame
    HUGE = "huge"  # one text frame of 2 MiB
    SWALLOW_PONG = "swallow-pong"  # the server never sees the next n pongs
    LATENCY = "latency"  # every frame from now on is late by this much


class Injected(NamedTuple):
    """One fault as it was injected; printed when a test fails."""

    fault: Fault
    n: int
    seconds: float


class Frame(NamedTuple):
    """A WebSocket frame as it came: `raw` holds header and payload."""

    opcode: int
    raw: bytes


class FaultProxy:
    """Stands between clients and a server on loopback. Use as an async context manager."""

    def __init__(self, target_port: int, *, seed: int = 0) -> None:
        self.port = 0
        self.links: list[Link] = []
        self.accepted_at: list[float] = []
        self.is_open = True
        self._target_port = target_port
        self._rng = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accepted, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def inject(self, fault: Fault, *, n: int = 1, seconds: float = 0.0) -> Injected:
        """Do this to every WebSocket that is open now."""
        for link in list(self.links):
            link.suffer(fault, n, seconds)
        return Injected(fault, n, seconds)

    def inject_random(self, *, longest_s: float) -> Injected:
        """Draw a fault, how many frames it hits and how long it lasts."""
        fault = self._rng.choice(list(Fault))
        return self.inject(fault, n=self._rng.randint(1, 20), seconds=self._rng.uniform(0.0, longest_s))

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # a side left, which is what this proxy is for, or the proxy itself ends
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_open:
            reset(writer)
            return
        head = await reader.readuntil(b"\r\n\r\n")
        server_reader, server_writer = await asyncio.open_connection(HOST, self._target_port, limit=4 * HUGE_BYTES)
        try:
            server_writer.write(head)
            if b"upgrade: websocket" not in head.lower():
                await _first_done(_pipe(reader, server_writer), _pipe(server_reader, writer))
                return
            self.accepted_at.append(asyncio.get_running_loop().time())
            writer.write(await server_reader.readuntil(b"\r\n\r\n"))
            link = Link(reader, writer, server_reader, server_writer, self._rng)
            self.links.append(link)
            try:
                await link.run()
            finally:
                self.links.remove(link)
        finally:
            server_writer.transport.abort()


class Link:
    """One WebSocket through the proxy, and what it suffers at present."""

    def __init__(
        self,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        rng: random.Random,
    ) -> None:
        self.client_sent_at: list[float] = []
        self._client_reader, self._client_writer = client_reader, client_writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.Queue[tuple[float, bytes, bool]] = asyncio.Queue(_QUEUED_FRAMES)
        self._left = dict.fromkeys(Fault, 0)
        self._stalled_until = 0.0
        self._latency_s = 0.0
        self._is_dead = asyncio.Event()
        self._held: bytes | None = None

    async def run(self) -> None:
        """Pass frames on until either side ends."""
        await _first_done(self._take(), self._give(), self._upstream())

    def suffer(self, fault: Fault, n: int, seconds: float) -> None:
        if fault is Fault.RESET:
            reset(self._client_writer)
            reset(self._server_writer)
        elif fault is Fault.HALF_OPEN:
            self._is_dead.set()
        elif fault is Fault.STALL:
            self._stalled_until = self._loop.time() + seconds
        elif fault is Fault.LATENCY:
            self._latency_s = seconds
        elif fault is Fault.BROKEN:
            self._put(self._rng.randbytes(64))
        elif fault is Fault.HUGE:
            self._put(text_frame(b'{"stream":"x","data":"' + b"x" * HUGE_BYTES + b'"}'))
        elif fault is Fault.GARBAGE:
            for _ in range(n):
                self._put(text_frame(self._rng.choice(_GARBAGE)))
        else:
            self._left[fault] += n

    async def _take(self) -> None:
        """Read the server's frames, decide their fate and queue what comes of them."""
        while True:
            frame = await read_frame(self._server_reader)
            is_sliced = self._spend(Fault.SLICE)
            for raw in self._fate(frame):
                await self._due.put((self._loop.time() + self._latency_s, raw, is_sliced))

    def _fate(self, frame: Frame) -> Iterator[bytes]:
        if frame.opcode != TEXT:  # pings and closes keep their place: faults on data must not change the protocol
            yield frame.raw
            return
        if self._spend(Fault.LOSE):
            return
        if self._held is not None:
            yield frame.raw
            yield self._held
            self._held = None
        elif self._spend(Fault.REORDER):
            self._held = frame.raw
        else:
            yield frame.raw
            if self._spend(Fault.DUPLICATE):
                yield frame.raw

    async def _give(self) -> None:
        """Write what is due, as late and as sliced as it has to be."""
        while True:
            due, raw, is_sliced = await self._due.get()
            while (wait_s := max(due, self._stalled_until) - self._loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if self._is_dead.is_set():
                await asyncio.Event().wait()
            for piece in _pieces(raw, self._rng) if is_sliced else (raw,):
                self._client_writer.write(piece)
                await self._client_writer.drain()
                if is_sliced:
                    await asyncio.sleep(0)

    async def _upstream(self) -> None:
        while True:
            frame = await read_frame(self._client_reader)
            self.client_sent_at.append(self._loop.time())
            is_swallowed = frame.opcode == PONG and self._spend(Fault.SWALLOW_PONG)
            if not self._is_dead.is_set() and not is_swallowed:
                self._server_writer.write(frame.raw)
                await self._server_writer.drain()

    def _spend(self, fault: Fault) -> bool:
        has_any = self._left[fault] > 0
        self._left[fault] -= has_any
        return has_any

    def _put(self, raw: bytes) -> None:
        with suppress(asyncio.QueueFull):
            self._due.put_nowait((self._loop.time(), raw, False))


def text_frame(payload: bytes) -> bytes:
    """An unmasked text frame, as a server sends it."""
    n = len(payload)
    if n < 126:
        return struct.pack("!BB", 0x80 | TEXT, n) + payload
    if n < 65_536:
        return struct.pack("!BBH", 0x80 | TEXT, 126, n) + payload
    return struct.pack("!BBQ", 0x80 | TEXT, 127, n) + payload


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame of either side. Raises IncompleteReadError at the end of the stream."""
    head = await reader.readexactly(2)
    n, extra = head[1] & 0x7F, b""
    if n >= 126:
        extra = await reader.readexactly(2 if n == 126 else 8)
        n = int.from_bytes(extra, "big")
    body = await reader.readexactly(n + (4 if head[1] & 0x80 else 0))
    return Frame(head[0] & 0x0F, head + extra + body)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST instead of FIN."""
    peer = writer.get_extra_info("socket")
    if peer is not None and not writer.is_closing():
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _pieces(raw: bytes, rng: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        n = rng.randint(1, 40)
        yield raw[at : at + n]
        at += n


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def _first_done(*parts: object) -> None:
    """Run all until one ends, then end the others."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
