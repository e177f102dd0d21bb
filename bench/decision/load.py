"""A client that keeps its connections: one request after another on each, latencies in milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

HOST = "127.0.0.1"
Make = Callable[[int], tuple[str, dict[str, Any]]]


class Load(NamedTuple):
    """What one run gave."""

    latencies: list[float]
    seconds: float
    answers: list[bytes]
    cpu_seconds: float = 0.0


def load(port: int, make: Make, *, requests: int, clients: int) -> Load:
    """Send requests from so many clients at once; `make(n)` gives path and body of the n-th."""
    return asyncio.run(_load(port, make, requests, clients))


async def _load(port: int, make: Make, requests: int, clients: int) -> Load:
    numbers = iter(range(requests))
    latencies: list[float] = []
    answers: list[bytes] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for number in numbers:
            raw = _raw(*make(number))
            started = time.perf_counter()
            writer.write(raw)
            status, body = await _answer(reader)
            latencies.append((time.perf_counter() - started) * 1e3)
            if status not in (200, 201, 422):
                raise RuntimeError(f"{status}: {body[:300]!r}")
            answers.append(body)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(latencies, time.perf_counter() - started, answers)


def _raw(path: str, body: dict[str, Any]) -> bytes:
    text = orjson.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
    return head.encode() + b"\r\n\r\n" + text


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head:
        return status, await _chunks(reader)
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return status, await reader.readexactly(length)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body
