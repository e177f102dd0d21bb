"""What may one member of a body or a query string be? Kinds of values, each read strictly or refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.engine.errors import InvalidInput
from apps.web.casing import to_camel
from apps.web.values import INT64_MAX, parse_decimal_e8, parse_time

MAX_TEXT = 500
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True)
class Field:
    """One member: its snake_case name and its kind, a key of KINDS. `low` and `high` bound int, number, decimal_e8."""

    name: str
    kind: str
    required: bool = True
    choices: tuple[Any, ...] | None = None
    default: Any = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of field {self.kind!r}; known: {', '.join(KINDS)}")

    @property
    def wire_name(self) -> str:
        return to_camel(self.name)

    def read(self, value: Any) -> Any:
        """The Python value of a wire value. Raises InvalidInput naming the field."""
        result = KINDS[self.kind](value, self.wire_name)
        if self.choices is not None and result not in self.choices:
            raise self._fault(f"must be one of {', '.join(str(choice) for choice in self.choices)}")
        if self.low is not None and not result >= self.low:
            raise self._fault(f"must be at least {self.low}")
        if self.high is not None and not result <= self.high:
            raise self._fault(f"must be at most {self.high}")
        return result

    def _fault(self, message: str) -> InvalidInput:
        return InvalidInput(message, field=self.wire_name)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput("must be text", field=field)
    if len(value) > MAX_TEXT:
        raise InvalidInput(f"must be at most {MAX_TEXT} characters", field=field)
    if not value.strip():
        raise InvalidInput("must not be empty", field=field)
    if not value.isprintable():
        raise InvalidInput("must not hold control characters", field=field)
    return value


def _symbol(value: Any, field: str) -> str:
    if not isinstance(value, str) or not _SYMBOL.fullmatch(value):
        raise InvalidInput("must be a symbol such as BTCUSDT", field=field)
    return value


def _boolean(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput("must be true or false", field=field)
    return value


def _integer(value: Any, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > INT64_MAX:
        raise InvalidInput("must be a whole number", field=field)
    return value


def _number(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not -1e300 < value < 1e300:
        raise InvalidInput("must be a finite number", field=field)
    return float(value)


def _map(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput("must be an object", field=field)
    return value


def integer_of_text(text: str, field: str) -> int:
    """A whole number of a query string, in ASCII digits alone."""
    if not _INTEGER.fullmatch(text):
        raise InvalidInput("must be a whole number", field=field)
    return _integer(int(text), field)


def boolean_of_text(text: str, field: str) -> bool:
    """A yes or no of a query string."""
    words = {"1": True, "true": True, "0": False, "false": False}
    if text.lower() not in words:
        raise InvalidInput("must be 1 or 0", field=field)
    return words[text.lower()]


KINDS: dict[str, Callable[[Any, str], Any]] = {
    "text": _text,
    "symbol": _symbol,
    "bool": _boolean,
    "int": _integer,
    "number": _number,
    "decimal_e8": parse_decimal_e8,
    "time": parse_time,
    "map": _map,
}
