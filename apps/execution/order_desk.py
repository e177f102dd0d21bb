"""What an order that is no market order brings to its decision."""

from __future__ import annotations

from django.conf import settings

from apps.engine.consumption import Consumption, empty_consumption
from apps.engine.decision import Draw
from apps.engine.order_filters import OrderRules, Standing
from apps.engine.order_types import OrderType
from apps.engine.order_values import Depth, OrderTerms, depth_of
from apps.engine.placing import Placing
from apps.engine.values import Filters
from apps.execution import ready_sql
from apps.execution.account import next_order_number
from apps.execution.answers import ORDER_PREFIX, content_key
from apps.execution.facts import MarketFacts
from apps.execution.models import Account
from apps.execution.requests import DecisionRequest, Prepared
from apps.marketdata import selectors as market

LIST_PREFIX = "ol"
NO_RULES = OrderRules()
_OPEN_TYPES = "SELECT type FROM execution_order WHERE account_id = %s AND is_open AND symbol = %s"


def execution_id_of(epoch: int, symbol: str, draw: Draw) -> str:
    """The id of a decision, which follows from what it decides on."""
    return "ex" + content_key(epoch, symbol, draw.bar_open_ms, draw.attempt)


def order_rules(request: DecisionRequest, filters: Filters) -> OrderRules:
    """What the exchange asks of the orders of a request; nothing of a market order."""
    return market.order_rules_at(request.symbol, filters.revision) if request.orders else NO_RULES


def without_market_rules(filters: Filters, rules: OrderRules) -> Filters:
    """The rules for an order that is no market order: MARKET_LOT_SIZE does not concern it, its notional bounds are
    its own."""
    return filters._replace(
        market_step_e8=0,
        market_min_qty_e8=0,
        market_max_qty_e8=0,
        min_notional_e8=rules.priced_min_e8 or filters.min_notional_e8,
        max_notional_e8=rules.priced_max_e8 or filters.max_notional_e8,
    )


def standing_of(symbol: str, facts: MarketFacts, rules: OrderRules, *, account: Account, using: str) -> Standing:
    """The reference price, and how many orders of the symbol are open: the desk's protective ones are there too."""
    types = [OrderType(kind) for (kind,) in ready_sql.values(_OPEN_TYPES, account.epoch, symbol, using=using)]
    return Standing(
        reference_e8=facts.average_e8(rules.avg_price_mins) or facts.last_e8,
        open_orders=len(types),
        open_algo_orders=sum(kind.has_trigger for kind in types),
    )


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
    rules: OrderRules,
    account: Account,
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
        rules=rules,
        standing=standing_of(request.symbol, facts, rules, account=account, using=using),
    )


def _no_book(prepared: Prepared, facts: MarketFacts) -> Depth:
    due_ms = prepared.t0_ms + settings.ENTRY_LATENCY_MS
    return Depth(prepared.request.symbol, max(facts.ts_ms, due_ms), -1, (), (), 0, -1)
