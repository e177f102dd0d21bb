"""A request as the server hands it to Django's asynchronous handler, and what comes back."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any, NamedTuple

import orjson
from django.core.handlers.asgi import ASGIHandler, ASGIRequest

from apps.web.asgi import DeskHandler


class Told(NamedTuple):
    """An answer; names of headers in small letters."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return orjson.loads(self.content)


def scope_of(method: str, path: str, headers: dict[str, str], length: int = 0) -> dict[str, Any]:
    given = {"host": "localhost", **({"content-length": str(length)} if length else {}), **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
    }


def request_of(path: str, **headers: str) -> ASGIRequest:
    return ASGIRequest(scope_of("GET", path, headers), BytesIO())


def post(path: str, body: bytes, **headers: str) -> Told:
    """The whole handler with its middlewares, on an event loop of this thread."""
    return asyncio.run(_post(DeskHandler(), path, body, {"content-type": "application/json", **headers}))


async def _post(handler: ASGIHandler, path: str, body: bytes, headers: dict[str, str]) -> Told:
    said: list[dict[str, Any]] = []
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()  # the client stays
        return left.pop()

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await handler(scope_of("POST", path, headers, len(body)), receive, send)  # type: ignore[arg-type]
    names = {name.decode().lower(): value.decode() for name, value in said[0]["headers"]}
    return Told(said[0]["status"], names, b"".join(message["body"] for message in said[1:]))


def leave(path: str, last_word: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What a client is told who leaves as soon as it has asked, or says something odd."""
    return asyncio.run(_leave(DeskHandler(), path, last_word or {"type": "http.disconnect"}))


async def _leave(handler: ASGIHandler, path: str, last_word: dict[str, Any]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    left = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop()
        await asyncio.sleep(0.05)
        return last_word

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await handler(scope_of("POST", path, {}, 2), receive, send)  # type: ignore[arg-type]
    return said
