"""Canonical bytes equal the RFC's on the allowed domain, and nothing outside it gets through."""

from __future__ import annotations

import math
from enum import IntEnum, StrEnum

import numpy as np
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.codec import (
    MAX_INTEGER,
    canonical_bytes,
    content_id,
    float_from,
    float_text,
    is_float_text,
    parse_canonical,
    sha256_hex,
)
from apps.engine.errors import InvalidInput

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
KEYS = st.text(st.characters(max_codepoint=127), max_size=6)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


class Side(StrEnum):
    BUY = "BUY"


class Verdict(IntEnum):
    DENY = 2


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_it_equals_the_reference_on_the_allowed_domain(value: object) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)
    assert parse_canonical(canonical_bytes(value)) == value


def test_it_prints_what_the_rfc_prints() -> None:
    value = {"b": [True, None, -1], "a": '\u20ac$\u000f\nA\'B"\\"/\x7f', "": {}}
    assert canonical_bytes(value) == (b'{"":{},"a":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\"/\x7f","b":[true,null,-1]}')


def test_tuples_and_enums_print_as_what_they_hold() -> None:
    assert canonical_bytes({"side": Side.BUY, "verdict": Verdict.DENY, "pair": (1, "x")}) == (
        b'{"pair":[1,"x"],"side":"BUY","verdict":2}'
    )


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (1.0, "float"),
        ([{"a": 0.5}], "float"),
        (float("nan"), "float"),
        (np.float64(1.0), "float"),
        (MAX_INTEGER + 1, "2\\^53"),
        ({"a": [-MAX_INTEGER - 1]}, "2\\^53"),
        (np.int64(3), "int64"),
        ({1: "a"}, "key is not a text"),
        ({None: "a"}, "key is not a text"),
        ({"\u00e9": 1}, "not ASCII"),
        (b"raw", "bytes"),
        ({"a": {1, 2}}, "set"),
        ("\ud800", "surrogate"),
    ],
)
def test_it_refuses_what_is_outside_the_domain(value: object, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        canonical_bytes(value)


def test_it_refuses_a_value_that_holds_itself() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidInput, match="nested"):
        canonical_bytes(loop)


@pytest.mark.parametrize(
    "body",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1,"a":1}',
        b"1.0",
        b"1e3",
        b"-0",
        b'"\\u0041"',
        b"{",
        b"\xff",
        b"NaN",
        b"[" * 9999,
    ],
)
def test_it_refuses_bytes_that_are_not_canonical(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_canonical(body)


@given(st.floats(allow_nan=False))
def test_a_float_survives_as_text(value: float) -> None:
    back = float_from(float_text(value))
    assert (back, math.copysign(1, back)) == (value, math.copysign(1, value))
    assert is_float_text(float_text(value)) == math.isfinite(value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0x0p+0"), (-0.0, "-0x0p+0"), (1.5, "0x1.8p+0"), (4.0, "0x1p+2"), (-0.75, "-0x1.8p-1")]
)
def test_a_float_is_written_without_zeros_that_say_nothing(value: float, text: str) -> None:
    assert float_text(value) == text


@pytest.mark.parametrize("text", ["", "0x", "0xff", "1.5", "0x1.8p1", "0x1.8p+1 ", "0x2.0p+0", "BTCUSDT", "nan", "inf"])
def test_other_texts_are_not_floats(text: str) -> None:
    assert not is_float_text(text)


def test_ids_follow_from_content() -> None:
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert content_id("ad", b"") == "ade3b0c44298fc1c149afbf4"
