"""What an order that is no market order brings to its decision."""

from __future__ import annotations

from django.conf import settings

from apps.engine.consumption import Consumption, empty_consumption
from apps.engine.decision import Draw
from apps.engine.order_values import Depth, OrderTerms, depth_of
from apps.engine.placing import Placing
from apps.engine.values import Filters
from apps.execution.account import next_order_number
from apps.execution.answers import ORDER_PREFIX, content_key
from apps.execution.facts import MarketFacts
from apps.execution.requests import Prepared

LIST_PREFIX = "ol"


def execution_id_of(epoch: int, symbol: str, draw: Draw) -> str:
    """The id of a decision, which follows from what it decides on."""
    return "ex" + content_key(epoch, symbol, draw.bar_open_ms, draw.attempt)


def without_market_rules(rules: Filters) -> Filters:
    """The rules for an order that is no market order: MARKET_LOT_SIZE does not concern it."""
    return rules._replace(market_step_e8=0, market_min_qty_e8=0, market_max_qty_e8=0)


def arrival_depth(symbol: str, facts: MarketFacts, rules: Filters) -> Depth | None:
    """The arrival book in ticks and lots; None where none came."""
    if facts.arrival is None or not rules.is_exact():
        return None
    return depth_of(
        facts.arrival, rules, age_ms=facts.data_age_ms, last_price_e8=facts.last_e8, last_trade_id=facts.last_trade_id
    )


def placing_of(
    *,
    prepared: Prepared,
    facts: MarketFacts,
    depth: Depth | None,
    ledger: Consumption | None,
    terms: OrderTerms,
    execution_id: str,
    using: str,
) -> Placing | None:
    """The orders of a request that is no market order; None for all others. Without a book they meet an old one."""
    request = prepared.request
    if not request.orders:
        return None
    return Placing(
        requests=request.orders,
        order_ids=tuple(ORDER_PREFIX + content_key(execution_id, leg) for leg in range(len(request.orders))),
        list_id=LIST_PREFIX + content_key(execution_id, "list") if len(request.orders) > 1 else "",
        sequence=next_order_number(using=using),
        placed_ms=prepared.t0_ms,
        latency_ms=settings.ENTRY_LATENCY_MS,
        depth=depth or _no_book(prepared, facts),
        ledger=ledger or empty_consumption(request.symbol),
        terms=terms,
    )


def _no_book(prepared: Prepared, facts: MarketFacts) -> Depth:
    due_ms = prepared.t0_ms + settings.ENTRY_LATENCY_MS
    return Depth(prepared.request.symbol, max(facts.ts_ms, due_ms), -1, (), (), 0, -1)
