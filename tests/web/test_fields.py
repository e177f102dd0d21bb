"""Members of bodies and queries are of their declared kind, or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.web.fields import Field

ORDER = {"symbol": "BTCUSDT", "quantity": "0.25"}


def post(client: Client, **changes: Any):
    return client.post("/test/echo", data=json.dumps({**ORDER, **changes}), content_type="application/json")


def faults(response: Any) -> list[str]:
    assert response.status_code == 400, response.content
    return [error["field"] for error in response.json()["errors"]]


def test_members_arrive_in_snake_case_and_leave_in_camel_case(local: Client) -> None:
    assert post(local, clientOrderId="a-1", isTest=True).json() == {
        **{"symbol": "BTCUSDT", "quantity": "0.25", "clientOrderId": "a-1", "isTest": True},
        **{"side": None, "count": None, "weight": None, "hyper": None},
    }


@pytest.mark.parametrize(
    "quantity",
    ["-1", "0", "NaN", "nan", "Infinity", "1e3", "1E3", "0x10", "1_000", "١٢", "1,5", "", " 1", "1 ", "+1", ".5", "5.",
     "0.123456789", "99999999999999", "1.0.0", "１", True, None, [], {}, -1, 92233720369],
)  # fmt: skip
def test_what_is_no_positive_decimal_is_refused_by_name(local: Client, quantity: Any) -> None:
    assert faults(post(local, quantity=quantity)) == ["quantity"]


@pytest.mark.parametrize(
    ("quantity", "text"),
    [("0.25", "0.25"), (1, "1"), (0.1, "0.1"), ("000.10", "0.1"), ("92233720368.54775807", "92233720368.54775807")],
)
def test_exact_decimals_come_back_as_they_are(local: Client, quantity: Any, text: str) -> None:
    assert post(local, quantity=quantity).json()["quantity"] == text


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("symbol", "btcusdt"),
        ("symbol", "BTC/USDT"),
        ("symbol", "BTCUSDT\n"),
        ("symbol", 5),
        ("symbol", "A" * 21),
        ("symbol", "ＢＴＣ"),
        ("isTest", 1),
        ("isTest", "true"),
        ("side", "buy"),
        ("side", ["BUY"]),
        ("count", 1.5),
        ("count", True),
        ("count", "1"),
        ("count", 2**63),
        ("weight", "1"),
        ("weight", True),
        ("weight", 10**400),
        ("clientOrderId", ""),
        ("clientOrderId", " "),
        ("clientOrderId", "a\u0000b"),
        ("clientOrderId", "x" * 501),
        ("clientOrderId", 7),
        ("hyper", []),
        ("client_order_id", "a"),
        ("nope", 1),
    ],
)
def test_a_wrong_member_is_named(local: Client, member: str, value: Any) -> None:
    assert faults(post(local, **{member: value})) == [member]


def test_every_fault_is_told_at_once(local: Client) -> None:
    response = local.post("/test/echo", data='{"nope": 1, "quantity": null}', content_type="application/json")
    assert faults(response) == ["nope", "symbol", "quantity"]


def test_a_missing_body_is_named(local: Client) -> None:
    assert faults(local.generic("POST", "/test/echo")) == ["body"]
    assert faults(local.generic("POST", "/test/echo", content_type="application/json")) == ["body"]
    assert faults(local.post("/test/echo", data="{}", content_type="application/json")) == ["symbol", "quantity"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=1e2", "limit"),
        ("limit=abc", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1&limit=2", "limit"),
        ("symbol=btc", "symbol"),
        ("symbol=%00", "symbol"),
        ("start=yesterday", "start"),
        ("start=-5", "start"),
        ("start=9999999999999999", "start"),
        ("start=0001-01-01T00:00:00Z", "start"),
        ("start=NaN", "start"),
        ("detail=maybe", "detail"),
        ("limt=5", "limt"),
    ],
)
def test_a_wrong_parameter_is_named(local: Client, query: str, field: str) -> None:
    assert faults(local.get(f"/test/echo?{query}")) == [field]


def test_parameters_are_read_and_defaults_fill_in(local: Client) -> None:
    answer = local.get("/test/echo?symbol=ETHUSDT&start=2026-01-01T00:00:00.250Z&detail=1&limit=").json()
    assert answer == {
        **{"symbol": "ETHUSDT", "limit": 50, "start": 1767225600250, "detail": True},
        "byReason": {"some_reason": {"seenAt": 1.5}},
    }


def test_an_unknown_kind_of_field_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        Field("symbol", "sybmol")
