"""Fees, locks and rows of orders by hand."""

from __future__ import annotations

import json

from apps.engine.order_values import (
    Amounts,
    Depth,
    FeeAsset,
    depth_of,
    locked,
    locked_total,
    order_from_json,
    settlement,
)
from apps.engine.values import Book
from tests.engine.orders import (
    BASE_TERMS,
    FILTERS,
    LIMIT,
    MARKET,
    STOP_LOSS,
    TERMS,
    TRAILING_STOP,
    bracket,
    buy,
    depth,
    hit,
    met,
    rested,
    sell,
    sold,
)


def test_a_fee_is_rounded_up_fill_by_fill() -> None:
    """One lot at one tick is 1,000; 20 bps of it are 2 and 10 bps are 1. Of a unit of 7 they are 0.014: one unit."""
    tiny = TERMS._replace(unit_e8=7)
    arrival = met(buy(MARKET, 2), depth(asks=((1, 1), (2, 1))), terms=tiny)
    assert [fill.fee_e8 for fill in arrival.fills] == [1, 1]
    assert [settlement(1, fill, tiny) for fill in arrival.fills] == [Amounts(100_000, -8), Amounts(100_000, -15)]


def test_a_fee_in_base_leaves_dust() -> None:
    """3 lots are 300,000 of base; 20 bps are 600, so 299,400 arrive and 99,400 of them are below a lot."""
    fill = met(buy(MARKET, 3), terms=BASE_TERMS).fills[0]
    assert (fill.fee_e8, fill.fee_asset) == (600, FeeAsset.BASE)
    assert settlement(1, fill, BASE_TERMS) == Amounts(299_400, -30_003_000)
    odd = met(buy(MARKET, 1), terms=BASE_TERMS._replace(step_e8=1_001)).fills[0]
    assert odd.fee_e8 == 3  # 2.002 rounded up
    sale = met(sell(MARKET, 3), terms=BASE_TERMS).fills[0]
    assert (sale.fee_e8, sale.fee_asset) == (59_994, FeeAsset.QUOTE)
    assert settlement(-1, sale, BASE_TERMS) == Amounts(-300_000, 29_997_000 - 59_994)


def test_open_orders_lock_what_they_may_cost() -> None:
    """10 lots at 99.99 are 99,990,000; 20 bps are 199,980, exact for every lot, so no spare is locked."""
    assert locked(buy(LIMIT, 10, price=9_999), TERMS) == Amounts(0, 99_990_000 + 199_980)
    assert locked(buy(LIMIT, 10, price=9_999), BASE_TERMS) == Amounts(0, 99_990_000)
    assert locked(buy(STOP_LOSS, 10, stop=10_100), TERMS) == Amounts(0, 101_000_000 + 202_000)
    assert locked(buy(MARKET, 10), TERMS) == locked(buy(TRAILING_STOP, 10, trail=9), TERMS) == Amounts(0, 0)
    assert locked(sell(MARKET, 10), TERMS) == Amounts(1_000_000, 0)
    partly = rested(sell(LIMIT, 10, price=10_100))._replace(filled_lots=4)
    assert locked(partly, TERMS) == Amounts(600_000, 0)


def test_a_lock_covers_the_rounding_of_every_fill() -> None:
    """A lot at 3 ticks is 21 and pays 0.042: 1. Ten lots alone pay 10; at once 0.42 + 9 spare, the same 10."""
    tiny = TERMS._replace(unit_e8=7)
    assert locked(buy(LIMIT, 10, price=3), tiny) == Amounts(0, 210 + 10)
    # A lot at 30,000 ticks of 1: 60 exactly; at 30,001: 60.002, alone 61, all at once 601 and 9 spare.
    unit = TERMS._replace(unit_e8=1)
    assert locked(buy(LIMIT, 10, price=30_000), unit).quote_e8 == 300_000 + 600
    assert locked(buy(LIMIT, 10, price=30_001), unit).quote_e8 == 300_010 + 610


def test_a_list_locks_its_largest_leg() -> None:
    legs = (buy(LIMIT, 10, price=9_900, oco="l"), buy(STOP_LOSS, 10, stop=10_100, name="b", oco="l"))
    assert locked_total(legs, TERMS) == locked(legs[1], TERMS)
    assert locked_total((*legs, sell(LIMIT, 3, price=10_100)), TERMS) == Amounts(300_000, 101_202_000)


def test_an_order_survives_json() -> None:
    orders = (
        *bracket(),
        rested(sell(TRAILING_STOP, 10, trail=100)),
        rested(buy(LIMIT, 5, price=9_980)),
        buy(MARKET, 3),
    )
    triggered = hit(bracket(), sold(9_900, 4)).orders
    for order in (*orders, *triggered):
        assert order_from_json(json.loads(json.dumps(order.to_json()))) == order


def test_a_book_in_ticks_is_rounded_against_the_taker() -> None:
    """Ask 100.001 counts as 100.01 together with the ask there; bid 99.999 counts as 99.99. 1.9 lots are 1."""
    asks = ((10_000_100_000, 100_000), (10_001_000_000, 250_000))
    bids = ((9_999_900_000, 190_000),)
    found = depth_of(Book("BTCUSDT", 7, 1, bids, asks), FILTERS, age_ms=3, last_price_e8=10**10, last_trade_id=5)
    assert found == Depth("BTCUSDT", 7, 3, ((9_999, 1),), ((10_001, 3),), 10_000, 5)
