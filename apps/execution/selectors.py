"""Reads of the execution room: account, positions, orders, executions, as plain values for the API and the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.db.models import Count, Max, Q

from apps.engine.decimals import e8_text
from apps.engine.errors import UnknownName
from apps.execution.dust import is_dust
from apps.execution.models import Account, EquityPoint, Execution, Fill, Order, Position, Reconciliation
from apps.execution.order_documents import order_document
from apps.execution.reserved import NOTHING, Reserved, reserved_by_symbol
from apps.marketdata import selectors as market
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


def last_marks(symbols: Iterable[str]) -> dict[str, int]:
    """Mid prices, and where a symbol that is held has none any more, the close of its last bar: for eyes, not for
    decisions, which count such a symbol as unknown."""
    marks = marks_current()
    for symbol in sorted(set(symbols) - marks.keys()):
        newest = market.bars_load(symbol, settings.INTERVAL, limit=1)
        if newest.n:
            marks[symbol] = int(newest.close_e8[0])
    return marks


def position_values(account: Account | None) -> list[dict[str, Any]]:
    """Positions in counts of 1e-8: one row per symbol of the watch list and one for everything else still held."""
    rows = {row.symbol: row for row in Position.objects.filter(account=account)} if account else {}
    held = [name for name, row in rows.items() if row.quantity_e8 and name not in settings.SYMBOLS]
    names = [*settings.SYMBOLS, *held]
    marks = last_marks(name for name, row in rows.items() if row.quantity_e8)
    return [_position_values(rows.get(name) or Position(symbol=name), marks.get(name)) for name in names]


def _position_values(row: Position, mark_e8: int | None) -> dict[str, Any]:
    value = row.quantity_e8 * mark_e8 // 10**8 if mark_e8 is not None else None
    unrealized = None
    if row.quantity_e8 == 0:
        unrealized = 0
    elif value is not None:
        unrealized = value - row.cost_e8 if row.quantity_e8 > 0 else row.cost_e8 + value
    return {
        "symbol": row.symbol,
        "quantity_e8": row.quantity_e8,
        "entry_e8": row.cost_e8 * 10**8 // abs(row.quantity_e8) if row.quantity_e8 else None,
        "mark_e8": mark_e8,
        "value_e8": value if row.quantity_e8 else 0,
        "notional_e8": abs(value) if value is not None else None,
        "unrealized_e8": unrealized,
        "realized_e8": row.realized_e8,
        "fees_e8": row.fees_e8,
        "updated_ts_ms": row.updated_ts_ms or None,
        "is_reduce_only": row.symbol not in settings.SYMBOLS,
    }


def positions() -> list[dict[str, Any]]:
    """The same as exact decimals, with what open orders hold back and whether it can be sold; "0" when flat."""
    account = account_current()
    reserved = reserved_by_symbol(account)
    return [_position(row, reserved.get(row["symbol"], NOTHING)) for row in position_values(account)]


def _position(row: dict[str, Any], reserved: Reserved) -> dict[str, Any]:
    def text(name: str) -> str | None:
        return None if row[name] is None else e8_text(row[name])

    return {
        "symbol": row["symbol"],
        "quantity": text("quantity_e8"),
        "avg_entry_price": text("entry_e8"),
        "mark_price": text("mark_e8"),
        "notional": text("notional_e8"),
        "unrealized_pnl": text("unrealized_e8"),
        "realized_pnl": text("realized_e8"),
        "fees_paid": text("fees_e8"),
        "locked": e8_text(reserved.base_e8),
        "open_orders": reserved.n_orders,
        "is_dust": bool(row["quantity_e8"])
        and is_dust(row["quantity_e8"], market.filters_current(row["symbol"]), row["mark_e8"]),
        "is_reduce_only": row["is_reduce_only"],
        "updated_at": iso_ms(row["updated_ts_ms"]) if row["updated_ts_ms"] else None,
    }


def account() -> dict[str, Any]:
    """The current epoch in exact decimals; statistics that cannot be formed are null."""
    row = account_current()
    if row is None:
        raise UnknownName("the paper account is not open yet", field="account")
    standing = standing_of(row)
    equity, exposure, drawdown = standing.equity_e8, standing.exposure_e8, standing.drawdown
    last = EquityPoint.objects.filter(account=row).order_by("-ts_ms").first()
    locked_e8 = sum(reserved.quote_e8 for reserved in reserved_by_symbol(row).values())
    return {
        "epoch": row.epoch,
        "started_at": iso_ms(row.started_ts_ms),
        "initial_cash": e8_text(row.initial_cash_e8),
        "cash": e8_text(row.cash_e8),
        "locked": e8_text(locked_e8),
        "free": e8_text(row.cash_e8 - locked_e8),
        "equity": e8_text(equity) if equity is not None else None,
        "exposure": e8_text(exposure) if exposure is not None else None,
        "realized_pnl": e8_text(sum(position.realized_e8 for position in Position.objects.filter(account=row))),
        "unrealized_pnl": e8_text(standing.unrealized_e8) if standing.unrealized_e8 is not None else None,
        "drawdown": drawdown,
        "fees_paid": e8_text(row.fees_e8),
        "buy_and_hold": e8_text(last.buy_and_hold_e8) if last else None,
        "fills": Fill.objects.filter(account=row).count(),
        "as_of": iso_ms(last.ts_ms) if last else None,
    }


def equity_curve(limit: int = CURVE_POINTS) -> list[dict[str, int]]:
    """Equity and buy-and-hold of the current epoch, oldest first, thinned to about `limit` points.

    Points stand on closes of bars, so evenly spaced ones are looked up by their time and the rest is never read.
    """
    points = EquityPoint.objects.filter(account=account_current()).order_by("ts_ms")
    first, last = points.values_list("ts_ms", flat=True).first(), points.values_list("ts_ms", flat=True).last()
    if first is None or last is None:
        return []
    bars_between = (last - first) // settings.INTERVAL_MS
    step_ms = max(1, -(-bars_between // limit)) * settings.INTERVAL_MS
    rows = points.filter(ts_ms__in=[*range(first, last, step_ms), last])
    columns = ("ts_ms", "equity_e8", "cash_e8", "exposure_e8", "buy_and_hold_e8")
    return [dict(zip(columns, row, strict=True)) for row in rows.values_list(*columns)]


class Standing(NamedTuple):
    """What an epoch started with and is worth at the present marks, in counts of 1e-8; None what cannot be marked."""

    started_ts_ms: int
    initial_e8: int
    cash_e8: int
    fees_e8: int
    equity_e8: int | None
    exposure_e8: int | None
    unrealized_e8: int | None
    drawdown: float | None
    held: tuple[str, ...]


def equity_standing() -> Standing | None:
    """How the current epoch stands; None before the account is open."""
    row = account_current()
    return standing_of(row) if row is not None else None


def standing_of(row: Account) -> Standing:
    """How an epoch stands at the present marks."""
    held = [position for position in position_values(row) if position["quantity_e8"]]
    values = [position["value_e8"] for position in held]
    is_marked = None not in values
    equity = row.cash_e8 + sum(values) if is_marked else None
    peak = EquityPoint.objects.filter(account=row).aggregate(peak=Max("equity_e8"))["peak"] or row.initial_cash_e8
    return Standing(
        started_ts_ms=row.started_ts_ms,
        initial_e8=row.initial_cash_e8,
        cash_e8=row.cash_e8,
        fees_e8=row.fees_e8,
        equity_e8=equity,
        exposure_e8=sum(map(abs, values)) if is_marked else None,
        unrealized_e8=sum(position["unrealized_e8"] for position in held) if is_marked else None,
        drawdown=max(0.0, 1 - equity / max(peak, equity, 1)) if equity is not None else None,
        held=tuple(position["symbol"] for position in held),
    )


def decisions_latest(limit: int) -> list[dict[str, Any]]:
    """The newest decisions with who asked for them; `answer` is the record that the API gives."""
    rows = Execution.objects.order_by("-ts_ms", "-audit_sequence")[:limit]
    return [{"source": row.source, "ts_ms": row.ts_ms, "answer": orjson.loads(bytes(row.answer))} for row in rows]


def router_decisions_latest() -> list[dict[str, Any]]:
    """The router's newest decision on each symbol of the watch list that had one; one seek each."""
    found = []
    for symbol in settings.SYMBOLS:
        rows = Execution.objects.filter(symbol=symbol, source="router").order_by("-ts_ms", "-audit_sequence")[:1]
        found += [{"ts_ms": row.ts_ms, "answer": orjson.loads(bytes(row.answer))} for row in rows]
    return found


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
    """Orders, newest first; OPEN stands for all that may still fill."""
    query = Order.objects.order_by("-number").prefetch_related("fills").select_related("execution")
    if status == "OPEN":
        query = query.filter(is_open=True)
    elif status is not None:
        query = query.filter(status=status)
    return [order_document(row) for row in query[:limit]]


def order(order_id: str) -> dict[str, Any]:
    """One order with its fills, level by level. Raises UnknownName."""
    row = Order.objects.filter(order_id=order_id).prefetch_related("fills").select_related("execution").first()
    if row is None:
        raise UnknownName("there is no such order", field="order_id")
    return order_document(row)


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


def reconciled_differences() -> int | None:
    """How many figures differed at the last reconciliation of this epoch; None before the first."""
    found = Reconciliation.objects.filter(account=account_current()).values_list("differences", flat=True).first()
    return None if found is None else len(found)
