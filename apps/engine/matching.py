"""Match an order that passed the gate, on the arrival book or at the next bar's open."""

from __future__ import annotations

from typing import Any

from numba import njit

from apps.engine.decision import FILL_DEPTH, INTS, ArrivalRecord, TermsRecord, ViewRecord
from apps.engine.desk import UNKNOWN_DATA, DeskRecord, LimitRecord, OrderRecord
from apps.engine.fills import PARTICIPATION_DIVISOR, fill_bar_next_nb, fill_depth_nb
from apps.engine.portfolio import dust_value_nb, fee_nb
from apps.engine.reasons import Reason, Status
from apps.engine.values import IntArray2d

_NONE = int(Reason.NONE)
_FILLED = int(Status.FILLED)
_PARTIAL = int(Status.PARTIAL)
_EXPIRED = int(Status.EXPIRED)
_FREE_BALANCE = int(Reason.FREE_BALANCE)
_DATA_STALE = int(Reason.DATA_STALE)
_BOOK_EMPTY = int(Reason.BOOK_EMPTY)
_BOOK_EXHAUSTED = int(Reason.BOOK_EXHAUSTED)
_NEXT_BAR_MISSING = int(Reason.NEXT_BAR_MISSING)
_PARTICIPATION_CAP = int(Reason.PARTICIPATION_CAP)
_NUMERIC_FAULT = int(Reason.NUMERIC_FAULT)


@njit(cache=True, error_model="numpy", nogil=True)
def fill_nb(
    side: int, lots: int, view: ViewRecord, terms: TermsRecord, arrival: ArrivalRecord, bids: IntArray2d,
    asks: IntArray2d, fills: IntArray2d,
) -> int:  # fmt: skip
    """Fill on the book or at the next bar's open, as the terms say; returns the number of fill rows."""
    if terms.fill_kind == FILL_DEPTH:
        n_fills = fill_depth_nb(asks if side > 0 else bids, lots, terms.unit_e8, terms.fee_bps, fills)
    else:
        n_fills = fill_bar_next_nb(
            side, lots, arrival.open_ticks, arrival.volume_lots, view.sigma_bar, view.adv_quote,
            terms.unit_e8, terms.fee_bps, terms.slippage_scale, fills,
        )  # fmt: skip
    if side > 0 and terms.is_fee_in_base == 1:
        for row in range(n_fills):
            fills[row, 2] = fee_nb(fills[row, 1] * terms.step_e8, terms.fee_bps)
    return n_fills


@njit(cache=True, error_model="numpy", nogil=True)
def holding_after_nb(desk: DeskRecord, side: int, lots: int, base_fee_e8: int, step_e8: int) -> tuple[int, int]:
    """(whole lots, dust) after fills. Whole lots are counted toward zero, so dust has the sign of the holding."""
    if base_fee_e8 == 0 and desk.dust_e8 == 0:
        return desk.position_lots + side * lots, 0
    held = (desk.position_lots + side * lots) * step_e8 + desk.dust_e8 - base_fee_e8
    whole = abs(held) // step_e8
    if held < 0:
        whole = -whole
    return whole, held - whole * step_e8


@njit(cache=True, error_model="numpy", nogil=True)
def sums_nb(fills: IntArray2d, n_fills: int, unit_e8: int) -> tuple[int, int, int]:
    """(lots, notional_e8, fee_e8) over fill rows."""
    lots, notional, fee = 0, 0, 0
    for row in range(n_fills):
        lots += fills[row, 1]
        notional += fills[row, 0] * fills[row, 1] * unit_e8
        fee += fills[row, 2]
    return lots, notional, fee


@njit(cache=True, error_model="numpy", nogil=True)
def unfilled_reason_nb(n_fills: int, terms: TermsRecord, arrival: ArrivalRecord) -> int:
    """Why an order was not filled whole. A volume that allows a fill without one means that impact is unknown."""
    if terms.fill_kind == FILL_DEPTH:
        return _BOOK_EMPTY if n_fills == 0 else _BOOK_EXHAUSTED
    if arrival.open_ticks <= 0:
        return _NEXT_BAR_MISSING
    is_priced = n_fills > 0 or arrival.volume_lots < PARTICIPATION_DIVISOR
    return _PARTICIPATION_CAP if is_priced else _NUMERIC_FAULT


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def execute_nb(
    order: OrderRecord, view: ViewRecord, desk: DeskRecord, limits: LimitRecord, terms: TermsRecord,
    arrival: ArrivalRecord, bids: IntArray2d, asks: IntArray2d, w: Any,
) -> tuple[int, int]:  # fmt: skip
    """Match an order that passed the gate; returns (status, reason). A stale book matches nothing.

    A buy whose price on arrival is more than the cash left is refused whole, as the exchange would: cash never goes
    below 0 however far the price ran.
    """
    rehearsal = order.lots * terms.rehearsal_bps // 10_000
    w.out_i[INTS.rehearsal_lots] = rehearsal
    is_unknown = desk.unknown & UNKNOWN_DATA != 0 or desk.data_age_ms < 0
    if is_unknown or desk.data_age_ms > limits.stale_after_ms:
        return _EXPIRED, _DATA_STALE
    n_fills = fill_nb(order.side, order.lots, view, terms, arrival, bids, asks, w.fills)
    lots, notional, fee = sums_nb(w.fills, n_fills, terms.unit_e8)
    is_base_fee = order.side > 0 and terms.is_fee_in_base == 1
    flow = -order.side * notional - (0 if is_base_fee else fee)
    if order.side > 0 and -flow > desk.cash_e8:
        return _EXPIRED, _FREE_BALANCE
    w.out_i[INTS.n_fills] = n_fills
    w.out_i[INTS.filled_lots] = lots
    w.out_i[INTS.notional_e8] = notional
    w.out_i[INTS.fee_e8] = fee
    held, dust = holding_after_nb(desk, order.side, lots, fee if is_base_fee else 0, terms.step_e8)
    w.out_i[INTS.position_after_lots] = held
    w.out_i[INTS.dust_after_e8] = dust
    w.out_i[INTS.cash_after_e8] += flow
    mark_unit = desk.mark_ticks * terms.unit_e8
    w.out_i[INTS.equity_after_e8] += (held - desk.position_lots) * mark_unit + flow
    if dust != desk.dust_e8:
        before = dust_value_nb(desk.dust_e8, mark_unit, terms.step_e8)
        w.out_i[INTS.equity_after_e8] += dust_value_nb(dust, mark_unit, terms.step_e8) - before
    if rehearsal > 0:
        n_rehearsal = fill_nb(order.side, rehearsal, view, terms, arrival, bids, asks, w.rehearsal_fills)
        rehearsal_filled, rehearsal_notional, _ = sums_nb(w.rehearsal_fills, n_rehearsal, terms.unit_e8)
        w.out_i[INTS.rehearsal_filled_lots] = rehearsal_filled
        w.out_i[INTS.rehearsal_notional_e8] = rehearsal_notional
    if lots == order.lots:
        return _FILLED, _NONE
    return (_PARTIAL if lots > 0 else _EXPIRED), unfilled_reason_nb(n_fills, terms, arrival)
