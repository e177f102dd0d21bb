"""By which rules does the exchange take orders of a symbol? The filters of exchangeInfo, exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from apps.engine.errors import DataError, InvalidInput
from apps.engine.order_filters import OrderRules
from apps.engine.values import Filters
from apps.marketdata.exchange.decimals import INT64_MAX, parse_e8

READ = frozenset(
    {
        *("PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "NOTIONAL", "MIN_NOTIONAL", "TRAILING_DELTA"),
        *("PERCENT_PRICE", "PERCENT_PRICE_BY_SIDE", "MAX_NUM_ORDERS", "MAX_NUM_ALGO_ORDERS"),
    }
)
Found = Mapping[str, Mapping[str, Any]]


class SymbolRules(NamedTuple):
    """What exchangeInfo says of one symbol. `filters.revision` is 0: rows number revisions.

    `others` are the filters that are kept but not enforced, as JSON: no order of ours can break them, or nobody has
    told yet what they mean.
    """

    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    filters: Filters
    raw: str
    orders: OrderRules = OrderRules()
    others: str = "[]"


def rules_of(entry: Mapping[str, Any]) -> SymbolRules:
    """The rules of one entry of exchangeInfo. Raises InvalidInput naming a symbol that cannot be held exactly."""
    try:
        name = str(entry["symbol"])
        found: Found = {str(rule["filterType"]): rule for rule in entry["filters"]}
        filters = _filters_of(found)
        rules = SymbolRules(
            *(name, str(entry["baseAsset"]), str(entry["quoteAsset"]), str(entry["status"]), filters),
            raw=_json(entry["filters"]),
            orders=_orders_of(found),
            others=_json([found[kind] for kind in sorted(found.keys() - READ)]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"exchangeInfo has an unknown shape ({error!r})") from error
    except DataError as error:
        raise InvalidInput(f"{entry.get('symbol')} cannot be traded: {error}", field="symbol") from error
    if not filters.is_exact():
        why = "tick times step is finer than 1e-8, so its money cannot be exact"
        raise InvalidInput(f"{name} cannot be traded: {why}", field="symbol")
    return rules


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _filters_of(found: Found) -> Filters:
    price, lot, market = (found.get(kind, {}) for kind in ("PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE"))
    notional, minimum = found.get("NOTIONAL", {}), found.get("MIN_NOTIONAL", {})
    floors = [_rule(notional, "minNotional") if notional.get("applyMinToMarket", True) else 0]
    floors.append(_rule(minimum, "minNotional") if minimum.get("applyToMarket", True) else 0)
    return Filters(
        tick_e8=_rule(price, "tickSize") or 1,
        step_e8=_rule(lot, "stepSize") or 1,
        min_qty_e8=_rule(lot, "minQty"),
        max_qty_e8=_ceiling(lot, "maxQty"),
        market_step_e8=_rule(market, "stepSize"),
        market_min_qty_e8=_rule(market, "minQty"),
        market_max_qty_e8=_ceiling(market, "maxQty"),
        min_notional_e8=max(floors),
        max_notional_e8=_ceiling(notional, "maxNotional") if notional.get("applyMaxToMarket", False) else 0,
        revision=0,
    )


def _orders_of(found: Found) -> OrderRules:
    """The rules of orders with a price or a trigger. A symbol with both percent filters keeps the narrower bounds."""
    price, notional, trail = (found.get(kind, {}) for kind in ("PRICE_FILTER", "NOTIONAL", "TRAILING_DELTA"))
    alike, sides = found.get("PERCENT_PRICE", {}), found.get("PERCENT_PRICE_BY_SIDE", {})
    up, down = _ceiling(alike, "multiplierUp"), _rule(alike, "multiplierDown")
    return OrderRules(
        min_price_e8=_rule(price, "minPrice"),
        max_price_e8=_ceiling(price, "maxPrice"),
        bid_up_e8=_narrower(up, _ceiling(sides, "bidMultiplierUp")),
        bid_down_e8=max(down, _rule(sides, "bidMultiplierDown")),
        ask_up_e8=_narrower(up, _ceiling(sides, "askMultiplierUp")),
        ask_down_e8=max(down, _rule(sides, "askMultiplierDown")),
        is_by_side=int(bool(sides)),
        avg_price_mins=_count(sides or alike, "avgPriceMins"),
        priced_min_e8=max(_rule(notional, "minNotional"), _rule(found.get("MIN_NOTIONAL", {}), "minNotional")),
        priced_max_e8=_ceiling(notional, "maxNotional"),
        max_orders=_count(found.get("MAX_NUM_ORDERS", {}), "maxNumOrders"),
        max_algo_orders=_count(found.get("MAX_NUM_ALGO_ORDERS", {}), "maxNumAlgoOrders"),
        min_trail_above_bps=_count(trail, "minTrailingAboveDelta"),
        max_trail_above_bps=_count(trail, "maxTrailingAboveDelta"),
        min_trail_below_bps=_count(trail, "minTrailingBelowDelta"),
        max_trail_below_bps=_count(trail, "maxTrailingBelowDelta"),
    )


def _narrower(first: int, second: int) -> int:
    """The lower of two upper bounds, of which 0 is none."""
    return min(first or second, second or first)


def _count(found: Mapping[str, Any], field: str) -> int:
    count = found.get(field, 0)
    if type(count) is not int or not 0 <= count <= INT64_MAX:
        raise DataError(f"{field} {count!r} is no count")
    return count


def _rule(found: Mapping[str, Any], field: str) -> int:
    count = parse_e8(found.get(field, "0"))
    if count < 0:
        raise DataError(f"{field} {found[field]!r} is below zero")
    return count


def _ceiling(found: Mapping[str, Any], field: str) -> int:
    """An upper bound; one beyond int64 can never be reached by a quantity that is held, so it is no rule."""
    try:
        return _rule(found, field)
    except DataError as error:
        if "too large" in str(error):
            return 0
        raise
