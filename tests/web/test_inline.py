"""Middlewares on the event loop: which thread each runs on, and that the answer is the one of the long way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from csp.constants import NONCE
from csp.middleware import CSPMiddleware
from django.conf import settings as desk_settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from apps.web import inline
from tests.web.asgi import request_of

Respond = Callable[[HttpRequest], Awaitable[HttpResponse]]


def here() -> int:
    return threading.get_ident()


async def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def asked(path: str = "/api/health") -> HttpRequest:
    return request_of(path)


def stack(*names: str, last: Respond = view) -> Any:
    """These middlewares around a view, the first one outermost."""
    answer: Any = last
    for name in reversed(names):
        answer = getattr(inline, name)(answer)
    return answer


def run(handler: Any, request: HttpRequest) -> HttpResponse:
    async def call() -> HttpResponse:
        response: HttpResponse = await handler(request)
        return response

    return asyncio.run(call())


def test_every_middleware_of_the_desk_can_be_awaited() -> None:
    """One that cannot makes everything outside it synchronous, and everything inside it hop."""
    for path in desk_settings.MIDDLEWARE:
        kind = import_string(path)
        assert kind.async_capable and iscoroutinefunction(kind(view)), path


def test_nothing_hops_where_nothing_blocks(desk_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*given: Any) -> Any:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(inline, "_threaded", never)
    threads: list[int] = []

    async def note(request: HttpRequest) -> HttpResponse:
        threads.append(here())
        return await view(request)

    names = ("Security", "StaticFiles", "Session", "Common", "Csrf", "Authentication", "Messages", "XFrameOptions")
    response = run(stack(*names, "ContentSecurityPolicy", last=note), asked())
    assert response.content == b"ok" and threads == [here()]
    assert response["X-Frame-Options"] == "DENY" and response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Length"] == "2" and "default-src 'none'" in response["Content-Security-Policy"]


def written_on(monkeypatch: pytest.MonkeyPatch, kind: Any) -> list[int]:
    """The threads that the middleware's way back runs on."""
    threads: list[int] = []
    inner = kind.process_response

    def note(self: Any, *given: Any) -> Any:
        threads.append(here())
        return inner(self, *given)

    monkeypatch.setattr(kind, "process_response", note)
    return threads


@pytest.mark.parametrize(("value", "is_threaded"), [(1, True), (None, False)])
def test_a_session_is_written_on_another_thread(
    desk_db: Path, monkeypatch: pytest.MonkeyPatch, value: int | None, is_threaded: bool
) -> None:
    threads = written_on(monkeypatch, inline.Session)

    async def change(request: HttpRequest) -> HttpResponse:
        if value:
            await request.session.aset("n", value)  # type: ignore[attr-defined]
        return HttpResponse()

    response = run(stack("Session", last=change), asked())
    assert [thread != here() for thread in threads] == [is_threaded]
    assert (desk_settings.SESSION_COOKIE_NAME in response.cookies) == is_threaded


@pytest.mark.parametrize("is_added", [True, False])
def test_messages_are_put_back_on_another_thread(
    desk_db: Path, monkeypatch: pytest.MonkeyPatch, is_added: bool
) -> None:
    threads = written_on(monkeypatch, inline.Messages)

    async def say(request: HttpRequest) -> HttpResponse:
        if is_added:
            messages.info(request, "done")
        return HttpResponse()

    run(stack("Session", "Messages", last=say), asked())
    assert [thread != here() for thread in threads] == [is_added]


def test_a_refusal_before_the_view_is_the_answer(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    response = run(stack("Security"), asked())
    assert response.status_code == 301 and response["Location"] == "https://localhost/api/health"


def test_hooks_around_the_view_are_awaited_too() -> None:
    """Django awaits the hooks of middlewares under an event loop: a plain one would be called in a thread."""
    assert iscoroutinefunction(inline.Csrf(view).process_view)
    assert not iscoroutinefunction(inline.Csrf(lambda request: HttpResponse()).process_view)


def test_a_static_file_is_served_from_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[bool] = []

    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        served.append(threading.get_ident() != loop_thread)
        return HttpResponse(static_file)

    loop_thread, middleware = here(), inline.StaticFiles(view)
    monkeypatch.setattr(middleware, "serve", serve)
    middleware.files["/static/a.css"] = b"a {}"
    assert run(middleware, asked("/static/a.css")).content == b"a {}" and served == [True]
    assert run(middleware, asked("/static/b.css")).content == b"ok" and served == [True]


def policies(*paths: str, last: Respond = view) -> list[list[str | None]]:
    """The policy of each path by the short way and by the long one, asked twice in a row."""
    short, long = inline.ContentSecurityPolicy(last), CSPMiddleware(last)  # type: ignore[arg-type]
    names = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")
    told: list[list[str | None]] = []
    for path in paths * 2:
        told += [[run(way, asked(path)).headers.get(name) for way in (short, long)] for name in names]
    return told


def test_the_policy_is_that_of_the_long_way() -> None:
    for short, long in policies("/api/health", "/", "/api/docs", "/admin/x", "/orders"):
        assert short == long
    assert policies("/admin/x") == [[None, None]] * 4 and policies("/")[0][0]


def test_so_is_a_policy_to_report(settings: Any) -> None:
    settings.CONTENT_SECURITY_POLICY_REPORT_ONLY = {"DIRECTIVES": {"default-src": ["'self'"]}}
    told = policies("/")
    assert told[1][0] is not None and all(short == long for short, long in told)


def test_what_a_view_asks_for_is_its_own_alone(settings: Any) -> None:
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'none'"], "script-src": [NONCE]}}

    async def with_images(request: HttpRequest) -> HttpResponse:
        response = HttpResponse()
        response._csp_update = {"img-src": ["https://images.example"]}  # type: ignore[attr-defined]
        return response

    async def with_nonce(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(request.csp_nonce))  # type: ignore[attr-defined]

    async def either(request: HttpRequest) -> HttpResponse:
        kind = {"/images": with_images, "/nonce": with_nonce}.get(request.path_info, view)
        response: HttpResponse = await kind(request)
        return response

    middleware = inline.ContentSecurityPolicy(either)
    plain = run(middleware, asked("/"))["Content-Security-Policy"]
    assert "https://images.example" in run(middleware, asked("/images"))["Content-Security-Policy"]
    nonces = [run(middleware, asked("/nonce")) for _ in range(2)]
    assert all(f"nonce-{answer.content.decode()}" in answer["Content-Security-Policy"] for answer in nonces)
    assert nonces[0].content != nonces[1].content
    assert run(middleware, asked("/"))["Content-Security-Policy"] == plain


def test_a_changed_setting_changes_the_policy(settings: Any) -> None:
    middleware = inline.ContentSecurityPolicy(view)
    before = run(middleware, asked())["Content-Security-Policy"]
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'self'"]}}
    after = [run(middleware, asked())["Content-Security-Policy"] for _ in range(2)]
    assert after == ["default-src 'self'"] * 2 and before != after[0]


def test_a_nonce_asked_for_after_the_answer_is_an_error() -> None:
    middleware = inline.ContentSecurityPolicy(view)
    for _ in range(2):
        request = asked()
        run(middleware, request)
        with pytest.raises(Exception, match="not available after"):
            str(request.csp_nonce)  # type: ignore[attr-defined]
