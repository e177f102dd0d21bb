"""Exact numbers and times cross the edge unchanged."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.engine.errors import InvalidInput
from apps.web.casing import DataMap, to_camel, to_snake, to_wire
from apps.web.renderers import json_bytes
from apps.web.values import INT64_MAX, JsonNumber, decimal_text, iso_ms, parse_decimal_e8, parse_time


@pytest.mark.parametrize(
    ("e8", "text"),
    [
        (0, "0"),
        (1, "0.00000001"),
        (-1, "-0.00000001"),
        (100_000_000, "1"),
        (-150_000_000, "-1.5"),
        (10_000_000_000, "100"),
        (INT64_MAX, "92233720368.54775807"),
        (-(2**63), "-92233720368.54775808"),
    ],
)
def test_decimal_text_is_exact(e8: int, text: str) -> None:
    assert decimal_text(e8) == text


@given(st.integers(min_value=-INT64_MAX, max_value=INT64_MAX))
def test_a_count_survives_the_round_trip(e8: int) -> None:
    assert parse_decimal_e8(decimal_text(e8), "quantity") == e8
    assert Decimal(decimal_text(e8)) == Decimal(e8).scaleb(-8)


@pytest.mark.parametrize("value", [JsonNumber("1e2"), JsonNumber("1E400"), 1.5, True, None, "1e2", "0.000000001", b"1"])
def test_what_is_not_written_as_a_decimal_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_decimal_e8(value, "price")
    assert caught.value.field == "price"


@pytest.mark.parametrize(
    ("ts_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_767_225_600_007, "2026-01-01T00:00:00.007Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_have_milliseconds_and_a_z(ts_ms: int, text: str) -> None:
    assert iso_ms(ts_ms) == text


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_a_time_survives_the_round_trip(ts_ms: int) -> None:
    assert parse_time(iso_ms(ts_ms), "start") == ts_ms
    assert parse_time(str(ts_ms), "start") == ts_ms


def test_a_time_with_another_offset_is_the_same_moment() -> None:
    assert parse_time("2026-01-01T02:00:00+02:00", "start") == parse_time("2026-01-01", "start") == 1_767_225_600_000


@pytest.mark.parametrize(
    ("snake", "camel"), [("ts", "ts"), ("requested_size", "requestedSize"), ("p_95_ms", "p95Ms"), ("_x", "_x")]
)
def test_names_change_their_case(snake: str, camel: str) -> None:
    assert to_camel(snake) == camel


def test_camel_case_turns_back() -> None:
    assert to_snake("clientOrderId") == "client_order_id"


def test_keys_that_are_data_keep_their_spelling_at_their_level_only() -> None:
    value = {"by_reason": DataMap({"symbol_cap": {"last_seen": 1}})}
    assert to_wire(value) == {"byReason": {"symbol_cap": {"lastSeen": 1}}}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_never_sent(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        json_bytes({"probabilities": [0.5, {"x": number}]})
