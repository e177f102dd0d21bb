"""What whole number of 1e-8 does a decimal text stand for? Exactly that one, or an error that names the text."""

from __future__ import annotations

import re
from decimal import Context, Decimal

from apps.engine.errors import DataError
from apps.engine.values import E8

INT64_MAX = 2**63 - 1
LONGEST = 64
_SCIENTIFIC = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_SCALE: tuple[int, ...] = tuple(int(10 ** (8 - digits)) for digits in range(9))
_EXACT = Context(prec=400)


def parse_e8(text: str) -> int:
    """The count of 1e-8 in `text`. Raises DataError naming it when it is no number, too fine or beyond int64."""
    whole, _, fraction = text.partition(".") if isinstance(text, str) else ("", "", "")
    digits = whole + fraction
    # The common case first: plain digits with at most eight decimals, as every frame of the exchange has them.
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
