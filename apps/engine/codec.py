"""What are the exact bytes of a value, and which hash and id follow from them?

Canonical JSON is RFC 8785 on a smaller domain: str, bool, None, lists, tuples, dicts with ASCII keys, and integers up
to 2^53 - 1. There are no floats: RFC 8785 prints 1.0 as 1 and -0.0 as 0, so a float travels as its `float.hex()` text
and comes back bit for bit. With ASCII keys, sorting by code point is the UTF-16 order that the RFC asks for.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NewType

from apps.engine.errors import InvalidInput

MAX_INTEGER = 2**53 - 1
ID_HEX_DIGITS = 22

FloatText = NewType("FloatText", str)

_FLOAT_TEXT = re.compile(r"-?0x[01](\.[0-9a-f]{1,13})?p[+-][0-9]{1,4}", re.ASCII)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def canonical_bytes(value: Any) -> bytes:
    """The one byte form of a value. Raises InvalidInput on anything outside the domain, naming what it was."""
    try:
        require_canonical(value)
        return _encode(value).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("a text holds half of a surrogate pair") from error
    except RecursionError as error:
        raise InvalidInput("the value is nested too deeply") from error


def parse_canonical(body: bytes) -> Any:
    """The value behind canonical bytes. Raises InvalidInput when they are not exactly the canonical form."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error
    if canonical_bytes(value) != body:
        raise InvalidInput("not in canonical form")
    return value


def sha256_hex(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def content_id(prefix: str, body: bytes) -> str:
    """An id that follows from content, so that a retry or a replay meets the same row."""
    return digest_id(prefix, sha256_hex(body))


def digest_id(prefix: str, digest_hex: str) -> str:
    return prefix + digest_hex[:ID_HEX_DIGITS]


def float_text(value: float) -> FloatText:
    """The exact text of a float; `float_from` gives back the same bits. NaN and infinities become their names."""
    # Zeros that end the fraction say nothing, and a record holds a hundred floats.
    head, p, exponent = float(value).hex().partition("p")
    return FloatText(head.rstrip("0").rstrip(".") + p + exponent if p else head)


def float_from(text: str) -> float:
    """The float behind a text of `float_text`."""
    try:
        return float.fromhex(text)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text!r} is not the text of a float") from error


def is_float_text(text: str) -> bool:
    """Whether a text is what `float_text` writes for a finite float."""
    return text.startswith(("0x", "-0x")) and _FLOAT_TEXT.fullmatch(text) is not None


def require_canonical(value: Any) -> None:
    """Raise InvalidInput unless the value is inside the domain. The common types are told apart first: this is hot."""
    kind = type(value)
    if kind is dict or isinstance(value, dict):
        _require_keys(value)
        children = value.values()
    elif isinstance(value, list | tuple):
        children = value
    else:
        _require_leaf(value)
        return
    for child in children:
        kind = type(child)
        if kind is str or kind is bool or child is None:
            continue
        if kind is int and -MAX_INTEGER <= child <= MAX_INTEGER:
            continue
        require_canonical(child)


def _require_keys(mapping: dict[Any, Any]) -> None:
    try:
        is_ascii = "".join(mapping).isascii()
    except TypeError as error:
        raise InvalidInput("a key is not a text") from error
    if not is_ascii:
        raise InvalidInput("a key is not ASCII")


def _require_leaf(value: Any) -> None:
    if isinstance(value, float):
        raise InvalidInput(f"{value!r} is a float; use float_text")
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise InvalidInput(f"{int(value)} is beyond 2^53 - 1; give it as a text")
    elif value is not None and not isinstance(value, str):
        raise InvalidInput(f"a {type(value).__name__} has no canonical form")
