"""Who may do what: the table over routes, methods and roles, and nothing outside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client, RequestFactory

from apps.accounts.services import token_create, user_create
from apps.web.actors import actor_of
from apps.web.roles import RANK, ROLE_TABLE, Access, Role, access_for

ROLES: list[Role | None] = [None, *Role]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO")


@pytest.fixture
def headers_of(desk_db: object) -> dict[Role | None, dict[str, str]]:
    """The header that makes a caller of each role."""
    headers: dict[Role | None, dict[str, str]] = {None: {}}
    for role in Role:
        user_create(username=role.value, password="x", role=role, actor="test", ts_ms=1)
        token = token_create(username=role.value, actor="test", ts_ms=1)
        headers[role] = {"authorization": f"Bearer {token}"}
    return headers


# Route, method, the least role that a remote caller needs, whether loopback is trusted.
CASES = [
    ("/test/control", "POST", Role.OPERATOR, False),
    ("/test/read", "GET", Role.VIEWER, True),
    ("/test/paper", "POST", Role.OPERATOR, True),
]


@pytest.mark.parametrize(("path", "method", "least", "trusts_loopback"), CASES)
def test_the_least_role_decides(
    remote: Client,
    local: Client,
    headers_of: dict[Role | None, dict[str, str]],
    path: str,
    method: str,
    least: Role,
    trusts_loopback: bool,
) -> None:
    for role, headers in headers_of.items():
        if role is None:
            expected = 401
        else:
            expected = 200 if RANK[role] >= RANK[least] else 403
        assert remote.generic(method, path, headers=headers).status_code == expected, role
        assert local.generic(method, path, headers=headers).status_code == (200 if trusts_loopback else expected), role


def test_a_route_without_a_row_is_denied_to_everybody(
    local: Client, headers_of: dict[Role | None, dict[str, str]]
) -> None:
    for role, headers in headers_of.items():
        assert local.get("/test/unlisted", headers=headers).status_code == (401 if role is None else 403)


def test_no_token_no_session_is_a_401_that_says_how(remote: Client) -> None:
    response = remote.get("/test/read")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("token", ["", "x", "tdk_", "tdk_" + "a" * 43, "tdk_é", "a b"])
def test_a_wrong_token_is_a_401_even_from_loopback(desk_db: object, local: Client, token: str) -> None:
    response = local.get("/test/read", headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 401


def test_a_session_needs_the_csrf_token_for_what_changes(desk_db: object, test_routes: None) -> None:
    user_create(username="olga", password="secret", role=Role.OPERATOR, actor="test", ts_ms=1)
    client = Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1", enforce_csrf_checks=True)
    assert client.login(username="olga", password="secret")
    assert client.get("/test/read").status_code == 200
    client.cookies["csrftoken"] = "a" * 32
    assert client.generic("POST", "/test/control").status_code == 403
    assert client.generic("POST", "/test/control", headers={"x-csrftoken": "b" * 32}).status_code == 403
    assert client.generic("POST", "/test/control", headers={"x-csrftoken": "a" * 32}).status_code == 200


@pytest.mark.parametrize("route_name", [*ROLE_TABLE, "no-such-route", None])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_unsafe_is_public_but_the_session(route_name: str | None, method: str) -> None:
    access = access_for(route_name, method)
    if method in {"PUT", "PATCH", "OPTIONS", "FOO"} or route_name not in ROLE_TABLE:
        assert access is None
    if access is Access.PUBLIC and method not in {"GET", "HEAD"}:
        assert route_name in {"login", "logout"}


def test_only_reading_paper_and_the_kill_trust_loopback() -> None:
    trusting = {
        (name, method)
        for name, row in ROLE_TABLE.items()
        for method, access in row.items()
        if access.trusts_loopback and method != "GET"
    }
    assert trusting == {
        ("router-choose", "POST"),
        ("exec-plan-and-execute", "POST"),
        ("trading-paper-order", "POST"),
        ("guards-kill-switch", "POST"),
        ("desk-stop", "POST"),  # the kill switch behind a form; what it does besides asks for the operator
        ("audit-replay", "POST"),
    }


class _User:
    is_authenticated = is_active = True
    role = "operator"

    def get_username(self) -> str:
        return "olga"


@pytest.mark.parametrize(
    ("address", "user", "actor"),
    [("127.0.0.1", None, "loopback"), ("192.0.2.1", None, "anonymous"), ("192.0.2.1", _User(), "operator:olga")],
)
def test_the_audit_is_told_who_acted(address: str, user: Any, actor: str) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR=address, HTTP_HOST="localhost")
    request.user = user
    assert actor_of(request) == actor


def test_a_plain_view_takes_tokens_and_leads_browsers_to_the_login(
    remote: Client, headers_of: dict[Role | None, dict[str, str]]
) -> None:
    assert remote.get("/metrics").status_code == 401
    assert remote.get("/metrics", headers=headers_of[Role.VIEWER]).status_code == 200
    browser = remote.get("/metrics?a=1", headers={"accept": "text/html"})
    assert (browser.status_code, browser["Location"]) == (302, "/login?next=/metrics%3Fa%3D1")
    wrong = remote.get("/metrics", headers={"authorization": "Bearer tdk_wrong"})
    assert (wrong.status_code, json.loads(wrong.content)["status"]) == (401, 401)
