"""What whole number of 1e-8 does a decimal text stand for? Exactly that one, or an error that names the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Generic, TypeVar

from apps.engine.errors import DataError
from apps.engine.values import E8

INT64_MAX = 2**63 - 1
LONGEST = 64
_SCIENTIFIC = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_SCALE: tuple[int, ...] = tuple(int(10 ** (8 - digits)) for digits in range(9))
_EXACT = Context(prec=400)
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Memo(dict[KeyT, ValueT], Generic[KeyT, ValueT]):
    """What `read` made of each key, worked out once. Forgets everything when `limit` keys are known.

    A hit costs a fifth of reading a decimal, a miss half of one of `lru_cache`. What `read` raises is not remembered.
    """

    def __init__(self, read: Callable[[KeyT], ValueT], *, limit: int = 16_384) -> None:
        super().__init__()
        self._read = read
        self._limit = limit

    def __missing__(self, key: KeyT) -> ValueT:
        value = self._read(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value


def parse_e8(text: str) -> int:
    """The count of 1e-8 in `text`. Raises DataError naming it when it is no number, too fine or beyond int64."""
    # The common case first: eight decimals, as every frame of the exchange has them, and at most 18 digits.
    if isinstance(text, str) and 9 < len(text) < 20 and text[-9] == ".":
        digits = text.replace(".", "", 1)
        if digits.isascii() and digits.isdecimal():
            return int(digits)
    return _parse_plain(text)


def _parse_plain(text: str) -> int:
    whole, _, fraction = text.partition(".") if isinstance(text, str) else ("", "", "")
    digits = whole + fraction
    if len(fraction) <= 8 and len(digits) <= LONGEST and whole and digits.isdecimal() and digits.isascii():
        count = int(digits) * _SCALE[len(fraction)]
        if count <= INT64_MAX:
            return count
        raise DataError(f"{text!r} is too large to be held in units of 1e-8")
    return _parse_rare(text)


def _parse_rare(text: str) -> int:
    if not isinstance(text, str) or len(text) > LONGEST or not _SCIENTIFIC.fullmatch(text):
        raise DataError(f"{str(text)[:LONGEST]!r} is not a decimal number")
    scaled = _EXACT.multiply(Decimal(text), Decimal(E8))
    if scaled.adjusted() > 20 or abs(scaled) > INT64_MAX:
        raise DataError(f"{text!r} is too large to be held in units of 1e-8")
    count = int(scaled)
    if count != scaled:
        raise DataError(f"{text!r} cannot be held exactly in units of 1e-8")
    return count
