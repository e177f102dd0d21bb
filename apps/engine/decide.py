"""The whole of one decision: plan → size → guards → order → fills → position (+ rehearsal). The same in all shells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from apps.engine.borrowing import borrowed
from apps.engine.breakers import breakers_nb
from apps.engine.decision import (
    FLOATS,
    INTS,
    N_ARM_ROWS,
    N_ARMS,
    SOURCE_FLATTEN,
    SOURCE_ROUTER,
    ArrivalRecord,
    Decision,
    DecisionInputs,
    TermsRecord,
    ViewRecord,
    workspace,
)
from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.gate import gate_nb
from apps.engine.matching import execute_nb
from apps.engine.placed import placed
from apps.engine.plan import judged_ticks_nb, plan_nb
from apps.engine.portfolio import fee_nb, notional_nb
from apps.engine.reasons import Reason, Status
from apps.engine.router import RouterParams
from apps.engine.values import Array2d, IntArray1d, IntArray2d

_NONE = int(Reason.NONE)
_NO_MARKET_VIEW = int(Reason.NO_MARKET_VIEW)
_NO_TRADE = int(Status.NO_TRADE)
_BLOCKED = int(Status.BLOCKED)
_REJECTED = int(Status.REJECTED)
_EXECUTION_OFF = int(Reason.EXECUTION_OFF)
_NOTHING_TO_FLATTEN = int(Reason.NOTHING_TO_FLATTEN)
_FILTER_LOT_SIZE = int(Reason.FILTER_LOT_SIZE)
_FILTER_MIN_NOTIONAL = int(Reason.FILTER_MIN_NOTIONAL)


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def order_nb(signed_lots: int, ask_ticks: int, desk: DeskRecord, terms: TermsRecord) -> OrderRecord:
    """The order as guards judge it, counted at full size."""
    side = 1 if signed_lots > 0 else -1
    lots = abs(signed_lots)
    judged = terms.limit_ticks if terms.limit_ticks > 0 else judged_ticks_nb(side, desk.mark_ticks, ask_ticks)
    notional = notional_nb(lots, judged, terms.unit_e8)
    is_opposite = desk.position_lots * side < 0
    reduces = 1 if is_opposite and lots <= abs(desk.position_lots) else 0
    is_flatten = 1 if terms.source == SOURCE_FLATTEN and reduces == 1 else 0
    # A fee in base comes off what is bought and needs no cash.
    fee = 0 if side > 0 and terms.is_fee_in_base == 1 else fee_nb(notional, terms.fee_bps)
    is_router = 1 if terms.source == SOURCE_ROUTER else 0
    return OrderRecord(
        side, lots, terms.remainder_e8, judged, notional, fee, terms.unit_e8, reduces, is_flatten, terms.limit_ticks,
        is_router,
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def open_record_nb(view: ViewRecord, desk: DeskRecord, u: float, w: Any) -> None:
    """Clear the output rows and write what is known before anything is decided."""
    w.out_i[:] = 0
    w.out_f[:] = 0.0
    w.p[:] = 0.0
    w.findings[:, :] = 0
    w.out_i[INTS.ts_ms] = desk.ts_ms
    w.out_i[INTS.bar_open_ms] = view.bar_open_ms
    w.out_i[INTS.bar_index] = view.bar_index
    w.out_i[INTS.arm] = -1
    w.out_i[INTS.mark_ticks] = desk.mark_ticks
    w.out_i[INTS.unknown] = desk.unknown
    w.out_i[INTS.position_before_lots] = desk.position_lots
    w.out_i[INTS.position_after_lots] = desk.position_lots
    w.out_i[INTS.dust_after_e8] = desk.dust_e8
    w.out_i[INTS.cash_before_e8] = desk.cash_e8
    w.out_i[INTS.cash_after_e8] = desk.cash_e8
    w.out_i[INTS.equity_before_e8] = desk.equity_e8
    w.out_i[INTS.equity_after_e8] = desk.equity_e8
    w.out_f[FLOATS.u] = u


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def intent_nb(
    view: ViewRecord, arms: Array2d, gates: IntArray1d, desk: DeskRecord, limits: LimitRecord, terms: TermsRecord,
    params: RouterParams, ask_ticks: int, u: float, w: Any,
) -> tuple[int, int]:  # fmt: skip
    """(reason, signed lots): the router's plan, a person's order, or the flatten of what is held.

    A person's quantity below one lot is refused as the exchange would.
    """
    if terms.source == SOURCE_ROUTER:
        if desk.view_age_ms < 0:
            return _NO_MARKET_VIEW, 0
        reason, signed_lots = plan_nb(view, arms, gates, desk, limits, terms, params, ask_ticks, u, w)
        if reason == _NONE and terms.is_execution_on == 0:
            return _EXECUTION_OFF, 0
        return reason, signed_lots
    is_flatten = terms.source == SOURCE_FLATTEN
    signed_lots = -desk.position_lots if is_flatten else terms.lots
    w.out_i[INTS.requested_lots] = abs(signed_lots)
    if signed_lots == 0:
        return (_NOTHING_TO_FLATTEN if is_flatten else _FILTER_LOT_SIZE), 0
    return _NONE, signed_lots


@njit(cache=True, error_model="numpy", nogil=True)
def unsent_status_nb(reason: int) -> int:
    """How a decision without an order ends: a missing view is a refusal, a quantity below one lot a rejection."""
    if reason == _NO_MARKET_VIEW:
        return _BLOCKED
    return _REJECTED if reason == _FILTER_LOT_SIZE else _NO_TRADE


@njit(cache=True, error_model="numpy", nogil=True)
def decide_nb(
    view: ViewRecord, arms: Array2d, gates: IntArray1d, desk: DeskRecord, limits: LimitRecord, terms: TermsRecord,
    params: RouterParams, arrival: ArrivalRecord, bids: IntArray2d, asks: IntArray2d, u: float, w: Any,
) -> None:  # fmt: skip
    """One decision, written into the workspace `w`. `bids`, `asks` are (ticks, lots) rows of the arrival book."""
    arms, gates, bids, asks, w = borrowed(arms), borrowed(gates), borrowed(bids), borrowed(asks), borrowed(w)
    open_record_nb(view, desk, u, w)
    desk = breakers_nb(desk, limits, w.out_i)
    reason, signed_lots = intent_nb(view, arms, gates, desk, limits, terms, params, arrival.ask_ticks, u, w)
    w.out_i[INTS.reason] = reason
    if signed_lots == 0:
        w.out_i[INTS.status] = unsent_status_nb(reason)
        return
    order = order_nb(signed_lots, arrival.ask_ticks, desk, terms)
    w.out_i[INTS.side] = order.side
    w.out_i[INTS.judged_ticks] = order.price_ticks
    is_blocked, reason = gate_nb(desk, order, limits, w.findings)
    for row in range(w.findings.shape[0]):
        w.out_i[INTS.verdicts] |= w.findings[row, 0] << (2 * row)
    w.out_i[INTS.reason] = reason
    before = desk.same_buys if order.side > 0 else desk.same_sells
    if order.is_router == 1 and limits.repeat_orders > 0 and before >= limits.repeat_orders:
        w.out_i[INTS.is_repeat_tripped] = 1 - desk.is_repeat_latched
    if is_blocked == 1:
        is_filter = reason in (_FILTER_LOT_SIZE, _FILTER_MIN_NOTIONAL)
        w.out_i[INTS.status] = _REJECTED if is_filter else _BLOCKED
        return
    w.out_i[INTS.sent_lots] = order.lots
    status, reason = execute_nb(order, view, desk, limits, terms, arrival, bids, asks, w)
    w.out_i[INTS.status] = status
    w.out_i[INTS.reason] = reason


def decide(inputs: DecisionInputs) -> Decision:
    """One decision from its recorded inputs: a pure function of them, on one engine version."""
    w, placing = workspace(inputs.arms.shape[1]), inputs.placing
    # Nothing is offered to the kernel's own walk when the order is not a market order: it is judged there, not filled.
    bids, asks = (inputs.bids, inputs.asks) if placing is None else (inputs.bids[:0], inputs.asks[:0])
    decide_nb(
        inputs.view, inputs.arms, inputs.gates, inputs.desk, inputs.limits, inputs.terms, inputs.params,
        inputs.arrival, bids, asks, inputs.draw.u, w,
    )  # fmt: skip
    ints = type(INTS)(*w.out_i.tolist())._replace(attempt=inputs.draw.attempt)
    decision = Decision(
        ints=ints,
        floats=type(FLOATS)(*w.out_f.tolist()),
        probabilities=tuple(w.p.tolist()),
        widths=tuple(w.widths.tolist()),
        findings=tuple(map(tuple, w.findings.tolist())) if ints.side else (),
        fills=tuple(map(tuple, w.fills[: ints.n_fills].tolist())),
    )
    return decision if placing is None else placed(inputs, placing, decision)


def no_view() -> tuple[ViewRecord, Array2d, IntArray1d]:
    """What a person's order carries in place of a view: every arm at zero, none admissible."""
    arms = np.zeros((N_ARM_ROWS, N_ARMS))
    return ViewRecord(0, 0, 1, 0, 0.0, 0.0, 0.0, 0.0), arms, np.ones(N_ARMS, np.int64)
