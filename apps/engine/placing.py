"""What an order that is no market order brings to its decision, and at which price guards judge it."""

from __future__ import annotations

from typing import NamedTuple

from apps.engine.consumption import Consumption
from apps.engine.order_filters import OrderRules, Standing, filter_refusal, number_refusal
from apps.engine.order_types import SELL, OrderRequest, Refusal, list_refusal
from apps.engine.order_values import Depth, OpenOrder, OrderTerms, open_order
from apps.engine.values import Filters


class Placing(NamedTuple):
    """One order, or the two legs of an OCO with the limit first, and the book they arrive at.

    `sequence` is that of the first leg; `list_id` is "" for a single order. `ledger` is what of the book we have taken.
    `rules` are the exchange's for such orders, `standing` is what it judges them against.
    """

    requests: tuple[OrderRequest, ...]
    order_ids: tuple[str, ...]
    list_id: str
    sequence: int
    placed_ms: int
    latency_ms: int
    depth: Depth
    ledger: Consumption
    terms: OrderTerms
    rules: OrderRules = OrderRules()
    standing: Standing = Standing()


def judged_limit_ticks(requests: tuple[OrderRequest, ...], filters: Filters) -> int:
    """The worst price guards count with; 0 judges the order at the market, as one that will be a market order.

    A buy may cost as much as its dearest leg, a stop counting at its trigger. A sale that waits for a trigger is an
    exit at the market; the limit of a plain one is what it is judged at.
    """
    if requests[0].side == SELL:
        prices = [request.price_e8 or 0 for request in requests if not request.type.has_trigger]
    else:
        prices = [_dearest_e8(request) for request in requests]
    return max(prices, default=0) // filters.tick_e8 if all(prices) else 0


def _dearest_e8(request: OrderRequest) -> int:
    if request.price_e8 is not None:
        return request.price_e8
    return request.stop_price_e8 or 0 if request.type.is_loss_stop else 0


def placing_refusal(placing: Placing, filters: Filters, *, mark_e8: int) -> Refusal | None:
    """What the exchange refuses before anything is matched: a filter, or the prices of an OCO."""
    rules, standing = placing.rules, placing.standing
    refusal = number_refusal(placing.requests, rules, standing)
    if refusal is not None:
        return refusal
    for request in placing.requests:
        refusal = filter_refusal(request, filters, rules, reference_e8=standing.reference_e8 or mark_e8)
        if refusal is not None:
            return refusal
    if len(placing.requests) == 1:
        return None
    limit, stop = traveling_orders(placing, filters)
    return list_refusal(limit.side, limit.price_ticks, stop.stop_ticks, placing.depth.last_ticks)


def traveling_orders(placing: Placing, filters: Filters) -> tuple[OpenOrder, ...]:
    """The orders on their way to the book."""
    return tuple(
        open_order(
            request, filters, order_id=order_id, sequence=placing.sequence + leg, placed_ms=placing.placed_ms,
            latency_ms=placing.latency_ms, list_id=placing.list_id,
        )
        for leg, (request, order_id) in enumerate(zip(placing.requests, placing.order_ids, strict=True))
    )  # fmt: skip
