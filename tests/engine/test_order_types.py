"""Which requests have a usable shape, which the market refuses, and how sizes and prices meet the filters."""

from __future__ import annotations

import pytest

from apps.engine.errors import InvalidInput
from apps.engine.order_filters import (
    OrderRules,
    Standing,
    filter_refusal,
    floor_quantity,
    number_refusal,
    round_price,
)
from apps.engine.order_types import (
    BUY,
    ORDER_REASON_TEXT,
    SELL,
    OrderReason,
    OrderRequest,
    OrderType,
    TimeInForce,
    Touch,
    check_shape,
    effective_time_in_force,
    list_refusal,
    market_refusal,
)
from apps.engine.reasons import Reason
from tests.engine.orders import FILTERS, STEP_E8, TICK_E8

GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
FIELDS = {"price": 100 * 10**8, "stop_price": 101 * 10**8, "trailing_delta": 50}
NEEDS = {
    "MARKET": (), "LIMIT": ("price",), "LIMIT_MAKER": ("price",), "STOP_LOSS": ("stop_price",),
    "STOP_LOSS_LIMIT": ("price", "stop_price"), "TAKE_PROFIT": ("stop_price",),
    "TAKE_PROFIT_LIMIT": ("price", "stop_price"), "TRAILING_STOP": ("trailing_delta",),
}  # fmt: skip
TOUCH = Touch(bid_ticks=9_999, ask_ticks=10_001, last_ticks=10_000)


def ask_for(kind: str, *fields: str, tif: TimeInForce | None = None, side: int = BUY, quantity: int = 10**8) -> None:
    given = {field: FIELDS[field] for field in fields}
    price, stop, trail = given.get("price"), given.get("stop_price"), given.get("trailing_delta")
    check_shape(OrderRequest(side, OrderType(kind), quantity, price, stop, trail, tif))


def fault_of(kind: str, *fields: str, **rest: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        ask_for(kind, *fields, **rest)
    return caught.value.field


@pytest.mark.parametrize("kind", NEEDS)
def test_a_type_takes_exactly_its_own_fields(kind: str) -> None:
    needed = NEEDS[kind]
    ask_for(kind, *needed)
    for field in FIELDS:
        if field in needed:
            assert fault_of(kind, *(other for other in needed if other != field)) == field
        else:
            assert fault_of(kind, *needed, field) == field


def test_the_table_names_every_type() -> None:
    assert set(NEEDS) == set(OrderType)


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        *(("MARKET", {IOC}), ("LIMIT", {GTC, IOC, FOK}), ("LIMIT_MAKER", {GTC}), ("STOP_LOSS", set())),
        *(("STOP_LOSS_LIMIT", {GTC, IOC, FOK}), ("TAKE_PROFIT", set()), ("TAKE_PROFIT_LIMIT", {GTC, IOC, FOK})),
        ("TRAILING_STOP", set()),
    ],
)
def test_each_type_knows_its_times_in_force(kind: str, allowed: set[TimeInForce]) -> None:
    for tif in TimeInForce:
        if tif in allowed:
            ask_for(kind, *NEEDS[kind], tif=tif)
        else:
            assert fault_of(kind, *NEEDS[kind], tif=tif) == "time_in_force"


def test_an_unsaid_time_in_force_is_gtc_where_something_may_rest() -> None:
    assert effective_time_in_force(OrderType.LIMIT, None) is GTC
    assert effective_time_in_force(OrderType.STOP_LOSS_LIMIT, FOK) is FOK
    assert effective_time_in_force(OrderType.MARKET, None) is IOC
    assert effective_time_in_force(OrderType.TRAILING_STOP, None) is IOC


@pytest.mark.parametrize("quantity", [0, -1, 2**63, True, 1.0])
def test_a_quantity_is_a_count_above_zero(quantity: int) -> None:
    assert fault_of("MARKET", quantity=quantity) == "quantity"


def test_a_side_is_one_of_two_and_a_trail_is_below_the_whole() -> None:
    assert fault_of("MARKET", side=0) == "side"
    with pytest.raises(InvalidInput) as caught:
        check_shape(OrderRequest(SELL, OrderType.TRAILING_STOP, 10**8, trailing_bps=10_000))
    assert caught.value.field == "trailing_delta"


@pytest.mark.parametrize(
    ("kind", "side", "first_fine", "last_refused"),
    [
        # A buy's stop and a sale's profit lie above the last trade of 10,000; the other two below it.
        *(("STOP_LOSS", BUY, 10_001, 10_000), ("STOP_LOSS", SELL, 9_999, 10_000)),
        *(("TAKE_PROFIT", BUY, 9_999, 10_000), ("TAKE_PROFIT", SELL, 10_001, 10_000)),
        *(("STOP_LOSS_LIMIT", BUY, 10_001, 9_000), ("TAKE_PROFIT_LIMIT", SELL, 10_001, 9_000)),
    ],
)
def test_a_stop_on_the_wrong_side_would_trigger(kind: str, side: int, first_fine: int, last_refused: int) -> None:
    assert market_refusal(OrderType(kind), side, 0, first_fine, TOUCH) is None
    refusal = market_refusal(OrderType(kind), side, 0, last_refused, TOUCH)
    assert refusal is not None
    assert (refusal.field, refusal.code, refusal.message) == (
        "stop_price", -2010, "Stop price would trigger immediately.",
    )  # fmt: skip
    assert market_refusal(OrderType(kind), side, 0, last_refused, TOUCH._replace(last_ticks=0)) is None


def test_a_limit_maker_that_would_take_is_refused() -> None:
    def refusal(side: int, price: int, touch: Touch = TOUCH) -> object:
        found = market_refusal(OrderType.LIMIT_MAKER, side, price, 0, touch)
        return found and (found.field, found.message)

    taken = ("price", "Order would immediately match and take.")
    assert refusal(BUY, 10_000) is None and refusal(BUY, 10_001) == taken
    assert refusal(SELL, 10_000) is None and refusal(SELL, 9_999) == taken
    assert refusal(BUY, 10_001, TOUCH._replace(ask_ticks=0)) is None
    assert market_refusal(OrderType.LIMIT, BUY, 10_001, 0, TOUCH) is None


def test_the_legs_of_a_list_stand_on_either_side_of_the_last_trade() -> None:
    assert list_refusal(SELL, limit_ticks=11_000, stop_ticks=9_000, last_ticks=10_000) is None
    assert list_refusal(BUY, limit_ticks=9_000, stop_ticks=11_000, last_ticks=10_000) is None
    for side, limit, stop in (
        (SELL, 9_000, 11_000),
        (SELL, 11_000, 10_000),
        (SELL, 10_000, 9_000),
        (BUY, 11_000, 9_000),
    ):
        found = list_refusal(side, limit, stop, 10_000)
        assert found is not None and found.reason is OrderReason.LIST_PRICES


def test_every_reason_has_a_text_and_shared_names_share_their_code() -> None:
    assert set(ORDER_REASON_TEXT) == set(OrderReason)
    shared = {reason.name for reason in Reason} & {reason.name for reason in OrderReason}
    assert {"DATA_STALE", "BOOK_EMPTY", "BOOK_EXHAUSTED", "FREE_BALANCE", "PARTICIPATION_CAP"} <= shared
    assert all(Reason[name].code == OrderReason[name].value for name in shared)


def filtered(price: int | None = 10_000, lots_e8: int = 100 * STEP_E8, **changes: object) -> object:
    """What the filters say of a buy of 0.1 at 100.00: notional 10, minimum 5."""
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    request = OrderRequest(BUY, kind, lots_e8, price and price * TICK_E8)
    given = {"request": request, "filters": FILTERS, "rules": OrderRules(), "reference_e8": 10_000 * TICK_E8}
    found = filter_refusal(**{**given, **changes})
    return found and (found.field, found.code, found.message)


def test_an_order_on_the_grid_passes() -> None:
    assert filtered() is None and filtered(price=None) is None


@pytest.mark.parametrize(
    ("lots_e8", "price", "field", "message"),
    [
        (100 * STEP_E8 + 1, 10_000, "quantity", "Filter failure: LOT_SIZE"),
        (1 * STEP_E8, 10_000, "quantity", "Filter failure: LOT_SIZE"),  # minimum 0.002
        (9_001 * STEP_E8, 10_000, "quantity", "Filter failure: LOT_SIZE"),  # maximum 9
        (101 * STEP_E8, None, "quantity", "Filter failure: MARKET_LOT_SIZE"),  # market step 0.002
        (2 * STEP_E8, None, "quantity", "Filter failure: MARKET_LOT_SIZE"),  # market minimum 0.004
        (1_002 * STEP_E8, None, "quantity", "Filter failure: MARKET_LOT_SIZE"),  # market maximum 1
        (49 * STEP_E8, 10_000, "quantity", "Filter failure: NOTIONAL"),  # 0.049 x 100.00 = 4.90 < 5
        (48 * STEP_E8, None, "quantity", "Filter failure: NOTIONAL"),  # the same at the reference of 100.00
    ],
)
def test_a_size_off_the_grid_is_refused_in_the_exchange_s_words(
    lots_e8: int, price: int | None, field: str, message: str
) -> None:
    assert filtered(price=price, lots_e8=lots_e8) == (field, -1013, message)


def test_the_smallest_notional_passes_exactly() -> None:
    """0.050 x 100.00 = 5.00; one tick less is 4.9995."""
    assert filtered(lots_e8=50 * STEP_E8) is None
    assert filtered(price=9_999, lots_e8=50 * STEP_E8) == ("quantity", -1013, "Filter failure: NOTIONAL")


def test_prices_keep_the_tick_and_the_bounds() -> None:
    off = OrderRequest(BUY, OrderType.LIMIT, 100 * STEP_E8, 10_000 * TICK_E8 + 1)
    stop = OrderRequest(BUY, OrderType.STOP_LOSS, 100 * STEP_E8, None, 10_000 * TICK_E8 + 1)
    assert filtered(request=off) == ("price", -1013, "Filter failure: PRICE_FILTER")
    assert filtered(request=stop) == ("stop_price", -1013, "Filter failure: PRICE_FILTER")
    bounds = OrderRules(min_price_e8=10_000 * TICK_E8, max_price_e8=10_001 * TICK_E8)
    assert filtered(rules=bounds) is None and filtered(price=10_001, rules=bounds) is None
    for price in (9_999, 10_002):
        assert filtered(price=price, rules=bounds) == ("price", -1013, "Filter failure: PRICE_FILTER")


def test_the_percent_price_is_exact_at_both_ends() -> None:
    """A buy within 0.8 and 1.2 of a reference of 100.00: from 80.00 to 120.00."""
    band = OrderRules(bid_up_e8=120_000_000, bid_down_e8=80_000_000, is_by_side=1)
    assert filtered(price=8_000, rules=band) is None and filtered(price=12_000, rules=band) is None
    refused = ("price", -1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
    assert filtered(price=7_999, rules=band) == refused and filtered(price=12_001, rules=band) == refused
    assert filtered(rules=band, reference_e8=0) == refused
    assert filtered(rules=OrderRules(bid_down_e8=80_000_000, is_by_side=1), reference_e8=0) == refused
    sale = OrderRequest(SELL, OrderType.LIMIT, 100 * STEP_E8, 12_001 * TICK_E8)
    assert filtered(request=sale, rules=band) is None


def test_one_percent_filter_for_both_sides_is_refused_under_its_own_name() -> None:
    """PERCENT_PRICE of 0.9 to 1.1 at a reference of 100.00: 90.00 to 110.00 for buys and sales alike."""
    band = OrderRules(bid_up_e8=110_000_000, bid_down_e8=90_000_000, ask_up_e8=110_000_000, ask_down_e8=90_000_000)
    for side in (BUY, SELL):
        for price, found in ((8_999, True), (9_000, False), (11_000, False), (11_001, True)):
            request = OrderRequest(side, OrderType.LIMIT, 100 * STEP_E8, price * TICK_E8)
            refused = ("price", -1013, "Filter failure: PERCENT_PRICE") if found else None
            assert filtered(request=request, rules=band) == refused


@pytest.mark.parametrize(
    ("side", "trail", "passes"),
    [(BUY, 9, False), (BUY, 10, True), (BUY, 2_000, True), (BUY, 2_001, False),
     (SELL, 19, False), (SELL, 20, True), (SELL, 500, True), (SELL, 501, False)],
)  # fmt: skip
def test_a_trail_lies_within_the_bounds_of_its_side(side: int, trail: int, passes: bool) -> None:
    """A buy trails above the market (0.10 % to 20 %), a sale below it (0.20 % to 5 %)."""
    rules = OrderRules(
        min_trail_above_bps=10, max_trail_above_bps=2_000, min_trail_below_bps=20, max_trail_below_bps=500
    )
    request = OrderRequest(side, OrderType.TRAILING_STOP, 100 * STEP_E8, trailing_bps=trail)
    found = filtered(request=request, rules=rules)
    assert found == (None if passes else ("trailing_delta", -1013, "Filter failure: TRAILING_DELTA"))
    assert filtered(request=request) is None


def test_orders_with_a_price_have_notional_bounds_of_their_own() -> None:
    """MARKET is exempt from the filter's minimum of 5; a limit of 0.049 x 100.00 = 4.90 is not, nor one above 9."""
    exempt = FILTERS._replace(min_notional_e8=0)
    rules = OrderRules(priced_min_e8=500_000_000, priced_max_e8=900_000_000)
    refused = ("quantity", -1013, "Filter failure: NOTIONAL")
    assert filtered(price=None, lots_e8=48 * STEP_E8, filters=exempt, rules=rules) is None
    assert filtered(lots_e8=49 * STEP_E8, filters=exempt, rules=rules) == refused
    assert filtered(lots_e8=50 * STEP_E8, filters=exempt, rules=rules) is None
    assert filtered(lots_e8=90 * STEP_E8, filters=exempt, rules=rules) is None
    assert filtered(lots_e8=91 * STEP_E8, filters=exempt, rules=rules) == refused


def test_only_so_many_orders_may_be_open() -> None:
    """A bound of 5 orders, 2 of them with a trigger; an OCO is two orders, of which the stop has one."""
    limit = OrderRequest(BUY, OrderType.LIMIT, STEP_E8, TICK_E8)
    stop = OrderRequest(BUY, OrderType.STOP_LOSS, STEP_E8, None, TICK_E8)
    rules = OrderRules(max_orders=5, max_algo_orders=2)

    def refusal(*requests: OrderRequest, n: int, algos: int) -> str | None:
        found = number_refusal(requests, rules, Standing(0, n, algos))
        return found and found.message

    assert refusal(limit, n=4, algos=2) is None
    assert refusal(limit, n=5, algos=0) == "Filter failure: MAX_NUM_ORDERS"
    assert refusal(limit, stop, n=3, algos=1) is None
    assert refusal(limit, stop, n=4, algos=1) == "Filter failure: MAX_NUM_ORDERS"
    assert refusal(stop, n=2, algos=1) is None
    assert refusal(stop, n=2, algos=2) == "Filter failure: MAX_NUM_ALGO_ORDERS"
    assert number_refusal((limit, stop), OrderRules(), Standing(0, 10**6, 10**6)) is None


def test_a_notional_that_no_sum_could_hold_is_refused() -> None:
    wide = FILTERS._replace(max_qty_e8=0)
    huge = OrderRequest(BUY, OrderType.LIMIT, 2**62 // STEP_E8 * STEP_E8, 10_000 * TICK_E8)
    assert filtered(request=huge, filters=wide) == ("quantity", -1013, "Filter failure: NOTIONAL")


def test_a_decision_s_size_is_floored_to_the_lot() -> None:
    """Steps of 0.001 and, for MARKET, of 0.002; minima of 0.002 and 0.004."""
    assert floor_quantity(123_456_789, FILTERS, is_market=False) == 123_400_000
    assert floor_quantity(123_500_000, FILTERS, is_market=True) == 123_400_000
    assert floor_quantity(199_999, FILTERS, is_market=False) == 0
    assert floor_quantity(399_999, FILTERS, is_market=False) == 300_000
    assert floor_quantity(399_999, FILTERS, is_market=True) == 0
    odd = FILTERS._replace(step_e8=200_000, market_step_e8=300_000)
    assert floor_quantity(1_100_000, odd, is_market=True) == 600_000


def test_a_price_is_rounded_so_that_it_is_never_worse_than_asked() -> None:
    assert round_price(BUY, 10_000 * TICK_E8 + 1, TICK_E8) == 10_000 * TICK_E8
    assert round_price(SELL, 10_000 * TICK_E8 + 1, TICK_E8) == 10_001 * TICK_E8
    assert round_price(SELL, 10_000 * TICK_E8, TICK_E8) == 10_000 * TICK_E8
