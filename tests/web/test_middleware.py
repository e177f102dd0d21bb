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


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_methods_outside_the_list_are_a_405(local: Client, method: str) -> None:
    response = local.generic(method, "/test/echo")
    assert response.status_code == 405 and "GET" in response["Allow"]


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
