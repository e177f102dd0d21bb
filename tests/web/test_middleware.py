"""Before and after every view: methods, request ids, announced lengths."""

from __future__ import annotations

import asyncio

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from prometheus_client import REGISTRY

from apps.web.middleware import RequestId


def test_an_invented_method_is_refused_and_makes_no_series(local: Client) -> None:
    for number in range(50):
        response = local.generic(f"FOO{number}", "/test/echo")
        assert (response.status_code, response["Content-Type"]) == (405, "application/problem+json")
    methods = {
        sample.labels["method"]
        for family in REGISTRY.collect()
        for sample in family.samples
        if "method" in sample.labels
    }
    assert not any(method.startswith("FOO") for method in methods)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "OPTIONS"])
def test_methods_outside_the_list_are_a_405(local: Client, method: str) -> None:
    response = local.generic(method, "/test/echo")
    assert response.status_code == 405 and "GET" in response["Allow"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/flags", "GET, HEAD, POST"),
        ("OPTIONS", "/api/docs", "GET, HEAD"),
        ("GET", "/logout", "POST"),
        ("PATCH", "/livez/", "GET, HEAD"),
    ],
)
def test_a_method_without_a_row_in_the_table_is_a_405(local: Client, method: str, path: str, allowed: str) -> None:
    response = local.generic(method, path, headers={"x-request-id": "abc"})
    assert (response.status_code, response["Allow"], response["X-Request-ID"]) == (405, allowed, "abc")
    assert response.json()["requestId"] == "abc"


def test_trying_every_method_on_every_route_adds_few_series(local: Client) -> None:
    def series() -> int:
        return sum(len(family.samples) for family in REGISTRY.collect())

    paths = ["/api/flags", "/api/health", "/metrics", "/login", "/livez"]
    for method in ("GET", "HEAD", "POST"):
        for path in paths:
            local.generic(method, path)
    before = series()
    for number in range(20):
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", f"X{number}"):
            for path in paths:
                local.generic(method, path)
        local.get(f"/nothing/{number}")
    assert series() - before < 40


@pytest.mark.parametrize("offered", ["abc-123", "A.b_c", "x" * 64])
def test_a_well_formed_request_id_is_kept(local: Client, offered: str) -> None:
    assert local.get("/test/echo", headers={"x-request-id": offered})["X-Request-ID"] == offered


@pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "a\r\nSet-Cookie: b", "é", "<script>"])
def test_another_one_is_replaced(local: Client, offered: str) -> None:
    told = local.get("/test/echo", headers={"x-request-id": offered})["X-Request-ID"]
    assert told != offered and len(told) == 32


@pytest.mark.parametrize(("length", "status"), [("65537", 413), ("1" * 30, 413), ("abc", 400), ("-1", 400), ("٣", 400)])
def test_an_announced_length_is_judged_unread(local: Client, length: str, status: int) -> None:
    response = local.post("/test/echo", data="{}", content_type="application/json", CONTENT_LENGTH=length)
    assert response.status_code == status


def test_it_serves_asynchronous_handlers_without_a_thread() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("ok")

    response = asyncio.run(RequestId(view)(HttpRequest()))
    assert response.content == b"ok" and len(response["X-Request-ID"]) == 32
