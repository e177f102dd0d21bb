"""What counts as a JSON body? One object in UTF-8, small, shallow, without repeated keys or numbers that are none."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from apps.engine.errors import InvalidInput
from apps.web.problems import BodyTooLarge, InvalidFields
from apps.web.values import JsonNumber

MAX_DEPTH = 20
# An unclosed string runs to the end, so that a hostile body is scanned once and not once per quote.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(rb"[\[\]{}]")


class StrictJSONParser(BaseParser):
    """Reads a JSON object with its wire keys; every refusal is a 4xx that names `body` or the key at fault."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        charset = re.search(r"charset\s*=\s*\"?([^;\"\s]+)", media_type or "", re.IGNORECASE)
        if charset and charset.group(1).lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType(media_type or "")
        raw = stream.read(settings.BODY_LIMIT_BYTES + 1)
        if len(raw) > settings.BODY_LIMIT_BYTES:
            raise BodyTooLarge
        return parse_object(raw)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The object in the bytes of a body. Raises InvalidInput."""
    if not raw.strip():
        raise InvalidInput("a JSON object is required")
    _refuse_deep(raw)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object_of,
            parse_float=JsonNumber,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise InvalidInput(f"is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InvalidInput(f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except (ValueError, ArithmeticError) as error:
        raise InvalidInput("holds a number with too many digits") from error
    if not isinstance(value, dict):
        raise InvalidInput("must be a JSON object")
    _refuse_broken_text(value)
    return value


def _refuse_deep(raw: bytes) -> None:
    """Before any recursive parser sees it: 100,000 brackets must be a 400, not a full stack."""
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", raw)):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidInput(f"is nested deeper than {MAX_DEPTH} levels")


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        _refuse_broken_text(key)
        if key in members:
            raise InvalidFields([(key, "is given twice")])
        members[key] = value
    return members


def _refuse_broken_text(value: Any) -> None:
    """A lone surrogate is legal JSON and cannot be stored or sent as UTF-8."""
    if isinstance(value, str) and _SURROGATE.search(value):
        raise InvalidInput("holds text that is not Unicode (a lone surrogate)")
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_broken_text(member)


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"holds {name}, which is not JSON")
