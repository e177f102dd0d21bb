"""Reads of the execution room: account, positions, orders, executions, as plain values for the API and the page."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings
from django.db.models import Count, Max, Q, Sum

from apps.engine.decimals import e8_text
from apps.engine.errors import UnknownName
from apps.execution.models import Account, EquityPoint, Execution, Fill, Order, Position
from apps.marketdata.market import market_view
from apps.web.values import iso_ms

CURVE_POINTS = 400


def account_current() -> Account | None:
    return Account.objects.order_by("-epoch").first()


def marks_current() -> dict[str, int]:
    """Mid price of every symbol whose best prices are known, however old."""
    marks = {}
    for symbol in market_view().symbols():
        quote = market_view().quote(symbol)
        if quote is not None:
            marks[symbol] = (quote.bid_e8 + quote.ask_e8) // 2
    return marks


def positions() -> list[dict[str, Any]]:
    """One row per symbol of the watch list and one for everything else still held; quantity "0" when flat."""
    account = account_current()
    rows = {row.symbol: row for row in Position.objects.filter(account=account)} if account else {}
    held = [name for name, row in rows.items() if row.quantity_e8 and name not in settings.SYMBOLS]
    marks = marks_current()
    names = [*settings.SYMBOLS, *held]
    return [_position(rows.get(name) or Position(symbol=name), marks.get(name)) for name in names]


def _position(row: Position, mark_e8: int | None) -> dict[str, Any]:
    value = row.quantity_e8 * mark_e8 // 10**8 if mark_e8 is not None else None
    unrealized = None
    if row.quantity_e8 == 0:
        unrealized = 0
    elif value is not None:
        unrealized = value - row.cost_e8 if row.quantity_e8 > 0 else row.cost_e8 + value
    entry = row.cost_e8 * 10**8 // abs(row.quantity_e8) if row.quantity_e8 else None
    return {
        "symbol": row.symbol,
        "quantity": e8_text(row.quantity_e8),
        "avg_entry_price": e8_text(entry) if entry is not None else None,
        "mark_price": e8_text(mark_e8) if mark_e8 is not None else None,
        "notional": e8_text(abs(value)) if value is not None else None,
        "unrealized_pnl": e8_text(unrealized) if unrealized is not None else None,
        "realized_pnl": e8_text(row.realized_e8),
        "fees_paid": e8_text(row.fees_e8),
        "updated_at": iso_ms(row.updated_ts_ms) if row.updated_ts_ms else None,
    }


def account() -> dict[str, Any]:
    """The current epoch in exact decimals; statistics that cannot be formed are null."""
    row = account_current()
    if row is None:
        raise UnknownName("the paper account is not open yet", field="account")
    marks = marks_current()
    held = [position for position in Position.objects.filter(account=row) if position.quantity_e8]
    values = [position.quantity_e8 * marks[position.symbol] // 10**8 for position in held if position.symbol in marks]
    is_marked = len(values) == len(held)
    equity = row.cash_e8 + sum(values) if is_marked else None
    peak = EquityPoint.objects.filter(account=row).aggregate(peak=Max("equity_e8"))["peak"] or row.initial_cash_e8
    last = EquityPoint.objects.filter(account=row).order_by("-ts_ms").first()
    drawdown = max(0.0, 1 - equity / max(peak, equity)) if equity is not None and equity > 0 else None
    return {
        "epoch": row.epoch,
        "started_at": iso_ms(row.started_ts_ms),
        "initial_cash": e8_text(row.initial_cash_e8),
        "cash": e8_text(row.cash_e8),
        "equity": e8_text(equity) if equity is not None else None,
        "exposure": e8_text(sum(abs(value) for value in values)) if is_marked else None,
        "drawdown": drawdown,
        "fees_paid": e8_text(row.fees_e8),
        "buy_and_hold": e8_text(last.buy_and_hold_e8) if last else None,
        "fills": Fill.objects.filter(account=row).count(),
        "as_of": iso_ms(last.ts_ms) if last else None,
    }


def equity_curve(limit: int = CURVE_POINTS) -> list[dict[str, int]]:
    """Equity and buy-and-hold of the current epoch, oldest first, thinned to about `limit` points."""
    rows = list(
        EquityPoint.objects.filter(account=account_current())
        .order_by("ts_ms")
        .values("ts_ms", "equity_e8", "cash_e8", "exposure_e8", "buy_and_hold_e8")
    )
    step = max(1, -(-len(rows) // limit))
    kept = rows[::step]
    return kept if not rows or kept[-1] is rows[-1] else [*kept, rows[-1]]


def executions(*, limit: int, symbol: str | None = None) -> list[dict[str, Any]]:
    """Execution records, newest first."""
    query = Execution.objects.order_by("-audit_sequence")
    if symbol is not None:
        query = query.filter(symbol=symbol)
    return [orjson.loads(bytes(row.answer)) for row in query[:limit]]


def sizing_last() -> list[dict[str, Any]]:
    """The last sizing of each symbol that was ever sized."""
    found = []
    for symbol in settings.SYMBOLS:
        query = Execution.objects.filter(symbol=symbol, policy_id__isnull=False).order_by("-audit_sequence")
        row = query.first()
        if row is not None:
            record = orjson.loads(bytes(row.answer))
            found.append({"symbol": symbol, **(record["sizing"] or {}), "ts": record["ts"]})
    return found


def orders(*, status: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
    """Orders, newest first."""
    query = Order.objects.order_by("-number").prefetch_related("fills").select_related("execution")
    if status is not None:
        query = query.filter(status=status)
    return [order_document(row) for row in query[:limit]]


def order(order_id: str) -> dict[str, Any]:
    """One order with its fills, level by level. Raises UnknownName."""
    row = Order.objects.filter(order_id=order_id).prefetch_related("fills").select_related("execution").first()
    if row is None:
        raise UnknownName("there is no such order", field="order_id")
    return order_document(row)


def order_document(row: Order) -> dict[str, Any]:
    return {
        "order_id": row.order_id,
        "client_order_id": row.client_order_id,
        "symbol": row.symbol,
        "side": row.side,
        "type": row.type,
        "time_in_force": row.time_in_force,
        "quantity": e8_text(row.quantity_e8),
        "filled_quantity": e8_text(row.filled_e8),
        "status": row.status,
        "reason": row.reason,
        "decided_at": iso_ms(row.decided_ts_ms),
        "arrived_at": iso_ms(row.arrived_ts_ms) if row.arrived_ts_ms else None,
        "audit_id": row.execution.audit_id,
        "fills": [
            {
                "price": e8_text(fill.price_e8),
                "quantity": e8_text(fill.quantity_e8),
                "notional": e8_text(fill.notional_e8),
                "fee": e8_text(fill.fee_e8),
                "ts": iso_ms(fill.ts_ms),
            }
            for fill in row.fills.all()
        ],
    }


def decisions_since(ts_ms: int) -> dict[str, int]:
    """Counts of decisions and of blocked ones since a market time."""
    query = Execution.objects.filter(ts_ms__gt=ts_ms)
    blocked = Q(status__in=("blocked", "rejected"))
    counts = query.aggregate(decisions=Count("pk"), blocked=Count("pk", filter=blocked))
    return {"decisions": counts["decisions"], "blocked": counts["blocked"]}


def decision_totals() -> dict[tuple[str, str], int]:
    """How many decisions ended in each (status, reason), ever."""
    rows = Execution.objects.values_list("status", "reason").annotate(n=Count("pk"))
    return {(status, reason or "none"): n for status, reason, n in rows}


def fill_sums() -> dict[str, tuple[int, int, int]]:
    """Per symbol of the current epoch: (signed quantity, signed notional, fees) over its fills."""
    rows = (
        Fill.objects.filter(account=account_current())
        .values_list("symbol", "side")
        .annotate(quantity=Sum("quantity_e8"), notional=Sum("notional_e8"), fee=Sum("fee_e8"))
    )
    sums: dict[str, tuple[int, int, int]] = {}
    for symbol, side, quantity, notional, fee in rows:
        sign = 1 if side == "BUY" else -1
        before = sums.get(symbol, (0, 0, 0))
        sums[symbol] = (before[0] + sign * quantity, before[1] + sign * notional, before[2] + fee)
    return sums
