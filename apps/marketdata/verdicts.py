"""What do two answers say of a candle that is not believed? Confirmed, replaced by another value, or nothing yet."""

from __future__ import annotations

from typing import NamedTuple

from apps.engine.quality import agrees
from apps.marketdata.quarantine import Candle
from apps.marketdata.selectors import bars_from_rows

CONFIRM, REPLACE, WAIT = "confirmed", "replaced", "waits"
TOLERANCE_BPS = 50


class Answer(NamedTuple):
    """What an exchange said when it was asked for the bar again; without a candle, `error` tells why."""

    candle: Candle | None
    error: str = ""


class Verdict(NamedTuple):
    """What to do, with which candle, and why."""

    action: str
    candle: Candle | None
    why: str


def verdict(
    *, suspect: Candle | None, again: Answer, second: Answer, again_is_whole: bool, again_is_suspect: bool
) -> Verdict:
    """Weigh the re-fetch and the second endpoint. `suspect` is None where the candle as it came may never be stored.

    Confirmed: the second endpoint tells the suspect's prices and volume within half a percent. Replaced: the exchange
    itself now tells another value, which either passes every rule or is what the second endpoint says too.
    """
    if suspect is not None and second.candle is not None and _agree(suspect, second.candle):
        return Verdict(CONFIRM, suspect, "the second endpoint tells the same")
    if again.candle is None:
        return Verdict(WAIT, None, f"no second word: {again.error or 'the exchange has no such bar'}")
    if not again_is_whole:
        return Verdict(WAIT, None, "the exchange still tells a bar that breaks a rule")
    if again.candle == suspect:
        why = f"the second endpoint did not answer: {second.error}" if second.candle is None else "the two disagree"
        return Verdict(WAIT, None, why)
    if second.candle is not None and _agree(again.candle, second.candle):
        return Verdict(REPLACE, again.candle, "the exchange and the second endpoint tell another value")
    if not again_is_suspect:
        return Verdict(REPLACE, again.candle, "the exchange now tells a value that passes")
    return Verdict(WAIT, None, "the exchange tells another value, and that is suspect too")


def _agree(one: Candle, other: Candle) -> bool:
    """Prices as the engine compares them, and the volume as closely: the endpoints are of one exchange."""
    is_volume_near = abs(one[5] - other[5]) * 10_000 <= TOLERANCE_BPS * max(one[5], other[5])
    return is_volume_near and agrees(bars_from_rows([one]), bars_from_rows([other]), tolerance_bps=TOLERANCE_BPS)
