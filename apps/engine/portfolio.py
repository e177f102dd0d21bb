"""What a fill does to a position, and what lots are worth: integers in, integers out, nothing lost."""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

# Beyond this a notional is not counted: 46 billion quote. Guards refuse it, so no sum below can leave int64.
MAX_NOTIONAL_E8 = 2**62


class PositionRecord(NamedTuple):
    """One symbol's holding in base. `cost_e8` is what it was bought (or sold short) for, in quote and fees apart.

    `fees_e8` is in quote; a fee that was charged in base counts with its worth at the price of its fill.
    """

    quantity_e8: int
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


@njit(cache=True, error_model="numpy", nogil=True)
def dust_value_nb(dust_e8: int, lot_value_e8: int, step_e8: int) -> int:
    """dust x value of a lot / lot, rounded down; to 18 digits where the product would leave int64."""
    value, rest = dust_e8 * (lot_value_e8 // step_e8), lot_value_e8 % step_e8
    # Both are below a lot, so this happens only to lots of more than 20 coins.
    while rest > 0 and abs(dust_e8) > MAX_NOTIONAL_E8 // rest:
        step_e8, rest = (step_e8 + 1) // 2, rest // 2
    return value + dust_e8 * rest // step_e8


def position_after(
    position: PositionRecord, *, side: int, quantity_e8: int, notional_e8: int, fee_e8: int, is_base_fee: bool = False
) -> PositionRecord:
    """The holding after one fill. Closing part of it takes its share of the cost, rounded down; the last part all.

    A fill that crosses zero closes the old side first and opens the rest at the fill's price. A buy that pays in base
    brings less base, and costs less by what that fee is worth: realized + unrealized - fees is the change of equity.
    Not compiled: cost x quantity leaves int64, and Python's integers do not end.
    """
    if is_base_fee:
        worth = fee_worth_e8(fee_e8, quantity_e8, notional_e8)
        quantity_e8, notional_e8, fee_e8 = quantity_e8 - fee_e8, notional_e8 - worth, worth
    held, signed = abs(position.quantity_e8), side * quantity_e8
    after, fees = position.quantity_e8 + signed, position.fees_e8 + fee_e8
    if position.quantity_e8 * signed >= 0:
        return PositionRecord(after, position.cost_e8 + notional_e8, position.realized_e8, fees)
    closed = min(quantity_e8, held)
    cost_closed = position.cost_e8 * closed // held
    proceeds = notional_e8 * closed // quantity_e8
    gain = proceeds - cost_closed if position.quantity_e8 > 0 else cost_closed - proceeds
    cost = position.cost_e8 - cost_closed + notional_e8 - proceeds
    return PositionRecord(after, cost, position.realized_e8 + gain, fees)


def fee_worth_e8(fee_e8: int, quantity_e8: int, notional_e8: int) -> int:
    """What a fee in base was worth in quote at the price of its fill, rounded up."""
    return -(-fee_e8 * notional_e8 // quantity_e8)
