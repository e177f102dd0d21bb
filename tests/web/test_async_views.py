"""DRF's view for coroutines: the rules and answers of the synchronous one, and no thread for a request of nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.services import token_create, user_create
from apps.engine.errors import InvalidInput
from apps.web import async_views
from apps.web.async_views import AsyncAPIView
from apps.web.bodies import Field, read_body
from apps.web.casing import DataMap, WireMap, to_wire
from apps.web.error_views import bad_request as handler400
from apps.web.error_views import not_found as handler404
from apps.web.error_views import permission_denied as handler403
from apps.web.error_views import server_error as handler500
from apps.web.permissions import RoleTablePermission
from apps.web.renderers import CamelCaseJSONRenderer, json_bytes
from apps.web.roles import Role
from tests.web import asgi
from tests.web.asgi import Told

__all__ = ["handler400", "handler403", "handler404", "handler500"]

PAPER = "exec-plan-and-execute"  # a row of the role table: this machine, or an operator
KEPT = b'{"orderId":"x","a_b":1.5}'


class Probe(AsyncAPIView):
    """Says what it read; `boom` raises."""

    async def post(self, request: Any) -> Response:
        body = read_body(request, Field("symbol", "symbol"), Field("boom", "bool", required=False))
        await asyncio.sleep(0)
        if body["boom"]:
            raise InvalidInput("is odd", field="stop_price")
        return Response({"read_symbol": body["symbol"], "user": str(request.user)}, headers={"X-Own": "1"})


class Plain(APIView):
    """The same without a coroutine."""

    def post(self, request: Any) -> Response:
        body = read_body(request, Field("symbol", "symbol"), Field("boom", "bool", required=False))
        if body["boom"]:
            raise InvalidInput("is odd", field="stop_price")
        return Response({"read_symbol": body["symbol"], "user": str(request.user)}, headers={"X-Own": "1"})


class Kept(AsyncAPIView):
    async def post(self, request: Any) -> Response:
        return Response(WireMap(orjson.loads(KEPT), KEPT))


urlpatterns = [
    path("probe", Probe.as_view(), name=PAPER),
    path("plain", Plain.as_view(), name=PAPER),
    path("kept", Kept.as_view(), name=PAPER),
    path("unlisted", Probe.as_view(), name="unlisted"),
]


@pytest.fixture(autouse=True)
def routes(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


def ask(path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Told:
    return asgi.post(path, raw if raw is not None else orjson.dumps(body or {"symbol": "BTCUSDT"}), **headers)


CASES: list[tuple[dict[str, Any], int]] = [
    ({}, 200),
    ({"body": {"symbol": "BTCUSDT", "boom": True}}, 400),
    ({"body": {"symbol": "btc", "other": 1}}, 400),
    ({"raw": b'{"symbol": "A", "symbol": "B"}'}, 400),
    ({"raw": b"{"}, 400),
    ({"x-forwarded-for": "192.0.2.1"}, 401),
    ({"authorization": "Bearer tdk_wrong"}, 401),
    ({"accept": "image/png"}, 406),
    ({"accept": "*/*"}, 200),
    ({"accept": "application/json"}, 200),
    ({"accept": "text/html;q=0.1, application/json"}, 200),
]


@pytest.mark.parametrize(("given", "status"), CASES)
def test_it_answers_as_the_synchronous_view_does(desk_db: Path, given: dict[str, Any], status: int) -> None:
    given = {"x-request-id": "abc", **given}
    awaited, plain = ask("/probe", **given), ask("/plain", **given)
    assert (awaited.status_code, awaited.content) == (plain.status_code, plain.content)
    assert awaited.status_code == status and awaited.headers == plain.headers


def test_a_route_without_a_row_is_denied_and_another_method_is_a_405(desk_db: Path) -> None:
    assert ask("/unlisted").status_code in (401, 403)
    response = Client(headers={"host": "localhost"}).get("/probe")
    assert response.status_code == 405 and response["Allow"] == "POST"


def test_it_works_without_an_event_loop_too(desk_db: Path) -> None:
    client = Client(headers={"host": "localhost"})
    response = client.post("/probe", data={"symbol": "BTCUSDT"}, content_type="application/json")
    assert response.json() == {"readSymbol": "BTCUSDT", "user": "AnonymousUser"} and response["X-Own"] == "1"


@pytest.fixture
def asked_on(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads on which the role table was asked."""
    threads: list[int] = []
    inner = RoleTablePermission.has_permission

    def note(self: Any, *given: Any) -> bool:
        threads.append(threading.get_ident())
        return inner(self, *given)

    monkeypatch.setattr(RoleTablePermission, "has_permission", note)
    return threads


def test_nobody_is_told_apart_without_a_thread(
    desk_db: Path, asked_on: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: Any, **named: Any) -> Any:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(async_views, "sync_to_async", never)
    assert ask("/probe").json()["user"] == "AnonymousUser"
    assert asked_on == [threading.get_ident()]


def bearer() -> dict[str, str]:
    user_create(username="ann", password="x", role=Role.OPERATOR, actor="test", ts_ms=1)
    return {"authorization": f"Bearer {token_create(username='ann', actor='test', ts_ms=1)}"}


def test_a_token_is_looked_up_on_the_request_s_thread(desk_db: Path, asked_on: list[int]) -> None:
    response = ask("/probe", **bearer())
    assert response.json()["user"] == "ann"
    assert asked_on and threading.get_ident() not in asked_on


def test_so_is_a_session_and_a_wrong_one_is_nobody_s(desk_db: Path, asked_on: list[int], settings: Any) -> None:
    cookie = f"{settings.SESSION_COOKIE_NAME}=never-given-out"
    assert ask("/probe", cookie=cookie).json()["user"] == "AnonymousUser"
    assert asked_on and threading.get_ident() not in asked_on


def rendered_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[bool]]:
    threads: list[int] = []
    inner = CamelCaseJSONRenderer.render

    def note(self: Any, *given: Any) -> bytes:
        threads.append(threading.get_ident())
        return inner(self, *given)

    monkeypatch.setattr(CamelCaseJSONRenderer, "render", note)
    return lambda: [thread == threading.get_ident() for thread in threads]


def test_json_is_written_on_the_loop_and_a_page_is_not(desk_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_loop = rendered_on(monkeypatch)
    assert ask("/probe").json()["readSymbol"] == "BTCUSDT" and on_loop() == [True]
    page = ask("/probe", accept="text/html")
    assert page.headers["content-type"].startswith("text/html") and b"readSymbol" in page.content


def test_a_kept_answer_is_sent_byte_for_byte(desk_db: Path) -> None:
    assert ask("/kept").content == KEPT
    page = ask("/kept", accept="text/html")
    assert b"orderId" in page.content and b"a_b" in page.content, "a page shows it with its own keys"


def test_what_is_written_is_what_the_slow_questions_wrote() -> None:
    class Text(str):
        pass

    value = {"a_b": [1, True, None, "x_y", (2.5, {"c_d": Text("t")})], "data": DataMap({"k_e": {"y_z": 10**18}})}
    assert to_wire(value) == {"aB": [1, True, None, "x_y", [2.5, {"cD": "t"}]], "data": {"k_e": {"yZ": 10**18}}}
    for poison in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="finite"):
            json_bytes({"a": [{"b": poison}]})
