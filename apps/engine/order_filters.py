"""Does an order keep the exchange's filters, and how is a size or a price rounded onto them?

Order of the tests: how many are open, price, percent price, trailing delta, lot, market lot, notional. A person's order
that breaks one is refused with the exchange's own words; a decision's size is floored first and may then be too small
to send.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

from apps.engine.order_types import BUY, OrderReason, OrderRequest, OrderType, Refusal
from apps.engine.portfolio import MAX_NOTIONAL_E8
from apps.engine.values import E8, Filters

FILTER_FAILURE = -1013


class OrderRules(NamedTuple):
    """The exchange's rules that concern orders with a price or a trigger, beside `Filters`; 0 is no rule.

    Multipliers are x 1e8 of the reference price. `is_by_side` says which of the two percent filters stated them.
    `avg_price_mins` is the span of that reference, 0 the last price. `priced_min_e8` and `priced_max_e8`
    bound the notional of such orders: the exchange may exempt MARKET orders, whose bounds `Filters` holds.
    """

    min_price_e8: int = 0
    max_price_e8: int = 0
    bid_up_e8: int = 0
    bid_down_e8: int = 0
    ask_up_e8: int = 0
    ask_down_e8: int = 0
    is_by_side: int = 0
    avg_price_mins: int = 0
    priced_min_e8: int = 0
    priced_max_e8: int = 0
    max_orders: int = 0
    max_algo_orders: int = 0
    min_trail_above_bps: int = 0
    max_trail_above_bps: int = 0
    min_trail_below_bps: int = 0
    max_trail_below_bps: int = 0


class Standing(NamedTuple):
    """What an order is judged against besides the book: the reference price (0: the mark), and what is open already."""

    reference_e8: int = 0
    open_orders: int = 0
    open_algo_orders: int = 0


def filter_refusal(request: OrderRequest, filters: Filters, rules: OrderRules, *, reference_e8: int) -> Refusal | None:
    """The first filter the request breaks, or None. `reference_e8` is the average or last price; 0 if unknown."""
    return (
        _price_refusal(request, filters, rules)
        or _percent_refusal(request, rules, reference_e8)
        or _trailing_refusal(request, rules)
        or _lot_refusal(request, filters)
        or _notional_refusal(request, filters, rules, reference_e8)
    )


def number_refusal(requests: Sequence[OrderRequest], rules: OrderRules, standing: Standing) -> Refusal | None:
    """Whether so many orders may be open at once; those with a trigger have a bound of their own, and count twice."""
    algos = sum(request.type.has_trigger for request in requests)
    if 0 < rules.max_orders < standing.open_orders + len(requests):
        return Refusal("type", OrderReason.FILTER_MAX_NUM_ORDERS, FILTER_FAILURE)
    if algos and 0 < rules.max_algo_orders < standing.open_algo_orders + algos:
        return Refusal("type", OrderReason.FILTER_MAX_NUM_ALGO_ORDERS, FILTER_FAILURE)
    return None


def floor_quantity(quantity_e8: int, filters: Filters, *, is_market: bool) -> int:
    """A decision's size on the grid: rounded down to the step, for MARKET to both steps; 0 if then too small."""
    step = filters.step_e8
    if is_market and filters.market_step_e8 > 0:
        step = step * filters.market_step_e8 // gcd(step, filters.market_step_e8)
    floored = quantity_e8 // step * step
    smallest = max(filters.min_qty_e8, filters.market_min_qty_e8 if is_market else 0)
    return floored if floored >= max(smallest, 1) else 0


def round_price(side: int, price_e8: int, tick_e8: int) -> int:
    """A limit price on the grid, never worse than asked: down for a buy, up for a sale."""
    return price_e8 // tick_e8 * tick_e8 if side == BUY else -(-price_e8 // tick_e8) * tick_e8


def _price_refusal(request: OrderRequest, filters: Filters, rules: OrderRules) -> Refusal | None:
    for field, price in (("price", request.price_e8), ("stop_price", request.stop_price_e8)):
        if price is None:
            continue
        is_below = rules.max_price_e8 == 0 or price <= rules.max_price_e8
        if price < rules.min_price_e8 or not is_below or price % filters.tick_e8:
            return Refusal(field, OrderReason.FILTER_PRICE, FILTER_FAILURE)
    return None


def _percent_refusal(request: OrderRequest, rules: OrderRules, reference_e8: int) -> Refusal | None:
    """reference x down <= price <= reference x up, exactly. A rule without a reference refuses: it cannot be kept."""
    if request.price_e8 is None:
        return None
    is_buy = request.side == BUY
    up, down = (rules.bid_up_e8, rules.bid_down_e8) if is_buy else (rules.ask_up_e8, rules.ask_down_e8)
    is_high = up > 0 and request.price_e8 * E8 > reference_e8 * up
    is_low = down > 0 and (request.price_e8 * E8 < reference_e8 * down or reference_e8 <= 0)
    if not is_high and not is_low:
        return None
    name = OrderReason.FILTER_PERCENT_PRICE if rules.is_by_side else OrderReason.FILTER_PERCENT_PRICE_ALIKE
    return Refusal("price", name, FILTER_FAILURE)


def _trailing_refusal(request: OrderRequest, rules: OrderRules) -> Refusal | None:
    """A buy's trail lies above the market, a sale's below."""
    if request.trailing_bps is None:
        return None
    above, below = (
        (rules.min_trail_above_bps, rules.max_trail_above_bps), (rules.min_trail_below_bps, rules.max_trail_below_bps)
    )  # fmt: skip
    smallest, largest = above if request.side == BUY else below
    if request.trailing_bps >= smallest and (largest == 0 or request.trailing_bps <= largest):
        return None
    return Refusal("trailing_delta", OrderReason.FILTER_TRAILING_DELTA, FILTER_FAILURE)


def _lot_refusal(request: OrderRequest, filters: Filters) -> Refusal | None:
    lot = (filters.step_e8, filters.min_qty_e8, filters.max_qty_e8)
    if not _is_within(request.quantity_e8, *lot):
        return Refusal("quantity", OrderReason.FILTER_LOT_SIZE, FILTER_FAILURE)
    market = (filters.market_step_e8, filters.market_min_qty_e8, filters.market_max_qty_e8)
    if request.type is OrderType.MARKET and not _is_within(request.quantity_e8, *market):
        return Refusal("quantity", OrderReason.FILTER_MARKET_LOT_SIZE, FILTER_FAILURE)
    return None


def _is_within(quantity: int, step: int, smallest: int, largest: int) -> bool:
    return quantity >= smallest and (largest == 0 or quantity <= largest) and (step == 0 or quantity % step == 0)


def _notional_refusal(request: OrderRequest, filters: Filters, rules: OrderRules, reference_e8: int) -> Refusal | None:
    """price x quantity within NOTIONAL; an order without a price is judged at its stop, else at the reference."""
    smallest, largest = filters.min_notional_e8, filters.max_notional_e8
    if request.type is not OrderType.MARKET:
        smallest, largest = rules.priced_min_e8 or smallest, rules.priced_max_e8 or largest
    price = request.price_e8 or request.stop_price_e8 or reference_e8
    scaled = price * request.quantity_e8
    if smallest * E8 <= scaled <= (largest or MAX_NOTIONAL_E8 - 1) * E8:
        return None
    return Refusal("quantity", OrderReason.FILTER_MIN_NOTIONAL, FILTER_FAILURE)
