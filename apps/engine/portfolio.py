"""What a fill does to a position, and what lots are worth: integers in, integers out, nothing lost."""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

# Beyond this a notional is not counted: 46 billion quote. Guards refuse it, so no sum below can leave int64.
MAX_NOTIONAL_E8 = 2**62


class PositionRecord(NamedTuple):
    """One symbol's holding. `cost_e8` is what the open lots were bought (or sold short) for, fees apart."""

    lots: int
    cost_e8: int
    realized_e8: int
    fees_e8: int


FLAT = PositionRecord(0, 0, 0, 0)


@njit(cache=True, error_model="numpy", nogil=True)
def notional_nb(lots: int, ticks: int, unit_e8: int) -> int:
    """lots x ticks x unit in 1e-8 quote; MAX_NOTIONAL_E8 where it would be more or a factor is negative."""
    if lots < 0 or ticks < 0 or unit_e8 < 0:
        return MAX_NOTIONAL_E8
    if lots == 0 or ticks == 0 or unit_e8 == 0:
        return 0
    if ticks > MAX_NOTIONAL_E8 // unit_e8 // lots:
        return MAX_NOTIONAL_E8
    return lots * ticks * unit_e8


@njit(cache=True, error_model="numpy", nogil=True)
def fee_nb(notional_e8: int, fee_bps: int) -> int:
    """Fee in quote, rounded up to 1e-8 so that the desk never pays less than the exchange would take.

    Divided before it is multiplied: exact for any notional up to MAX_NOTIONAL_E8 and up to 10,000 bps.
    """
    return notional_e8 // 10_000 * fee_bps + (notional_e8 % 10_000 * fee_bps + 9_999) // 10_000


def position_after(
    position: PositionRecord, *, side: int, lots: int, ticks: int, unit_e8: int, fee_e8: int
) -> PositionRecord:
    """The holding after one fill. Closing part of it takes its share of the cost, rounded down; the last lot takes all.

    A fill that crosses zero closes the old side first and opens the rest at the fill's price. Not compiled: cost x lots
    leaves int64 for coins of many lots, and Python's integers do not end.
    """
    signed = side * lots
    after = position.lots + signed
    fees = position.fees_e8 + fee_e8
    if position.lots * signed >= 0:
        return PositionRecord(after, position.cost_e8 + lots * ticks * unit_e8, position.realized_e8, fees)
    held = abs(position.lots)
    closed = min(lots, held)
    cost_closed = position.cost_e8 * closed // held
    proceeds = closed * ticks * unit_e8
    gain = proceeds - cost_closed if position.lots > 0 else cost_closed - proceeds
    cost = position.cost_e8 - cost_closed + (lots - closed) * ticks * unit_e8
    return PositionRecord(after, cost, position.realized_e8 + gain, fees)
