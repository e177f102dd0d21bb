"""What a fill does to cash and position: integers in, integers out, nothing lost."""

from __future__ import annotations

from typing import NamedTuple

from numba import njit


class PositionRecord(NamedTuple):
    """One symbol's holding; all int64. `cost_e8` is what the open lots were bought (or sold short) for, fees apart."""

    lots: int
    cost_e8: int
    realized_e8: int
    fees_e8: int


FLAT = PositionRecord(0, 0, 0, 0)


@njit(cache=True, error_model="numpy", nogil=True)
def fee_nb(notional_e8: int, fee_bps: int) -> int:
    """Fee in quote, rounded up to 1e-8 so that the desk never pays less than the exchange would take."""
    return (notional_e8 * fee_bps + 9_999) // 10_000


@njit(cache=True, error_model="numpy", nogil=True)
def cash_after_nb(cash_e8: int, side: int, notional_e8: int, fee_e8: int) -> int:
    return cash_e8 - side * notional_e8 - fee_e8


@njit(cache=True, error_model="numpy", nogil=True)
def position_after_nb(position: PositionRecord, side: int, lots: int, ticks: int, unit_e8: int, fee_e8: int):  # type: ignore[no-untyped-def]
    """The holding after one fill. Closing part of it takes its share of the cost, rounded down; the last lot takes all.

    A fill that crosses zero closes the old side first and opens the rest at the fill's price.
    """
    signed = side * lots
    after = position.lots + signed
    fees = position.fees_e8 + fee_e8
    notional = lots * ticks * unit_e8
    if position.lots * signed >= 0:
        return PositionRecord(after, position.cost_e8 + notional, position.realized_e8, fees)
    held = abs(position.lots)
    closed = min(lots, held)
    cost_closed = position.cost_e8 if closed == held else position.cost_e8 * closed // held
    proceeds = closed * ticks * unit_e8
    gain = proceeds - cost_closed if position.lots > 0 else cost_closed - proceeds
    opened = lots - closed
    cost = position.cost_e8 - cost_closed + opened * ticks * unit_e8
    return PositionRecord(after, cost, position.realized_e8 + gain, fees)


def position_after(
    position: PositionRecord, *, side: int, lots: int, ticks: int, unit_e8: int, fee_e8: int
) -> PositionRecord:
    """`position_after_nb` on Python integers, which cannot overflow."""
    result: PositionRecord = position_after_nb.py_func(position, side, lots, ticks, unit_e8, fee_e8)
    return result


def average_entry_e8(position: PositionRecord, unit_e8: int, tick_e8: int) -> int:
    """Average entry price in 1e-8 quote, rounded down; 0 when flat."""
    if position.lots == 0:
        return 0
    return position.cost_e8 * tick_e8 // (abs(position.lots) * unit_e8)


def notional_e8(lots: int, ticks: int, unit_e8: int) -> int:
    """|lots| at a price, in 1e-8 quote."""
    return abs(lots) * ticks * unit_e8
