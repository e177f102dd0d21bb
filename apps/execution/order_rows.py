"""The rows that orders leave: one per order with its engine value while it is open, one per fill."""

from __future__ import annotations

from collections.abc import Iterable

from apps.engine.decision import Decision, DecisionInputs
from apps.engine.order_values import FeeAsset, Fill, OpenOrder, Phase
from apps.engine.reasons import Reason, Status
from apps.engine.record import SOURCES
from apps.engine.values import Filters
from apps.execution import ready_sql
from apps.execution.account import AccountState, next_order_number
from apps.execution.answers import ORDER_STATUS
from apps.execution.models import Execution, Order
from apps.execution.models import Fill as FillRow
from apps.execution.requests import Prepared

SIDES = {1: "BUY", -1: "SELL"}


def market_order_write(
    *, execution: Execution, order_id: str, prepared: Prepared, inputs: DecisionInputs, decision: Decision,
    state: AccountState, audit_id: str, using: str,
) -> list[FillRow]:  # fmt: skip
    """The row of a market order, which is closed at once, and one per fill; returns the fills' rows."""
    ints, filters, request = decision.ints, inputs.filters, prepared.request
    side = SIDES[ints.side]
    order = ready_sql.make(
        Order,
        number=next_order_number(using=using),
        order_id=order_id,
        account=state.account,
        execution=execution,
        client_order_id=request.client_order_id or order_id,
        symbol=request.symbol,
        side=side,
        type="MARKET",
        time_in_force="IOC",
        quantity_e8=ints.sent_lots * filters.step_e8,
        filled_e8=ints.filled_lots * filters.step_e8,
        status=ORDER_STATUS[Status(ints.status)],
        reason=Reason(ints.reason).code if ints.reason else None,
        decided_ts_ms=ints.ts_ms,
        origin=SOURCES[request.source],
        filter_revision=filters.revision,
        prepared_ts_ms=prepared.t0_ms,
        updated_ts_ms=ints.ts_ms,
        arrived_ts_ms=inputs.arrival_ts_ms,
        equity_after_e8=ints.equity_after_e8,
    )
    ready_sql.insert(order, using=using)
    fills = [
        ready_sql.make(
            FillRow,
            order=order,
            account=state.account,
            symbol=request.symbol,
            side=side,
            price_e8=ticks * filters.tick_e8,
            quantity_e8=lots * filters.step_e8,
            notional_e8=ticks * lots * filters.unit_e8,
            fee_e8=fee_e8,
            fee_asset=FeeAsset.BASE if inputs.terms.is_fee_in_base and ints.side > 0 else FeeAsset.QUOTE,
            audit_id=audit_id,
            ts_ms=ints.ts_ms,
        )
        for ticks, lots, fee_e8 in decision.fills
    ]
    for fill in fills:
        ready_sql.insert(fill, using=using)
    return fills


def orders_write(
    *, execution: Execution, prepared: Prepared, inputs: DecisionInputs, decision: Decision, state: AccountState,
    audit_id: str, using: str,
) -> list[FillRow]:  # fmt: skip
    """One row per order that was accepted, and one per fill it had on arrival; returns the fills' rows."""
    step = decision.step
    assert step is not None
    request, ints, rules = prepared.request, decision.ints, inputs.filters
    rows = {}
    for order in sorted((*step.orders, *step.closed), key=lambda order: order.sequence):
        row = Order(
            number=order.sequence,
            order_id=order.order_id,
            account=state.account,
            execution=execution,
            client_order_id=request.client_order_id or order.order_id,
            symbol=request.symbol,
            side=SIDES[order.side],
            type=order.type,
            time_in_force=order.time_in_force,
            quantity_e8=order.lots * rules.step_e8,
            origin=request.origin,
            list_id=order.list_id,
            price_e8=order.price_ticks * rules.tick_e8 or None,
            stop_price_e8=order.stop_ticks * rules.tick_e8 or None,
            trailing_bps=order.trailing_bps or None,
            filter_revision=rules.revision,
            prepared_ts_ms=prepared.t0_ms,
            decided_ts_ms=ints.ts_ms,
            arrived_ts_ms=0,
            equity_after_e8=ints.equity_after_e8,
        )
        state_put(row, order, rules, ts_ms=ints.ts_ms, arrived_ms=inputs.arrival_ts_ms)
        ready_sql.insert(row, using=using)
        rows[order.order_id] = row
    fills = fill_rows(step.fills, rows, rules, audit_id=audit_id, ts_ms=ints.ts_ms)
    for fill in fills:
        ready_sql.insert(fill, using=using)
    return fills


def state_put(row: Order, order: OpenOrder, rules: Filters, *, ts_ms: int, arrived_ms: int) -> None:
    """Carry an order's engine value into its row, unsaved. It arrived once it is past its first travel."""
    row.state = order.to_json()
    row.filled_e8 = order.filled_lots * rules.step_e8
    row.status = order.status
    row.reason = order.reason if order.reason != "none" else None
    row.is_open = order.status.is_open
    row.updated_ts_ms = ts_ms
    is_first_travel = order.phase is Phase.TRAVELING and not order.is_triggered
    if row.arrived_ts_ms == 0 and not (is_first_travel and order.status.is_open):
        row.arrived_ts_ms = arrived_ms


def fill_rows(
    fills: Iterable[Fill], rows: dict[str, Order], rules: Filters, *, audit_id: str, ts_ms: int
) -> list[FillRow]:
    """Rows of fills, unsaved."""
    return [
        FillRow(
            order=rows[fill.order_id],
            account=rows[fill.order_id].account,
            symbol=rows[fill.order_id].symbol,
            side=rows[fill.order_id].side,
            price_e8=fill.price_ticks * rules.tick_e8,
            quantity_e8=fill.lots * rules.step_e8,
            notional_e8=fill.price_ticks * fill.lots * rules.unit_e8,
            fee_e8=fill.fee_e8,
            fee_asset=fill.fee_asset,
            is_maker=fill.is_maker,
            rule=fill.rule,
            trade_id=fill.trade_id,
            audit_id=audit_id,
            ts_ms=ts_ms,
        )
        for fill in fills
    ]
