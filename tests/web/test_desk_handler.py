"""The desk's handler: a request begins without a thread, and a route that was looked up is not looked up again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.urls import Resolver404, resolve

from apps.web.asgi import DeskHandler
from apps.web.routes import match_of
from tests.web import asgi, urls

DESK = "tradedesk.urls"


@pytest.fixture(autouse=True)
def receivers() -> Iterator[None]:
    """Django's own, as they were: the handler is alone in its process, a test is not."""
    yield
    request_started.connect(reset_queries)
    request_started.connect(close_old_connections)


@pytest.mark.parametrize("path", ["/api/exec/plan-and-execute", "/api/exec/plan-and-execute/", "/api/trading/orders/x"])
def test_a_route_is_the_one_that_django_finds(path: str) -> None:
    for _ in range(2):
        found, known = resolve(path, DESK), match_of(path, DESK)
        assert (known.url_name, known.kwargs, known.func) == (found.url_name, found.kwargs, found.func)


def test_what_is_no_route_is_none_each_time(desk_db: Path) -> None:
    for _ in range(2):
        with pytest.raises(Resolver404):
            match_of("/nothing", DESK)
    assert asgi.post("/nothing", b"{}").status_code == 404


def test_routes_of_another_urlconf_are_its_own() -> None:
    assert match_of("/test/echo", "tests.web.urls").url_name == "test-echo"
    with pytest.raises(Resolver404):
        match_of("/test/echo", DESK)


def test_the_view_knows_its_route(desk_db: Path, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.web.urls"
    answer = asgi.post("/test/raise/invalid", b"{}")
    assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "stopPrice"
    assert asgi.post("/test/unlisted", b"{}").status_code in (401, 403, 405)


def test_nothing_waits_for_a_thread_at_the_beginning(desk_db: Path) -> None:
    DeskHandler()
    assert (
        request_started._live_receivers(DeskHandler) == ([], [])
        and close_old_connections in (request_finished._live_receivers(DeskHandler)[0])
    )


def test_a_request_that_needs_no_thread_starts_none_and_ends_all_the_same(
    desk_db: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROOT_URLCONF = "tests.web.urls"
    started, ended = [], []
    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread.name), begin(thread))[1])
    request_finished.connect(listener := lambda **_: ended.append(threading.current_thread()))
    try:
        assert asgi.post("/test/here", b"{}").status_code == 200
        assert (started, ended) == ([], [threading.main_thread()])
        assert asgi.post("/test/thread", b"{}").status_code == 200
    finally:
        request_finished.disconnect(listener)
    assert started and ended[1] is not threading.main_thread()


def test_a_connection_is_closed_by_the_thread_that_opened_it(desk_db: Path, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.web.urls"
    urls.opened.clear()
    assert asgi.post("/test/thread", b"{}").status_code == 200
    assert len(urls.opened) == 1 and urls.opened[0].connection is None


def test_an_answer_ends_when_the_client_leaves_first(desk_db: Path, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.web.urls"
    ended: list[Any] = []
    request_finished.connect(listener := lambda **_: ended.append(1))
    try:
        urls.stopped.clear()
        assert asgi.leave("/test/never") == []
    finally:
        request_finished.disconnect(listener)
    assert ended == [1] and urls.stopped == ["never"]


def test_a_message_that_no_client_sends_is_an_error_of_the_server(desk_db: Path, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.web.urls"
    with pytest.raises(AssertionError, match="after request body"):
        asgi.leave("/test/never", {"type": "http.nonsense"})
