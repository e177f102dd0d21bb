"""Errors have one shape everywhere, in JSON and on the page, also where Django answers by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import resolve

from apps.web import request_ids
from apps.web.error_views import server_error

PROBLEM = "application/problem+json"


def check_shape(response: Any, status: int) -> dict[str, Any]:
    assert (response.status_code, response["Content-Type"]) == (status, PROBLEM), response.content[:300]
    problem = json.loads(response.content)
    assert {"type", "title", "status", "detail", "requestId"} <= set(problem)
    assert problem["status"] == status
    assert problem["requestId"] == response["X-Request-ID"]
    return problem


@pytest.mark.parametrize(
    ("name", "method", "status", "field"),
    [
        ("invalid", "get", 400, "stopPrice"),
        ("symbol", "get", 404, "symbol"),
        ("symbol", "post", 400, "symbol"),
        ("name", "get", 400, "flag"),
        ("conflict", "get", 409, None),
        ("unavailable", "get", 503, None),
    ],
)
def test_errors_of_the_house_have_their_status(
    local: Client, name: str, method: str, status: int, field: str | None
) -> None:
    problem = check_shape(getattr(local, method)(f"/test/raise/{name}"), status)
    assert [error["field"] for error in problem.get("errors", [])] == ([field] if field else [])


def test_a_bug_is_a_500_without_its_text(local: Client) -> None:
    problem = check_shape(local.get("/test/raise/bug"), 500)
    assert "a bug" not in json.dumps(problem)


def test_what_can_be_tried_again_says_when(local: Client) -> None:
    assert local.get("/test/raise/unavailable")["Retry-After"] == "1"


@pytest.mark.parametrize("accept", ["application/json", "text/html", "*/*"])
def test_an_unknown_path_is_a_404(local: Client, accept: str) -> None:
    check_shape(local.get("/api/nothing", headers={"accept": accept}), 404)


def test_a_person_lost_beside_the_api_sees_a_page(local: Client) -> None:
    response = local.get("/nothing", headers={"accept": "text/html,*/*;q=0.8"})
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"nothing at this address" in response.content


def test_a_person_whose_page_fails_sees_a_page_with_the_request_id(test_routes: None) -> None:
    request = RequestFactory().get("/", headers={"accept": "text/html"})
    request_ids.begin("abc-123")
    page = server_error(request)
    assert page.status_code == 500 and b"abc-123" in page.content


def test_a_form_without_its_csrf_token_is_a_problem(local: Client, settings: Any) -> None:
    settings.CSRF_FAILURE_VIEW = "apps.web.error_views.csrf_failure"
    local.handler.enforce_csrf_checks = True
    check_shape(local.post("/login", {"username": "x"}), 403)


def test_another_host_name_is_a_400_on_every_path(local: Client) -> None:
    for path in ("/", "/api/flags", "/metrics", "/livez", "/test/echo", "/nothing", "/login"):
        check_shape(local.get(path, headers={"host": "evil.example"}), 400)


def test_a_method_that_the_view_lacks_is_a_405(local: Client) -> None:
    assert "GET" in local.delete("/test/echo")["Allow"]
    check_shape(local.delete("/test/echo"), 405)


def test_what_nobody_serves_is_a_406(local: Client) -> None:
    check_shape(local.get("/test/echo", headers={"accept": "application/xml"}), 406)


def test_a_person_sees_the_problem_on_the_page(local: Client) -> None:
    response = local.get("/test/raise/symbol", headers={"accept": "text/html"})
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"unknown symbol" in response.content and b"404 Not Found" in response.content


def test_the_page_holds_nothing_inline_and_escapes_what_it_shows(local: Client) -> None:
    page = local.get("/test/echo?<script>=1", headers={"accept": "text/html"}).content
    assert b"<script" not in page and b"style=" not in page and b"<style" not in page
    assert b"&lt;script&gt;" in page


def test_the_page_carries_the_strict_policy(local: Client) -> None:
    policy = local.get("/test/echo", headers={"accept": "text/html"})["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


@pytest.mark.parametrize("path", ["/test/echo", "/test/echo/"])
def test_the_trailing_slash_is_optional(local: Client, path: str) -> None:
    assert local.get(path).status_code == 200


def test_a_named_part_of_a_path_matches_one_segment() -> None:
    match = resolve("/test/raise/bug", "tests.web.urls")
    assert (match.url_name, match.kwargs) == ("test-raise", {"name": "bug"})
