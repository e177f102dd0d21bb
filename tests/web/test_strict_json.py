"""A body is one shallow object in UTF-8 with each key once; anything else is a 4xx that names what is at fault."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.errors import InvalidInput
from apps.web.parsers import MAX_DEPTH, parse_object

ORDER = '{"symbol": "BTCUSDT", "quantity": "0.25"}'


def post(client: Client, body: str | bytes, content_type: str = "application/json"):
    return client.post("/test/echo", data=body, content_type=content_type)


def nested(depth: int) -> str:
    """An object whose value nests to this depth in all."""
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("[" * 100_000, "body"),
        ('{"a":' * 10_000, "body"),
        ("[" * 30_000 + "]" * 30_000, "body"),
        (nested(MAX_DEPTH + 1), "body"),
        ("", "body"),
        ("   ", "body"),
        ("{", "body"),
        ("null", "body"),
        ("[]", "body"),
        ('"text"', "body"),
        ("17", "body"),
        ('{"symbol": "BTCUSDT",}', "body"),
        ("{'symbol': 'BTCUSDT'}", "body"),
        ('{"symbol": "BTCUSDT", "symbol": "ETHUSDT", "quantity": "1"}', "symbol"),
        ('{"symbol": "BTCUSDT", "quantity": NaN}', "body"),
        ('{"symbol": "BTCUSDT", "quantity": Infinity}', "body"),
        ('{"symbol": "BTCUSDT", "quantity": -Infinity}', "body"),
        ('{"symbol": "BTCUSDT", "quantity": ' + "9" * 5_000 + "}", "body"),
        ('{"symbol": "\\ud800", "quantity": "1"}', "body"),
        ('{"\\ud800": 1}', "body"),
        ('{"a": [["\\udfff"]]}', "body"),
        (b'{"symbol": "\xff\xfe"}', "body"),
        (b"\xef\xbb\xbf" + ORDER.encode(), "body"),
        (ORDER.encode("utf-16"), "body"),
        ('{"symbol": "BTC\tUSDT"}', "body"),
        (ORDER + ORDER, "body"),
        ('{"symbol": "\\', "body"),
        ('{"hyper": {"a": 1, "a": 2}}', "a"),
    ],
)
def test_a_broken_body_is_a_400_that_names_it(local: Client, body: str | bytes, field: str) -> None:
    response = post(local, body)
    problem = json.loads(response.content)
    assert (response.status_code, response["Content-Type"]) == (
        413 if len(body) > 65_536 else 400,
        "application/problem+json",
    )
    assert problem["errors"][0]["field"] == field


def test_100_000_brackets_within_the_limit_of_size_are_a_400(local: Client, settings: object) -> None:
    settings.BODY_LIMIT_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
    response = post(local, "[" * 100_000)
    assert response.status_code == 400
    assert "nested" in response.json()["detail"]


def test_the_greatest_depth_is_accepted() -> None:
    assert list(parse_object(nested(MAX_DEPTH).encode())) == ["a"]


def test_brackets_within_text_do_not_count_as_depth() -> None:
    assert parse_object(b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[\\"[["}') == {"a": "[" * 25 + '"[['}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=latin-1",
        "application/xml",
    ],
)
def test_another_content_type_is_a_415(local: Client, content_type: str) -> None:
    response = post(local, ORDER, content_type)
    assert response.status_code == 415
    assert response.json()["errors"][0]["field"] == "body"


def test_a_charset_of_utf_8_is_fine(local: Client) -> None:
    assert post(local, ORDER, "application/json; charset=UTF-8").status_code == 200


def test_an_oversized_body_is_a_413_that_names_it(local: Client) -> None:
    response = post(local, json.dumps({"symbol": "B" * 1_000_000}))
    assert response.status_code == 413
    assert response.json()["errors"][0]["field"] == "body"


def test_numbers_stay_exact() -> None:
    value = parse_object(b'{"a": 0.1, "b": 1e-3, "c": 12345678901.123456789012}')
    assert value == {"a": Decimal("0.1"), "b": Decimal("0.001"), "c": Decimal("12345678901.123456789012")}
    assert value["b"].text == "1e-3"


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(alphabet='{}[]",:\\\\019.eE-+ntuNI \ud83d', max_size=60).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
def test_any_bytes_are_an_object_or_invalid_input(raw: bytes) -> None:
    try:
        assert isinstance(parse_object(raw), dict)
    except InvalidInput as error:
        assert error.field
