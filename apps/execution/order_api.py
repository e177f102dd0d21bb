"""What may the body of an order hold, and which orders does it ask for?"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from apps.engine.errors import InvalidInput
from apps.engine.order_types import BUY, SELL, OrderRequest, OrderType, TimeInForce, check_shape
from apps.web.bodies import Field, read_body
from apps.web.casing import DataMap

OCO = "OCO"
SIDES = {"BUY": BUY, "SELL": SELL}
FIELDS = (
    Field("symbol", "symbol"),
    Field("side", "text", choices=tuple(SIDES)),
    Field("type", "text", choices=(*OrderType, OCO)),
    Field("quantity", "decimal_e8", low=1),
    Field("price", "decimal_e8", required=False, low=1),
    Field("stop_price", "decimal_e8", required=False, low=1),
    Field("stop_limit_price", "decimal_e8", required=False, low=1),
    Field("trailing_delta", "int", required=False, low=1),
    Field("time_in_force", "text", required=False, choices=tuple(TimeInForce)),
    Field("client_order_id", "text", required=False),
)


def read_order(request: Request) -> tuple[dict[str, Any], tuple[OrderRequest, ...]]:
    """The body and the orders it asks for: none for a market order, two for an OCO, the limit first.

    Raises InvalidInput naming the field.
    """
    body = read_body(request, *FIELDS)
    orders = _oco(body) if body["type"] == OCO else (_single(body),)
    for order in orders:
        check_shape(order)
    return body, () if orders[0].type is OrderType.MARKET else orders


def placed_document(record: dict[str, Any]) -> DataMap | None:
    """The answer to an order that may rest, as it stood when it was accepted; None for a market order."""
    if "orders" not in record:
        return None
    orders = record["orders"]
    whole = orders[0] if len(orders) == 1 else {"listId": orders[0]["listId"], "orders": orders}
    return DataMap({**whole, "position": record["position"]})


def _single(body: dict[str, Any]) -> OrderRequest:
    if body["stop_limit_price"] is not None:
        raise InvalidInput("is for an OCO alone", field="stop_limit_price")
    tif = body["time_in_force"]
    return OrderRequest(
        side=SIDES[body["side"]],
        type=OrderType(body["type"]),
        quantity_e8=body["quantity"],
        price_e8=body["price"],
        stop_price_e8=body["stop_price"],
        trailing_bps=body["trailing_delta"],
        time_in_force=TimeInForce(tif) if tif is not None else None,
    )


def _oco(body: dict[str, Any]) -> tuple[OrderRequest, ...]:
    """A LIMIT_MAKER and a stop of the same size: the first that does something ends the other."""
    for field in ("trailing_delta", "time_in_force", "client_order_id"):
        if body[field] is not None:
            raise InvalidInput("is not allowed for OCO", field=field)
    side, quantity = SIDES[body["side"]], body["quantity"]
    kind = OrderType.STOP_LOSS if body["stop_limit_price"] is None else OrderType.STOP_LOSS_LIMIT
    return (
        OrderRequest(side, OrderType.LIMIT_MAKER, quantity, body["price"]),
        OrderRequest(side, kind, quantity, body["stop_limit_price"], body["stop_price"]),
    )
