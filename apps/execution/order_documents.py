"""One order as people and the API see it: what was asked, how it stands, and how it filled, level by level."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.engine.decimals import e8_text
from apps.execution import ready_sql
from apps.execution.models import Execution, Fill, Order
from apps.web.casing import to_wire
from apps.web.values import iso_ms


def order_document(row: Order, *, audit_id: str | None = None, fills: Iterable[Fill] | None = None) -> dict[str, Any]:
    """An order with its fills, which are looked up where they are not given. Prices a type does not have are null;
    times that have not come are too."""
    return {
        "order_id": row.order_id,
        "client_order_id": row.client_order_id,
        "list_id": row.list_id or None,
        "symbol": row.symbol,
        "side": row.side,
        "type": row.type,
        "time_in_force": row.time_in_force,
        "quantity": e8_text(row.quantity_e8),
        "price": _text(row.price_e8),
        "stop_price": _text(row.stop_price_e8),
        "trailing_delta": row.trailing_bps,
        "filled_quantity": e8_text(row.filled_e8),
        "status": row.status,
        "reason": row.reason,
        "origin": row.origin,
        "waiting": _waiting(row),
        "prepared_at": _time(row.prepared_ts_ms),
        "decided_at": iso_ms(row.decided_ts_ms),
        "arrived_at": _time(row.arrived_ts_ms),
        "updated_at": _time(row.updated_ts_ms),
        "audit_id": audit_id or row.execution.audit_id,
        "fills": [_fill(fill) for fill in (row.fills.all() if fills is None else fills)],
    }


def market_order_document(order_id: str, audit_id: str, *, using: str) -> dict[str, Any]:
    """A market order as its decision left it: it is closed at once and never changes."""
    (row,) = ready_sql.found(Order, "WHERE order_id = %s", order_id, using=using)
    fills = ready_sql.found(Fill, "WHERE order_id = %s ORDER BY id", order_id, using=using)
    return order_document(row, audit_id=audit_id, fills=fills)


def documents_of(execution: Execution, *, using: str) -> list[dict[str, Any]]:
    """The orders of a decision under the names of the wire, as they are now."""
    rows = Order.objects.using(using).filter(execution=execution).order_by("number").prefetch_related("fills")
    return [to_wire(order_document(row)) for row in rows.select_related("execution")]


def _waiting(row: Order) -> dict[str, Any] | None:
    """What an open order waits for; null once it is closed. An unknown queue is null."""
    if not row.is_open or row.state is None:
        return None
    state, step_e8 = row.state, row.quantity_e8 // row.state["lots"]
    queue = state["queue_ahead_lots"]
    return {
        "phase": state["phase"],
        "queue_ahead": _text(queue * step_e8) if queue is not None else None,
        "is_triggered": state["trigger_trade_id"] is not None,
        "cancel_due_at": _time(state["cancel_due_ms"] or 0),
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "price": e8_text(fill.price_e8),
        "quantity": e8_text(fill.quantity_e8),
        "notional": e8_text(fill.notional_e8),
        "fee": e8_text(fill.fee_e8),
        "fee_asset": fill.fee_asset,
        "liquidity": "maker" if fill.is_maker else "taker",
        "rule": fill.rule,
        "trade_id": fill.trade_id,
        "audit_id": fill.audit_id or None,
        "ts": iso_ms(fill.ts_ms),
    }


def _text(value_e8: int | None) -> str | None:
    return None if value_e8 is None else e8_text(value_e8)


def _time(ts_ms: int) -> str | None:
    return iso_ms(ts_ms) if ts_ms else None
