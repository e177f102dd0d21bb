"""A stop and a take-profit that follow what the router holds: PROTECT_STOP and PROTECT_TAKE, 0 for none.

They only ever shrink a position, so no guard judges them and no limit counts them. They are placed after the router has
traded, resized in the transaction of every change of the position, and canceled when it is flat. Both wait for a trade
at their price and then sell (or buy back) at the market; the first to trigger ends the other. Under FILLS=bars nothing
watches trades between bars: a desk asked for both does not start (checks.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from apps.audit.services import audit_append
from apps.engine.order_types import OrderReason
from apps.engine.order_values import OpenOrder
from apps.engine.protection import (
    PROTECT_KIND,
    ProtectInputs,
    protect,
    protect_inputs_out,
    protect_outputs,
)
from apps.engine.reasons import TradingState
from apps.engine.values import Filters
from apps.execution import ready_sql
from apps.execution.account import AccountState, account_state, next_order_number
from apps.execution.answers import ORDER_PREFIX, content_key
from apps.execution.booking import lots_held
from apps.execution.controls import controls_read
from apps.execution.lease import require_lease
from apps.execution.matching_rows import orders_cancel, versions
from apps.execution.models import Execution, MatchState, Order, Position
from apps.execution.open_orders import PROTECTIVE, order_of
from apps.execution.order_desk import LIST_PREFIX
from apps.execution.order_rows import SIDES, state_put
from apps.marketdata import selectors as market
from apps.risk import fence

_STANDING = "WHERE account_id = %s AND symbol = %s AND is_open AND origin = %s"
ACTOR = "protective"


def protective_follow(
    *, symbol: str, state: AccountState, rules: Filters, ts_ms: int, using: str
) -> tuple[list[str], list[str]]:
    """Make the open protective orders of a symbol those that its position needs; (canceled, placed) order ids.

    Called in the transaction of whatever changed the position, after its record: the change has one of its own. Does
    nothing when they are what they should be, so it may be called at any time.
    """
    row = state.position(symbol)
    params = (state.account.epoch, symbol, PROTECTIVE)
    standing = ready_sql.found(Order, _STANDING, *params, using=using)
    if not standing and not is_protecting():
        return [], []
    execution = _router_execution(row, using) if lots_held(row.quantity_e8, rules.step_e8) else None
    inputs = _inputs(row, standing, execution, rules, ts_ms=ts_ms, using=using)
    found = protect(inputs)
    if not found.canceled and not found.placed:
        return [], []
    orders_cancel(standing, reason=OrderReason.CANCELED, rules={symbol: rules}, ts_ms=ts_ms, using=using)
    if execution is not None:
        _orders_write(found.placed, execution, row, rules, ts_ms=ts_ms, using=using)
    body = {
        "symbol": symbol,
        **protect_outputs(found),
        "versions": versions(),
        "inputs": protect_inputs_out(inputs),
    }
    audit_append(kind=PROTECT_KIND, actor=ACTOR, ts_ms=ts_ms, body=body, using=using)
    return [order.order_id for order in found.canceled], [order.order_id for order in found.placed]


def is_protecting() -> bool:
    """Whether the settings ask for protective orders and something watches trades for them."""
    return settings.FILLS == "depth" and bool(settings.PROTECT_STOP or settings.PROTECT_TAKE)


def protective_keep(*, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Place what is missing of every position, as after a HALT that canceled it or new settings; the new order ids.

    Nothing is placed while the desk is HALTED.
    """
    placed: list[str] = []
    with fence.shared(using=using, allow_halted=True) as passage:
        state = account_state(using=using)
        require_lease(using=using)
        for symbol in sorted(state.positions):
            controls = controls_read(symbol=symbol, halted=passage.halted, using=using)
            if controls.trading_state is not None and controls.trading_state < TradingState.HALTED:
                rules = market.filters_current(symbol)
                placed += protective_follow(symbol=symbol, state=state, rules=rules, ts_ms=ts_ms, using=using)[1]
    return placed


def _inputs(
    row: Position, standing: Iterable[Order], execution: Execution | None, rules: Filters, *, ts_ms: int, using: str
) -> ProtectInputs:
    """Everything the choice of legs reads; without the settings no leg is wanted."""
    number = next_order_number(using=using)
    ids = [ORDER_PREFIX + content_key(row.account_id, PROTECTIVE, number + leg) for leg in range(2)]
    known = MatchState.objects.using(using).filter(symbol=row.symbol).values_list("last_trade_id", flat=True).first()
    return ProtectInputs(
        quantity_e8=row.quantity_e8,
        cost_e8=row.cost_e8,
        is_router=execution is not None and is_protecting(),
        stop=settings.PROTECT_STOP,
        take=settings.PROTECT_TAKE,
        standing=tuple(order_of(order) for order in standing),
        tick_e8=rules.tick_e8,
        step_e8=rules.step_e8,
        order_ids=(ids[0], ids[1]),
        list_id=LIST_PREFIX + content_key(ids[0], "list"),
        sequence=number,
        placed_ms=ts_ms,
        latency_ms=settings.ENTRY_LATENCY_MS,
        last_trade_id=-1 if known is None else known,
    )


def _router_execution(row: Position, using: str) -> Execution | None:
    """The router's newest decision that traded since the symbol was last flat: without one, a person holds it."""
    side = "BUY" if row.quantity_e8 > 0 else "SELL"
    orders = Order.objects.using(using).filter(account=row.account_id, symbol=row.symbol, origin="router", side=side)
    orders = orders.filter(filled_e8__gt=0, decided_ts_ms__gte=row.trip_exit_ms)
    order = orders.order_by("-number").select_related("execution").first()
    return order.execution if order is not None else None


def _orders_write(
    orders: Iterable[OpenOrder], execution: Execution, row: Position, rules: Filters, *, ts_ms: int, using: str
) -> None:
    for order in orders:
        _order_row(order, execution, row, rules, ts_ms=ts_ms).save(using=using, force_insert=True)


def _order_row(order: OpenOrder, execution: Execution, row: Position, rules: Filters, *, ts_ms: int) -> Order:
    made = Order(
        number=order.sequence,
        order_id=order.order_id,
        account=row.account,
        execution=execution,
        client_order_id=order.order_id,
        symbol=row.symbol,
        side=SIDES[order.side],
        type=order.type,
        time_in_force=order.time_in_force,
        quantity_e8=order.lots * rules.step_e8,
        origin=PROTECTIVE,
        list_id=order.list_id,
        stop_price_e8=order.stop_ticks * rules.tick_e8,
        filter_revision=rules.revision,
        prepared_ts_ms=ts_ms,
        decided_ts_ms=ts_ms,
        arrived_ts_ms=0,
        equity_after_e8=_equity_at(execution),
    )
    state_put(made, order, rules, ts_ms=ts_ms, arrived_ms=order.due_ms)
    return made


def _equity_at(execution: Execution) -> int:
    """Equity after the decision that the order follows from: what it fills does not raise the high-water mark."""
    return execution.orders.order_by("number").values_list("equity_after_e8", flat=True)[0]
