"""What does a query string ask for? Read strictly, refused in the exchange's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
from multidict import MultiMapping

_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
# Above this an epoch is in microseconds.
_MICROSECONDS = 100_000_000_000_000


class Refused(Exception):
    """A request the exchange answers with an error body."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Params:
    """The query of one request. `done()` refuses what nobody read."""

    def __init__(self, query: MultiMapping[str]) -> None:
        self._values: Mapping[str, str] = dict(query)
        self._read: set[str] = set()
        for name in self._values:
            if len(query.getall(name)) > 1:
                raise Refused(-1101, f"Duplicate values for parameter '{name}' detected.")

    def text(self, name: str) -> str | None:
        self._read.add(name)
        return self._values.get(name)

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def number(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not _DIGITS.fullmatch(value):
            raise Refused(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(value)

    def limit(self, *, default: int, most: int) -> int:
        value = self.number("limit")
        if value == 0:
            raise Refused(-1130, "Data sent for parameter 'limit' is not valid.")
        return default if value is None else min(value, most)

    def time(self, name: str) -> int | None:
        """An epoch in milliseconds, whichever unit it was sent in."""
        value = self.number(name)
        return value // 1000 if value is not None and value > _MICROSECONDS else value

    def symbols(self, known: Mapping[str, object]) -> list[str] | None:
        """The `symbols` list, or None when it was not sent."""
        text = self.text("symbols")
        if text is None:
            return None
        try:
            names = orjson.loads(text)
        except orjson.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            legal = '^\\\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\\\]$'
            raise Refused(-1100, f"Illegal characters found in parameter 'symbols'; legal range is '{legal}'.")
        return [_known(name, "symbols", known) for name in names]

    def symbol(self, known: Mapping[str, object]) -> str:
        return _known(self.required("symbol"), "symbol", known)

    def done(self) -> None:
        unread = set(self._values) - self._read
        if unread:
            count, sent = len(self._values) - len(unread), len(self._values)
            raise Refused(
                -1104, f"Not all sent parameters were read; read '{count}' parameter(s) but was sent '{sent}'."
            )


def _known(name: str, field: str, known: Mapping[str, object]) -> str:
    if not _SYMBOL.fullmatch(name):
        legal = "^[A-Z0-9-_.]{1,20}$"
        raise Refused(-1100, f"Illegal characters found in parameter '{field}'; legal range is '{legal}'.")
    if name not in known:
        raise Refused(-1121, "Invalid symbol.")
    return name
