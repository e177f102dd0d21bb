"""How do exact numbers and times cross the edge? As decimal strings and ISO-8601 text, without ever being a float."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from apps.engine.decimals import e8_text
from apps.engine.errors import InvalidInput
from apps.engine.values import E8

INT64_MAX = 2**63 - 1
LATEST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last time that ISO-8601 text of four digits can name
_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,8}))?", re.ASCII)
_EPOCH_MS = re.compile(r"[0-9]{1,15}", re.ASCII)


class JsonNumber(Decimal):
    """A JSON number with a fraction or an exponent, kept exact together with the text it was sent as."""

    text: str

    def __new__(cls, text: str) -> JsonNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number


def decimal_text(e8: int) -> str:
    """The exact decimal of a count of 1e-8: no exponent, no trailing zeros."""
    return e8_text(int(e8))


def parse_decimal_e8(value: Any, field: str) -> int:
    """The count of 1e-8 in a decimal string or JSON number. Raises InvalidInput naming the field."""
    match = _DECIMAL.fullmatch(_number_text(value, field))
    if match is None:
        raise InvalidInput('must be a decimal such as "0.25": no exponent, at most 8 decimals', field=field)
    sign, whole, fraction = match.groups()
    count = int(whole) * E8 + int((fraction or "").ljust(8, "0"))
    if count > INT64_MAX:
        raise InvalidInput("is too large", field=field)
    return -count if sign else count


def _number_text(value: Any, field: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, JsonNumber):
        return value.text
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput("must be a decimal string", field=field)


def iso_ms(ts_ms: int) -> str:
    """`2026-01-01T00:00:00.000Z`."""
    seconds, milliseconds = divmod(int(ts_ms), 1000)
    return f"{_iso_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=256)
def _iso_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def parse_time(text: Any, field: str) -> int:
    """Epoch milliseconds of ISO-8601 text (UTC unless it says otherwise) or of epoch milliseconds as digits."""
    if not isinstance(text, str):
        raise InvalidInput("must be a time such as 2026-01-01T00:00:00.000Z", field=field)
    ts_ms = int(text) if _EPOCH_MS.fullmatch(text) else _iso_to_ms(text, field)
    if not 0 <= ts_ms <= LATEST_MS:
        raise InvalidInput("must lie between 1970 and 9999", field=field)
    return ts_ms


def _iso_to_ms(text: str, field: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("must be a time such as 2026-01-01T00:00:00.000Z", field=field) from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        offset = aware - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError as error:
        raise InvalidInput("must lie between 1970 and 9999", field=field) from error
    return (offset.days * 86_400 + offset.seconds) * 1000 + offset.microseconds // 1000
