"""Every call that changes something, given what it cannot use: a 4xx that names the field, and nothing written."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.services import token_create, user_create
from apps.audit.selectors import audit_head
from apps.web.roles import Role

WRITES = [
    ("POST", "/api/router/choose"),
    ("POST", "/api/exec/plan-and-execute"),
    ("POST", "/api/trading/paper/order"),
    ("POST", "/api/trading/flatten"),
    ("POST", "/api/trading/account/reset"),
    ("POST", "/api/guards/kill-switch"),
    ("POST", "/api/guards/trading-state"),
    ("POST", "/api/guards/limits"),
    ("POST", "/api/flags"),
    ("POST", "/api/strategy/policies"),
]

# What is sent, the status, the field that the answer names.
BROKEN = [
    (b"", 400, "body"),
    (b"{", 400, "body"),
    (b"[]", 400, "body"),
    (b"null", 400, "body"),
    (b'"BTCUSDT"', 400, "body"),
    (b"[" * 100_000, 413, "body"),
    (b"[" * 60_000, 400, "body"),
    (b'{"a":' * 10_000, 400, "body"),
    (b'{"symbol": "BTCUSDT", "symbol": "BTCUSDT"}', 400, "symbol"),
    (b'{"quantity": NaN}', 400, "body"),
    (b'{"quantity": -Infinity}', 400, "body"),
    (b'{"symbol": "\xff"}', 400, "body"),
    (b'{"symbol": "\\ud800"}', 400, "body"),
    (b'{"nope": 1}', 400, "nope"),
    (b'{"constructor": {}, "__proto__": {}}', 400, "constructor"),
    (b"x" * 1_000_000, 413, "body"),
]


@pytest.fixture
def owner(desk_db: object, settings: Any) -> Client:
    """The owner, who may do everything, so that only the input can be refused."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user_create(username="owner", password="x", role=Role.OWNER, actor="test", ts_ms=1)
    token = token_create(username="owner", actor="test", ts_ms=1)
    return Client(headers={"host": "localhost", "authorization": f"Bearer {token}"})


@pytest.mark.parametrize(("method", "path"), WRITES, ids=[path for _, path in WRITES])
def test_a_broken_body_is_refused_by_name_and_nothing_is_written(owner: Client, method: str, path: str) -> None:
    before = audit_head()
    for body, status, field in BROKEN:
        answer = owner.generic(method, path, data=body, content_type="application/json")
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), body[:60]
        assert field in [error["field"] for error in answer.json()["errors"]], body[:60]
    assert audit_head() == before


@pytest.mark.parametrize(("method", "path"), WRITES, ids=[path for _, path in WRITES])
def test_another_content_type_is_a_415(owner: Client, method: str, path: str) -> None:
    answer = owner.generic(method, path, data=b"symbol=BTCUSDT", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 415
