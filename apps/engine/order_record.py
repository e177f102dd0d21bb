"""Orders as JSON values and back: what a decision places, and one event met by the open orders of a symbol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from apps.engine.codec import MAX_INTEGER
from apps.engine.consumption import Consumption, TakenLevel
from apps.engine.errors import InvalidInput
from apps.engine.order_filters import OrderRules, Standing
from apps.engine.order_step import Step
from apps.engine.order_types import OrderRequest, OrderType, TimeInForce
from apps.engine.order_values import (
    Depth,
    FeeAsset,
    OpenOrder,
    OrderTerms,
    Trade,
    order_from_json,
)
from apps.engine.placing import Placing
from apps.engine.resting import on_book, on_trade

MATCH_OUTPUTS: tuple[str, ...] = ("step", "ledger")


class MatchInputs(NamedTuple):
    """One event of a symbol's market and all it meets. `cash_e8` is what orders of other symbols have not locked."""

    orders: tuple[OpenOrder, ...]
    event: Depth | Trade
    ledger: Consumption
    terms: OrderTerms
    cash_e8: int


def match(inputs: MatchInputs) -> tuple[Step, Consumption]:
    """What the event does to the orders and to the ledger."""
    if isinstance(inputs.event, Depth):
        return on_book(inputs.orders, inputs.event, inputs.ledger, inputs.terms, inputs.cash_e8)
    return on_trade(inputs.orders, inputs.event, inputs.ledger, inputs.terms), inputs.ledger


def match_inputs_out(inputs: MatchInputs) -> dict[str, Any]:
    return {
        "orders": plain([order.to_json() for order in inputs.orders]),
        "event": _event_out(inputs.event),
        "ledger": ledger_out(inputs.ledger),
        "terms": _terms_out(inputs.terms),
        "cash_e8": str(inputs.cash_e8),
    }


def _event_out(event: Depth | Trade) -> dict[str, Any]:
    if isinstance(event, Depth):
        return {"kind": "book", **_depth_out(event)}
    return {"kind": "trade", **plain(event._asdict())}


def match_inputs_back(fields: Mapping[str, Any]) -> MatchInputs:
    body = dict(fields["event"])
    kind = body.pop("kind")
    return MatchInputs(
        orders=tuple(order_back(order) for order in fields["orders"]),
        event=_depth_back(body) if kind == "book" else Trade(**_ints_back(Trade, body)),
        ledger=ledger_back(fields["ledger"]),
        terms=_terms_back(fields["terms"]),
        cash_e8=int(fields["cash_e8"]),
    )


def order_back(fields: Mapping[str, Any]) -> OpenOrder:
    """An order from its JSON form, in which large numbers are texts."""
    return order_from_json(_ints_back(OpenOrder, fields))


def match_outputs(step: Step, ledger: Consumption) -> dict[str, Any]:
    """The outputs of one event as its record holds them."""
    return {"step": step_out(step), "ledger": ledger_out(ledger)}


def step_out(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = plain(
        {
            "orders": [order.to_json() for order in step.orders],
            "closed": [order.to_json() for order in step.closed],
            "fills": [fill._asdict() for fill in step.fills],
            "canceled": list(step.canceled),
            "triggered": list(step.triggered),
        }
    )
    return found


def placing_out(placing: Placing) -> dict[str, Any]:
    return {
        "requests": [_request_out(request) for request in placing.requests],
        "order_ids": list(placing.order_ids),
        "list_id": placing.list_id,
        "sequence": placing.sequence,
        "placed_ms": placing.placed_ms,
        "latency_ms": placing.latency_ms,
        "depth": _depth_out(placing.depth),
        "ledger": ledger_out(placing.ledger),
        "terms": _terms_out(placing.terms),
        "rules": _stated(placing.rules),
        "standing": _stated(placing.standing),
    }


def placing_back(fields: Mapping[str, Any] | None) -> Placing | None:
    if fields is None:
        return None
    return Placing(
        requests=tuple(_request_back(request) for request in fields["requests"]),
        order_ids=tuple(fields["order_ids"]),
        list_id=fields["list_id"],
        sequence=fields["sequence"],
        placed_ms=fields["placed_ms"],
        latency_ms=fields["latency_ms"],
        depth=_depth_back(fields["depth"]),
        ledger=ledger_back(fields["ledger"]),
        terms=_terms_back(fields["terms"]),
        rules=OrderRules(**_ints_back(OrderRules, fields.get("rules", {}))),
        standing=Standing(**_ints_back(Standing, fields.get("standing", {}))),
    )


def plain(value: Any) -> Any:
    """The same value with texts where JSON readers would lose the digits of a number."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) > MAX_INTEGER else value
    return str(value) if isinstance(value, str) else value


def _ints_back(kind: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name for name, annotation in kind.__annotations__.items() if "int" in str(annotation)}
    return {name: int(v) if name in numbers and isinstance(v, str) else v for name, v in fields.items()}


def _request_out(request: OrderRequest) -> dict[str, Any]:
    """Money as text; a field that was not sent is left out."""
    sent = {name: value for name, value in request._asdict().items() if value is not None}
    return {name: str(value) if name.endswith("_e8") else plain(value) for name, value in sent.items()}


def _request_back(fields: Mapping[str, Any]) -> OrderRequest:
    body = _ints_back(OrderRequest, fields)
    tif = body.pop("time_in_force", None)
    kind = OrderType(body.pop("type"))
    return OrderRequest(type=kind, time_in_force=None if tif is None else TimeInForce(tif), **body)


def _stated(values: OrderRules | Standing) -> dict[str, Any]:
    """What is not 0; a record without a rule was judged without it."""
    stated = {name: value for name, value in values._asdict().items() if value}
    return {name: str(value) if name.endswith("_e8") else plain(value) for name, value in stated.items()}


def _depth_out(depth: Depth) -> dict[str, Any]:
    found: dict[str, Any] = plain(depth._asdict())
    return found


def _depth_back(fields: Mapping[str, Any]) -> Depth:
    sides = {name: _rows_back(fields[name]) for name in ("bids", "asks")}
    return Depth(**{**_ints_back(Depth, {**fields, **{name: () for name in sides}}), **sides})


def _rows_back(rows: Iterable[Iterable[int | str]]) -> tuple[Any, ...]:
    return tuple(tuple(int(count) for count in row) for row in rows)


def ledger_out(ledger: Consumption) -> dict[str, Any]:
    found: dict[str, Any] = plain(ledger.to_json())
    return found


def ledger_back(fields: Mapping[str, Any]) -> Consumption:
    levels = tuple(TakenLevel(*row) for row in _rows_back(fields["levels"]))
    return Consumption(fields["symbol"], fields["ts_ms"], levels)


def _terms_out(terms: OrderTerms) -> dict[str, Any]:
    return {name: str(v) if name.endswith("_e8") else plain(v) for name, v in terms._asdict().items()}


def _terms_back(fields: Mapping[str, Any]) -> OrderTerms:
    body = _ints_back(OrderTerms, fields)
    if body["fee_asset"] not in tuple(FeeAsset):
        raise InvalidInput(f"unknown fee asset {body['fee_asset']}", field="fee_asset")
    return OrderTerms(**{**body, "fee_asset": FeeAsset(body["fee_asset"])})
