"""Why is a bar refused or not believed? Every reason with its words; `SOFT` ones only ask for a second word."""

from __future__ import annotations

from enum import StrEnum


class BarFault(StrEnum):
    """Hard rules first, in the order in which they are asked, then the soft ones, in theirs."""

    NOT_FINITE = "not_finite"
    NOT_POSITIVE = "not_positive"
    LOW_ABOVE_BODY = "low_above_body"
    HIGH_BELOW_BODY = "high_below_body"
    NEGATIVE_VOLUME = "negative_volume"
    NEGATIVE_TRADES = "negative_trades"
    OFF_GRID = "off_grid"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    IN_FUTURE = "in_future"
    NOT_CLOSED = "not_closed"
    STALE_REPEAT = "stale_repeat"
    MOVE_WITHOUT_VOLUME = "move_without_volume"
    TRADES_WITHOUT_VOLUME = "trades_without_volume"
    VOLUME_WITHOUT_TRADES = "volume_without_trades"
    PRICE_UNIT = "price_unit"
    JUMP = "jump"
    SPIKE = "spike"
    QUIET_SPIKE = "quiet_spike"
    OPEN_GAP = "open_gap"
    WICK = "wick"
    VOLUME_UNIT = "volume_unit"


FAULT_TEXT = {
    BarFault.NOT_FINITE: "a value is not a finite number",
    BarFault.NOT_POSITIVE: "a price is not above zero",
    BarFault.LOW_ABOVE_BODY: "low is above open or close",
    BarFault.HIGH_BELOW_BODY: "high is below open or close",
    BarFault.NEGATIVE_VOLUME: "volume is below zero",
    BarFault.NEGATIVE_TRADES: "the number of trades is below zero",
    BarFault.OFF_GRID: "open time is off the grid of the interval",
    BarFault.DUPLICATE: "open time repeats",
    BarFault.OUT_OF_ORDER: "open time is before an earlier bar's",
    BarFault.IN_FUTURE: "the bar opens in the future",
    BarFault.NOT_CLOSED: "the bar has not closed",
    BarFault.STALE_REPEAT: "prices and volume are those of an earlier bar",
    BarFault.MOVE_WITHOUT_VOLUME: "the price moved without volume",
    BarFault.TRADES_WITHOUT_VOLUME: "there are trades but no volume",
    BarFault.VOLUME_WITHOUT_TRADES: "there is volume but no trade",
    BarFault.PRICE_UNIT: "the price changed by a power of ten",
    BarFault.JUMP: "the close is too far from the last one for any market",
    BarFault.SPIKE: "the return is far outside the last ones",
    BarFault.QUIET_SPIKE: "the price moved far without more volume than usual",
    BarFault.OPEN_GAP: "the open is far from the last close",
    BarFault.WICK: "high or low is far beyond the body",
    BarFault.VOLUME_UNIT: "the volume is of another unit than the last ones",
}

_ALL = tuple(BarFault)
HARD = _ALL[: _ALL.index(BarFault.STALE_REPEAT)]
SOFT = _ALL[_ALL.index(BarFault.STALE_REPEAT) :]

MOVES = (BarFault.JUMP, BarFault.SPIKE, BarFault.QUIET_SPIKE, BarFault.OPEN_GAP)
"""The soft reasons that the next bar can bear out."""
