"""WS /ws/prices/: whose page may open it, whose login, and that a login which ends takes its socket along."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.db import OperationalError

from apps.accounts.services import token_create, tokens_revoke, user_create
from apps.marketdata import consumers
from apps.marketdata.admission import is_own_page
from apps.marketdata.hub import hub
from apps.marketdata.market import MarketView
from apps.marketdata.routing import websocket_urlpatterns
from apps.web.roles import Role

HOST = (b"host", b"localhost:5000")
OWN = (b"origin", b"http://localhost:5000")
FAR_AWAY = "10.0.0.9"
ORIGINS = [
    # host of the request, scheme, origin of the page, whether it is ours
    ("localhost:5000", "http", None, True),
    ("localhost:5000", "http", "http://localhost:5000", True),
    ("localhost:5000", "http", "HTTP://LOCALHOST:5000", True),
    ("LocalHost:5000", "http", "http://localhost:5000", True),
    ("localhost", "http", "http://localhost", True),
    ("localhost", "http", "http://localhost:80", True),
    ("localhost:80", "http", "http://localhost", True),
    ("localhost", "https", "https://localhost", True),
    ("localhost", "https", "https://localhost:443", True),
    ("localhost:443", "https", "https://localhost", True),
    ("127.0.0.1:5000", "http", "http://127.0.0.1:5000", True),
    ("[::1]:5000", "http", "http://[::1]:5000", True),
    ("localhost:5000", "http", "http://127.0.0.1:5000", False),
    ("localhost:5000", "http", "http://localhost", False),
    ("localhost:5000", "http", "http://localhost:5001", False),
    ("localhost:5000", "http", "http://localhost:50000", False),
    ("localhost:5000", "http", "https://localhost:5000", False),
    ("localhost:5000", "https", "http://localhost:5000", False),
    ("localhost", "http", "https://localhost:80", False),
    ("localhost:5000", "http", "ws://localhost:5000", False),
    ("localhost:5000", "http", "null", False),
    ("localhost:5000", "http", "", False),
    ("localhost:5000", "http", "localhost:5000", False),
    ("localhost:5000", "http", "//localhost:5000", False),
    ("localhost:5000", "http", "file://localhost:5000", False),
    ("localhost:5000", "http", "http://localhost:5000/", False),
    ("localhost:5000", "http", "http://localhost:5000/path", False),
    ("localhost:5000", "http", "http://localhost:5000?q", False),
    ("localhost:5000", "http", "http://user@localhost:5000", False),
    ("localhost:5000", "http", "http://localhost:5000@evil.example", False),
    ("localhost:5000", "http", "http://evil.example:5000", False),
    ("localhost:5000", "http", "http://localhost.evil.example:5000", False),
    ("localhost:5000", "http", "http://evil-localhost:5000", False),
    ("localhost:5000", "http", "http://localhost:99999", False),
    ("localhost:5000", "http", "http://localhost:5000,http://evil.example", False),
    ("evil.example:5000", "http", "http://evil.example:5000", False),
    ("localhost:5000,localhost:5000", "http", None, False),
    ("", "http", None, False),
]


@pytest.mark.parametrize(("host", "scheme", "origin", "own"), ORIGINS)
def test_scheme_host_and_port_make_a_page_ours(host: str, scheme: str, origin: str | None, own: bool) -> None:
    meta = {"HTTP_HOST": host} | ({} if origin is None else {"HTTP_ORIGIN": origin})
    assert is_own_page(meta, scheme) is own


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch, desk_db: Path, settings: Any) -> Iterator[MarketView]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    fresh = MarketView(symbols=["BTCUSDT"])
    monkeypatch.setattr(consumers, "market_view", lambda: fresh)
    yield fresh
    assert hub.n_clients == 0


@asynccontextmanager
async def opened(headers: list[tuple[bytes, bytes]], client: str = FAR_AWAY) -> AsyncIterator[WebsocketCommunicator]:
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws/prices/", headers=headers)
    socket.scope["client"] = [client, 40_000]
    assert (await socket.connect())[0]
    try:
        yield socket
    finally:
        await socket.disconnect()


async def snapshot(socket: WebsocketCommunicator) -> None:
    assert json.loads(await socket.receive_from(2.0))["type"] == "snapshot"


async def close_code(socket: WebsocketCommunicator) -> int:
    while (output := await socket.receive_output(2.0))["type"] != "websocket.close":
        continue
    return int(output["code"])


def log_in(username: str = "ann") -> Any:
    """A viewer with a session in the database, as the login page makes one."""
    user_create(username=username, password="x", role=Role.VIEWER, actor="test", ts_ms=1)
    user = get_user_model().objects.get(username=username)
    session = import_module(django_settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = django_settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session


def cookie_of(session: Any) -> list[tuple[bytes, bytes]]:
    return [HOST, OWN, (b"cookie", f"sessionid={session.session_key}".encode())]


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([HOST, (b"origin", b"http://evil.example")], "127.0.0.1"),
        ([HOST, (b"origin", b"http://localhost:5001")], "127.0.0.1"),
        ([HOST, (b"origin", b"null")], "127.0.0.1"),
        ([HOST, OWN, OWN], "127.0.0.1"),
        ([(b"host", b"evil.example:5000"), (b"origin", b"http://evil.example:5000")], "127.0.0.1"),
        ([HOST, OWN, (b"x-forwarded-for", b"10.0.0.1")], "127.0.0.1"),
        ([HOST, OWN], FAR_AWAY),
        ([HOST], FAR_AWAY),
        ([], "127.0.0.1"),
        ([HOST, (b"cookie", b"sessionid=nosuchsession")], FAR_AWAY),
        ([HOST, (b"authorization", b"Bearer tdk_nosuchtoken")], FAR_AWAY),
    ],
)
async def test_strangers_and_foreign_pages_are_closed_4401(
    view: MarketView, headers: list[tuple[bytes, bytes]], client: str
) -> None:
    async with opened(headers, client) as socket:
        assert await close_code(socket) == 4401


async def test_outside_the_embedded_profile_this_machine_needs_a_login_too(view: MarketView, settings: Any) -> None:
    settings.EMBEDDED = False
    async with opened([HOST, OWN], "127.0.0.1") as socket:
        assert await close_code(socket) == 4401


async def test_a_session_and_a_token_open_it_from_anywhere(view: MarketView) -> None:
    session = await sync_to_async(log_in)()
    async with opened(cookie_of(session)) as socket:
        await snapshot(socket)
    token = await sync_to_async(token_create)(username="ann", actor="test", ts_ms=1)
    async with opened([HOST, (b"authorization", f"Bearer {token}".encode())]) as socket:
        await snapshot(socket)


def log_out(session: Any) -> None:
    session.flush()


def expire(session: Any) -> None:
    session.set_expiry(-1)
    session.save()


def change_password(session: Any) -> None:
    user = get_user_model().objects.get(username="ann")
    user.set_password("another")
    user.save()


def deactivate(session: Any) -> None:
    get_user_model().objects.filter(username="ann").update(is_active=False)


@pytest.mark.parametrize("end_it", [log_out, expire, change_password, deactivate])
async def test_a_session_that_ends_takes_its_socket_along(
    view: MarketView, monkeypatch: pytest.MonkeyPatch, end_it: Any
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)
    session = await sync_to_async(log_in)()
    async with opened(cookie_of(session)) as socket:
        await snapshot(socket)
        assert await socket.receive_nothing(0.25)
        await sync_to_async(end_it)(session)
        assert await close_code(socket) == 4401
        assert hub.n_clients == 0


async def test_a_token_that_is_revoked_takes_its_socket_along(
    view: MarketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)
    await sync_to_async(user_create)(username="bob", password="x", role=Role.VIEWER, actor="test", ts_ms=1)
    token = await sync_to_async(token_create)(username="bob", actor="test", ts_ms=1)
    async with opened([HOST, (b"authorization", f"Bearer {token}".encode())]) as socket:
        await snapshot(socket)
        assert await socket.receive_nothing(0.25)
        await sync_to_async(tokens_revoke)(username="bob", actor="test", ts_ms=2)
        assert await close_code(socket) == 4401


async def test_a_login_that_cannot_be_looked_at_is_cut_off_to_try_again(
    view: MarketView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """4401 would tell the browser to stay away; the database being away is no reason for that."""
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)

    async def down(scope: Any) -> bool:
        raise OperationalError("the database is away")

    async with opened([HOST, OWN], "127.0.0.1") as socket:
        await snapshot(socket)
        monkeypatch.setattr(consumers, "may_read", down)
        assert await close_code(socket) == 4500
    assert "its login could not be looked at: the database is away" in caplog.text


async def test_a_login_is_looked_at_within_a_minute() -> None:
    assert consumers.RECHECK_S + 10 <= 60


async def test_no_check_outlives_its_socket(view: MarketView) -> None:
    before = len(asyncio.all_tasks())
    async with opened([HOST, OWN], "127.0.0.1") as socket:
        await snapshot(socket)
        assert len(asyncio.all_tasks()) > before
    await asyncio.sleep(0.3)
    assert len(asyncio.all_tasks()) == before
