"""A stop and a take-profit that follow what the router holds: PROTECT_STOP and PROTECT_TAKE, 0 for none.

They only ever shrink a position, so no guard judges them and no limit counts them. They are placed after the router has
traded, resized in the transaction of every change of the position, and canceled when it is flat. Both wait for a trade
at their price and then sell (or buy back) at the market; the first to trigger ends the other. Under FILLS=bars nothing
watches trades between bars, so there are none.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from apps.audit.services import audit_append
from apps.engine.order_step import armed
from apps.engine.order_types import BUY, SELL, OrderReason, OrderRequest, OrderType
from apps.engine.order_values import OpenOrder, open_order
from apps.engine.reasons import TradingState
from apps.engine.values import Filters
from apps.execution import ready_sql
from apps.execution.account import AccountState, account_state, next_order_number
from apps.execution.answers import ORDER_PREFIX, content_key
from apps.execution.booking import lots_held
from apps.execution.controls import controls_read
from apps.execution.lease import require_lease
from apps.execution.matching_rows import orders_cancel
from apps.execution.models import Execution, MatchState, Order, Position
from apps.execution.open_orders import PROTECTIVE, order_of
from apps.execution.order_desk import LIST_PREFIX
from apps.execution.order_rows import SIDES, state_put
from apps.marketdata import selectors as market
from apps.risk import fence

KIND = "execution.protective"
_STANDING = "WHERE account_id = %s AND symbol = %s AND is_open AND origin = %s"
ACTOR = "protective"


class Leg(NamedTuple):
    """One protective order: its type and the price it triggers at."""

    type: OrderType
    stop_ticks: int


def legs_of(*, quantity_e8: int, cost_e8: int, tick_e8: int) -> tuple[Leg, ...]:
    """The stop and the take-profit of a holding around its average entry; rounded to the tick that triggers first."""
    if quantity_e8 == 0:
        return ()
    side = 1 if quantity_e8 > 0 else -1
    entry_ticks = Decimal(cost_e8) * 10**8 / abs(quantity_e8) / tick_e8
    shares = ((OrderType.STOP_LOSS, -settings.PROTECT_STOP), (OrderType.TAKE_PROFIT, settings.PROTECT_TAKE))
    legs = []
    for kind, share in shares:
        is_above = (share > 0) == (side > 0)
        rounding = ROUND_FLOOR if is_above else ROUND_CEILING
        ticks = int((entry_ticks * (1 + side * share)).to_integral_value(rounding))
        if share and ticks > 0:
            legs.append(Leg(kind, ticks))
    return tuple(legs)


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
    lots = lots_held(row.quantity_e8, rules.step_e8)
    execution = _router_execution(row, using) if lots else None
    legs = _legs(row, rules) if execution is not None and is_protecting() else ()
    if _fits(standing, lots, legs):
        return [], []
    canceled = orders_cancel(standing, reason=OrderReason.CANCELED, rules={symbol: rules}, ts_ms=ts_ms, using=using)
    placed = [] if execution is None else _place(execution, row, lots, legs, rules, ts_ms=ts_ms, using=using)
    _record(row, canceled, placed, ts_ms=ts_ms, using=using)
    return canceled, [order.order_id for order in placed]


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


def _legs(row: Position, rules: Filters) -> tuple[Leg, ...]:
    return legs_of(quantity_e8=row.quantity_e8, cost_e8=row.cost_e8, tick_e8=rules.tick_e8)


def _router_execution(row: Position, using: str) -> Execution | None:
    """The router's newest decision that traded since the symbol was last flat: without one, a person holds it."""
    side = "BUY" if row.quantity_e8 > 0 else "SELL"
    orders = Order.objects.using(using).filter(account=row.account_id, symbol=row.symbol, origin="router", side=side)
    orders = orders.filter(filled_e8__gt=0, decided_ts_ms__gte=row.trip_exit_ms)
    order = orders.order_by("-number").select_related("execution").first()
    return order.execution if order is not None else None


def _fits(standing: list[Order], lots: int, legs: tuple[Leg, ...]) -> bool:
    """Whether the open orders are these legs over all lots. One that has triggered is on its way out and may finish."""
    orders = [order_of(row) for row in standing]
    if any(order.is_triggered and order.side * lots < 0 and order.open_lots <= abs(lots) for order in orders):
        return True
    found = sorted((order.type, order.stop_ticks, -order.side * order.open_lots) for order in orders)
    return found == sorted((leg.type, leg.stop_ticks, lots) for leg in legs)


def _place(
    execution: Execution, row: Position, lots: int, legs: tuple[Leg, ...], rules: Filters, *, ts_ms: int, using: str
) -> list[Order]:
    """New rows, armed from the moment at which they would have reached the exchange."""
    number = next_order_number(using=using)
    ids = [ORDER_PREFIX + content_key(row.account_id, PROTECTIVE, number + leg) for leg in range(len(legs))]
    list_id = LIST_PREFIX + content_key(ids[0], "list") if len(legs) > 1 else ""
    known = MatchState.objects.using(using).filter(symbol=row.symbol).values_list("last_trade_id", flat=True).first()
    placed = []
    for place, (leg, order_id) in enumerate(zip(legs, ids, strict=True)):
        request = OrderRequest(
            SELL if lots > 0 else BUY, leg.type, abs(lots) * rules.step_e8, None, leg.stop_ticks * rules.tick_e8
        )
        order = open_order(
            request,
            rules,
            order_id=order_id,
            sequence=number + place,
            placed_ms=ts_ms,
            latency_ms=settings.ENTRY_LATENCY_MS,
            list_id=list_id,
        )
        last_id = -1 if known is None else known
        order = armed(order, since_ms=order.due_ms, last_trade_id=last_id, last_ticks=0)
        placed.append(_order_row(order, execution, row, rules, ts_ms=ts_ms))
    for made in placed:
        made.save(using=using, force_insert=True)
    return placed


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


def _record(row: Position, canceled: list[str], placed: list[Order], *, ts_ms: int, using: str) -> None:
    body = {
        "symbol": row.symbol,
        "quantityE8": str(row.quantity_e8),
        "costE8": str(row.cost_e8),
        "protectStop": str(settings.PROTECT_STOP),
        "protectTake": str(settings.PROTECT_TAKE),
        "canceled": canceled,
        "placed": [
            {
                "orderId": order.order_id,
                "type": order.type,
                "side": order.side,
                "quantityE8": str(order.quantity_e8),
                "stopPriceE8": str(order.stop_price_e8),
            }
            for order in placed
        ],
    }
    audit_append(kind=KIND, actor=ACTOR, ts_ms=ts_ms, body=body, using=using)
