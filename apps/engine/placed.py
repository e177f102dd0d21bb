"""What becomes of a decision whose order is no market order: the kernel has judged it, here it meets its first book."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from apps.engine.consumption import Consumption
from apps.engine.decision import Decision, DecisionInputs
from apps.engine.matching import holding_after_nb
from apps.engine.order_step import Step
from apps.engine.order_types import OrderReason, OrderStatus
from apps.engine.order_values import FeeAsset, Fill, OrderTerms, settlement
from apps.engine.placing import Placing, placing_refusal, traveling_orders
from apps.engine.portfolio import dust_value_nb
from apps.engine.reasons import Reason, Status
from apps.engine.resting import on_book


def placed(inputs: DecisionInputs, placing: Placing, decision: Decision) -> Decision:
    """The decision after its order arrived. One that the exchange refuses was never sent."""
    ints, filters = decision.ints, inputs.filters
    if ints.sent_lots == 0:
        return decision
    refusal = placing_refusal(placing, filters, mark_e8=inputs.desk.mark_ticks * filters.tick_e8)
    if refusal is not None:
        return _refused(decision, refusal.reason)
    cash_e8 = inputs.desk.cash_e8 - max(0, inputs.desk.locked_cash_e8)
    orders = traveling_orders(placing, filters)
    step, ledger = on_book(orders, placing.depth, placing.ledger, placing.terms, cash_e8)
    for order in step.closed:
        if order.status is OrderStatus.REJECTED:
            return _refused(decision, order.reason)
    return _accepted(inputs, placing.terms, decision, step, ledger)


def reason_of(reason: OrderReason) -> Reason:
    """The decision's reason of the same name."""
    return Reason[reason.name]


def _refused(decision: Decision, reason: OrderReason) -> Decision:
    ints = decision.ints._replace(
        sent_lots=0, rehearsal_lots=0, status=int(Status.REJECTED), reason=int(reason_of(reason))
    )
    return replace(decision, ints=ints)


def _accepted(
    inputs: DecisionInputs, terms: OrderTerms, decision: Decision, step: Step, ledger: Consumption
) -> Decision:
    ints, desk, fills = decision.ints, inputs.desk, step.fills
    lots, notional = _sums(fills, terms.unit_e8)
    base_fee = sum(fill.fee_e8 for fill in fills if fill.fee_asset is FeeAsset.BASE)
    flow = sum(settlement(ints.side, fill, terms).quote_e8 for fill in fills)
    held, dust = holding_after_nb(desk, ints.side, lots, base_fee, terms.step_e8)
    mark_unit = desk.mark_ticks * terms.unit_e8
    worth = [int(dust_value_nb(amount, mark_unit, terms.step_e8)) for amount in (desk.dust_e8, dust)]
    gain = (int(held) - desk.position_lots) * mark_unit + worth[1] - worth[0] + flow
    rehearsed, rehearsed_notional = _sums(_first_lots(fills, ints.rehearsal_lots), terms.unit_e8)
    status, reason = _outcome(step, lots)
    return replace(
        decision,
        ints=ints._replace(
            status=int(status),
            reason=int(reason),
            filled_lots=lots,
            n_fills=len(fills),
            notional_e8=notional,
            fee_e8=sum(fill.fee_e8 for fill in fills),
            position_after_lots=int(held),
            dust_after_e8=int(dust),
            cash_after_e8=ints.cash_before_e8 + flow,
            equity_after_e8=ints.equity_before_e8 + gain,
            rehearsal_filled_lots=rehearsed,
            rehearsal_notional_e8=rehearsed_notional,
        ),
        fills=tuple((fill.price_ticks, fill.lots, fill.fee_e8) for fill in fills),
        step=step,
        ledger=ledger,
    )


def _outcome(step: Step, filled_lots: int) -> tuple[Status, Reason]:
    """How the decision stands: an order that is open is OPEN until it has a fill."""
    if step.orders:
        order = step.orders[0]
        return (Status.PARTIAL if filled_lots else Status.OPEN), reason_of(order.reason)
    ended = next(order for order in step.closed if order.reason is not OrderReason.LIST_CANCELED)
    if ended.status is OrderStatus.FILLED:
        return Status.FILLED, Reason.NONE
    return (Status.PARTIAL if filled_lots else Status.EXPIRED), reason_of(ended.reason)


def _sums(fills: Iterable[Fill], unit_e8: int) -> tuple[int, int]:
    """(lots, notional)."""
    fills = tuple(fills)
    return sum(fill.lots for fill in fills), sum(fill.lots * fill.price_ticks * unit_e8 for fill in fills)


def _first_lots(fills: Iterable[Fill], lots: int) -> list[Fill]:
    """What a smaller order would have had of the same fills."""
    found = []
    for fill in fills:
        taken = min(lots, fill.lots)
        if taken > 0:
            found.append(fill._replace(lots=taken))
        lots -= taken
    return found
