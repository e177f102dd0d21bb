"""How do names look on the wire? camelCase there, snake_case here; maps whose keys are data are left alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_AFTER_UNDERSCORE = re.compile(r"(?<=[a-z0-9A-Z])_([a-z0-9])")
_BEFORE_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


class DataMap(dict[str, Any]):
    """A mapping whose keys are data (flag names, reasons, symbols) and keep their spelling. Its values are rendered."""


@lru_cache(maxsize=4096)
def to_camel(name: str) -> str:
    """`requested_size` -> `requestedSize`."""
    return _AFTER_UNDERSCORE.sub(lambda match: match.group(1).upper(), name)


@lru_cache(maxsize=4096)
def to_snake(name: str) -> str:
    """`requestedSize` -> `requested_size`."""
    return _BEFORE_CAPITAL.sub(lambda match: "_" + match.group(1).lower(), name)


class WireMap(DataMap):
    """A mapping whose JSON is there already: an answer that is kept is sent again byte for byte."""

    def __init__(self, members: Mapping[str, Any], sent: bytes) -> None:
        super().__init__(members)
        self.sent = sent


def to_wire(value: Any) -> Any:
    """The JSON-able value with camelCase keys. Raises ValueError on a float that is not finite."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value  # most are: told apart before the slow questions
    if kind is dict:
        return {to_camel(str(key)): to_wire(member) for key, member in value.items()}
    if isinstance(value, DataMap):
        return {str(key): to_wire(member) for key, member in value.items()}
    if isinstance(value, Mapping):
        return {to_camel(str(key)): to_wire(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(member) for member in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be sent: JSON numbers are finite")
        return float(value)
    return value
