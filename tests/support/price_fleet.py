"""Many browsers in one process: each reads prices, acknowledges, and notes how old every frame was when it came."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ACK_S = 2.0  # the page takes 5 s for at most 10 frames/s; the benchmark has 20
BID = re.compile(rb'"bid":"([0-9.]+)"')
SEQ = re.compile(rb'"seq":(\d+)')
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class PriceServer:
    """A running `tests.support.price_server`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def cpu_s(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def price_server(*options: str) -> Iterator[PriceServer]:
    command = [sys.executable, "-m", "tests.support.price_server", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield PriceServer(process)
        finally:
            process.send_signal(signal.SIGTERM)


class Browser(asyncio.Protocol):
    """One WebSocket client, as small as it can be: five hundred of them must not be what is measured."""

    def __init__(self, port: int) -> None:
        self.ages_us: list[int] = []
        self.n_frames = 0
        self.seq = 0
        self.n_gaps = 0
        self.close_code: int | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_counting = False
        self.is_silent = False  # whether it keeps its acknowledgements to itself
        self._port = port
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            f"GET /ws/prices/ HTTP/1.1\r\nHost: localhost:{self._port}\r\nOrigin: http://localhost:{self._port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not self.opened.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self.opened.set_result(None)
            asyncio.get_running_loop().call_later(random.uniform(0.5, 1.0) * ACK_S, self._acknowledge)
        self._buffer = self._read_frames(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionResetError("closed during the handshake"))
        self.closed.set_result(None)

    def _read_frames(self, data: bytes) -> bytes:
        """Read the whole frames; what is left of the last one is returned."""
        at = 0
        while len(data) - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if len(data) < start + size or size == 127:
                break
            self._read(data[at] & 15, data[start : start + size])
            at = start + size
        return data[at:]

    def _read(self, kind: int, payload: bytes) -> None:
        if kind == TEXT:
            self._read_text(payload)
        elif kind == PING:
            self._write(PONG, payload)
        elif kind == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            self.transport.close()

    def _read_text(self, payload: bytes) -> None:
        now = time.monotonic()
        seq = int(SEQ.search(payload)[1])
        self.n_gaps += self.seq != 0 and seq != self.seq + 1
        self.seq = seq
        bids = BID.findall(payload)
        if self.is_counting and bids:
            self.n_frames += 1
            self.ages_us.append(int(now * 1e6) - max(round(float(bid) * 1e8) for bid in bids))

    def _acknowledge(self) -> None:
        if not self.transport.is_closing() and not self.is_silent:
            self._write(TEXT, b'{"ack":%d}' % self.seq)
            asyncio.get_running_loop().call_later(ACK_S, self._acknowledge)

    def _write(self, kind: int, payload: bytes) -> None:
        self.transport.write(bytes([128 | kind, 128 | len(payload), 0, 0, 0, 0]) + payload)


async def opened(port: int) -> Browser:
    """A browser that is connected."""
    _, browser = await asyncio.get_running_loop().create_connection(lambda: Browser(port), "127.0.0.1", port)
    await browser.opened
    return browser


async def fleet_of(n_browsers: int, port: int) -> list[Browser]:
    """So many browsers; they come fifty at a time, and acknowledge at moments of their own."""
    fleet: list[Browser] = []
    while len(fleet) < n_browsers:
        fleet += await asyncio.gather(*[opened(port) for _ in range(min(50, n_browsers - len(fleet)))])
    return fleet


async def measured(fleet: list[Browser], seconds: float) -> list[int]:
    """Ages in microseconds, ascending, of every frame that reached any of them in this time."""
    for browser in fleet:
        browser.ages_us.clear()
        browser.n_frames, browser.is_counting = 0, True
    await asyncio.sleep(seconds)
    for browser in fleet:
        browser.is_counting = False
    return sorted(age for browser in fleet for age in browser.ages_us)


def close_all(fleet: list[Browser]) -> None:
    for browser in fleet:
        browser.transport.abort()


def quantile_ms(sorted_us: list[int], share: float) -> float:
    return sorted_us[min(len(sorted_us) - 1, int(len(sorted_us) * share))] / 1000
