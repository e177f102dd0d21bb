"""Which protective orders does a holding need: a stop and a take-profit around its average entry, over all its lots."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

from apps.engine.order_record import order_back, plain
from apps.engine.order_step import armed
from apps.engine.order_types import BUY, SELL, OrderReason, OrderRequest, OrderStatus, OrderType
from apps.engine.order_values import OpenOrder, open_order
from apps.engine.values import E8, Filters

PROTECT_KIND = "execution.protective"
PROTECT_OUTPUTS: tuple[str, ...] = ("canceled", "placed")

_NO_RULES = Filters(*(0,) * len(Filters._fields))


class Leg(NamedTuple):
    """One protective order: its type and the price it triggers at."""

    type: OrderType
    stop_ticks: int


class ProtectInputs(NamedTuple):
    """What is held of a symbol, what already protects it, and where new orders would begin.

    `is_router` says that the router opened what is held: what a person holds is not protected. `stop` and `take` are
    fractions of the entry, 0 for none. New legs take `order_ids` in turn; `list_id` joins two of them.
    """

    quantity_e8: int
    cost_e8: int
    is_router: bool
    stop: Decimal
    take: Decimal
    standing: tuple[OpenOrder, ...]
    tick_e8: int
    step_e8: int
    order_ids: tuple[str, str]
    list_id: str
    sequence: int
    placed_ms: int
    latency_ms: int
    last_trade_id: int


class Protected(NamedTuple):
    """The orders that end and those that take their place."""

    canceled: tuple[OpenOrder, ...]
    placed: tuple[OpenOrder, ...]


def protect(inputs: ProtectInputs) -> Protected:
    """Nothing changes while what stands is what the holding needs."""
    lots = _lots(inputs.quantity_e8, inputs.step_e8)
    legs = _legs(inputs) if lots and inputs.is_router else ()
    if _fits(inputs.standing, lots, legs):
        return Protected((), ())
    ended = tuple(order._replace(status=OrderStatus.CANCELED, reason=OrderReason.CANCELED) for order in inputs.standing)
    return Protected(ended, _placed(inputs, lots, legs))


def legs_of(*, quantity_e8: int, cost_e8: int, tick_e8: int, stop: Decimal, take: Decimal) -> tuple[Leg, ...]:
    """The stop and the take-profit of a holding; rounded to the tick that triggers first."""
    if quantity_e8 == 0:
        return ()
    side = 1 if quantity_e8 > 0 else -1
    entry_ticks = Decimal(cost_e8) * E8 / abs(quantity_e8) / tick_e8
    legs = []
    for kind, share in ((OrderType.STOP_LOSS, -stop), (OrderType.TAKE_PROFIT, take)):
        is_above = (share > 0) == (side > 0)
        rounding = ROUND_FLOOR if is_above else ROUND_CEILING
        ticks = int((entry_ticks * (1 + side * share)).to_integral_value(rounding))
        if share and ticks > 0:
            legs.append(Leg(kind, ticks))
    return tuple(legs)


def protect_inputs_out(inputs: ProtectInputs) -> dict[str, Any]:
    found = {name: str(value) if name.endswith("_e8") else value for name, value in inputs._asdict().items()}
    found |= {"stop": str(inputs.stop), "take": str(inputs.take), "order_ids": list(inputs.order_ids)}
    return {**plain(found), "is_router": inputs.is_router, "standing": _orders_out(inputs.standing)}


def protect_outputs(protected: Protected) -> dict[str, Any]:
    return {
        "canceled": [order.order_id for order in protected.canceled],
        "placed": _orders_out(protected.placed),
    }


def protect_replayed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that recorded inputs give."""
    body = dict(fields)
    given: dict[str, Any] = {
        "is_router": bool(body.pop("is_router")),
        "stop": Decimal(body.pop("stop")),
        "take": Decimal(body.pop("take")),
        "standing": tuple(order_back(order) for order in body.pop("standing")),
        "order_ids": tuple(body.pop("order_ids")),
        "list_id": body.pop("list_id"),
    }
    given |= {name: int(value) for name, value in body.items()}
    return protect_outputs(protect(ProtectInputs(**given)))


def _orders_out(orders: tuple[OpenOrder, ...]) -> list[Any]:
    found: list[Any] = plain([order.to_json() for order in orders])
    return found


def _lots(quantity_e8: int, step_e8: int) -> int:
    """Whole lots, toward zero: dust cannot be traded."""
    whole = abs(quantity_e8) // step_e8
    return whole if quantity_e8 >= 0 else -whole


def _legs(inputs: ProtectInputs) -> tuple[Leg, ...]:
    return legs_of(
        quantity_e8=inputs.quantity_e8,
        cost_e8=inputs.cost_e8,
        tick_e8=inputs.tick_e8,
        stop=inputs.stop,
        take=inputs.take,
    )


def _fits(standing: tuple[OpenOrder, ...], lots: int, legs: tuple[Leg, ...]) -> bool:
    """Whether the open orders are these legs over all lots. One that has triggered is on its way out and may finish."""
    if any(order.is_triggered and order.side * lots < 0 and order.open_lots <= abs(lots) for order in standing):
        return True
    found = sorted((order.type, order.stop_ticks, -order.side * order.open_lots) for order in standing)
    return found == sorted((leg.type, leg.stop_ticks, lots) for leg in legs)


def _placed(inputs: ProtectInputs, lots: int, legs: tuple[Leg, ...]) -> tuple[OpenOrder, ...]:
    """New orders, armed from the moment at which they would have reached the exchange."""
    units = _NO_RULES._replace(tick_e8=inputs.tick_e8, step_e8=inputs.step_e8)
    placed = []
    for place, (leg, order_id) in enumerate(zip(legs, inputs.order_ids, strict=False)):
        side, stop_e8 = (SELL if lots > 0 else BUY), leg.stop_ticks * inputs.tick_e8
        order = open_order(
            OrderRequest(side, leg.type, abs(lots) * inputs.step_e8, None, stop_e8),
            units,
            order_id=order_id,
            sequence=inputs.sequence + place,
            placed_ms=inputs.placed_ms,
            latency_ms=inputs.latency_ms,
            list_id=inputs.list_id if len(legs) > 1 else "",
        )
        placed.append(armed(order, since_ms=order.due_ms, last_trade_id=inputs.last_trade_id, last_ticks=0))
    return tuple(placed)
