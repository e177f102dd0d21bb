"""Live paper orders by hand: arrival on a book, then the queue, trade by trade."""

from __future__ import annotations

import pytest

from apps.engine.errors import Conflict
from apps.engine.order_step import Step
from apps.engine.order_types import OrderReason, OrderStatus, TimeInForce
from apps.engine.order_values import (
    Phase,
)
from apps.engine.resting import displayed_at, on_book
from tests.engine.orders import (
    BOOK_MS,
    CASH_E8,
    EMPTY,
    LIMIT,
    LIMIT_MAKER,
    MARKET,
    TERMS,
    bought,
    buy,
    depth,
    hit,
    met,
    rested,
    rows,
    seen,
    sell,
    sold,
)

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


def test_a_market_order_walks_the_levels_one_fill_each() -> None:
    """Fees at 20 bps: 10,001 x 30 x 1,000 = 300,030,000 pays 600,060; 10,002 x 10 x 1,000 pays 200,040."""
    arrival = met(buy(MARKET, 40))
    assert rows(arrival.fills) == [("a", 10_001, 30, 600_060, "depth"), ("a", 10_002, 10, 200_040, "depth")]
    assert arrival.order.status is OrderStatus.FILLED and not arrival.fills[0].is_maker
    assert [row[1:4] for row in rows(met(sell(MARKET, 31)).fills)] == [(9_999, 30, 599_940), (9_998, 1, 19_996)]


def test_what_exceeds_the_book_expires() -> None:
    arrival = met(buy(MARKET, 150))
    assert sum(fill.lots for fill in arrival.fills) == 100
    assert (arrival.order.status, arrival.reason) == (OrderStatus.EXPIRED, OrderReason.BOOK_EXHAUSTED)
    assert met(buy(MARKET, 1), depth(asks=())).reason is OrderReason.BOOK_EMPTY


def test_a_marketable_limit_gets_the_better_price_and_pays_taker() -> None:
    """A limit of 100.02 takes 30 at 100.01, 50 at its price, and rests with 20; no bid stands at 100.02."""
    arrival = met(buy(LIMIT, 100, price=10_002))
    assert rows(arrival.fills) == [("a", 10_001, 30, 600_060, "depth"), ("a", 10_002, 50, 1_000_200, "depth")]
    left = arrival.order
    assert (left.status, left.phase, left.open_lots) == (OrderStatus.PARTIALLY_FILLED, Phase.RESTING, 20)
    assert (left.queue_ahead_lots, left.since_ms, left.last_trade_id) == (0, BOOK_MS, 100)


def test_a_limit_rests_behind_what_is_displayed_at_its_price() -> None:
    assert rested(buy(LIMIT, 5, price=9_998)).queue_ahead_lots == 50
    assert rested(buy(LIMIT, 5, price=10_000)).queue_ahead_lots == 0
    assert rested(buy(LIMIT, 5, price=9_995)).queue_ahead_lots == 0
    assert rested(sell(LIMIT, 5, price=10_010)).queue_ahead_lots == 20
    assert displayed_at(depth(bids=()), 1, 9_999) is None


def test_ioc_and_fok() -> None:
    """Up to 100.02 there are 80 lots."""
    partly = met(buy(LIMIT, 90, price=10_002, tif=IOC))
    assert sum(fill.lots for fill in partly.fills) == 80
    assert (partly.order.status, partly.reason) == (OrderStatus.EXPIRED, OrderReason.LIMIT_NOT_MET)
    nothing = met(buy(LIMIT, 81, price=10_002, tif=FOK))
    assert (nothing.fills, nothing.ledger.levels) == ((), ())
    assert (nothing.order.status, nothing.reason) == (OrderStatus.EXPIRED, OrderReason.NOT_WHOLE)
    assert met(buy(LIMIT, 80, price=10_002, tif=FOK)).order.status is OrderStatus.FILLED


def test_fok_sees_what_was_already_taken() -> None:
    first = met(buy(MARKET, 1))
    assert met(buy(LIMIT, 80, price=10_002, tif=FOK), ledger=first.ledger).reason is OrderReason.NOT_WHOLE


def test_a_limit_maker_that_would_take_is_refused() -> None:
    refused = met(buy(LIMIT_MAKER, 5, price=10_001))
    assert (refused.order.status, refused.reason) == (OrderStatus.REJECTED, OrderReason.WOULD_TAKE)
    assert rested(buy(LIMIT_MAKER, 5, price=10_000)).phase is Phase.RESTING


def test_a_stale_book_matches_nothing() -> None:
    """At 5,000 ms a book is still good."""
    for age in (5_001, -1):
        stale = depth(age_ms=age)
        waits = met(buy(LIMIT, 40, price=10_002), stale)
        assert (waits.fills, waits.order.phase, waits.reason) == ((), Phase.TRAVELING, OrderReason.DATA_STALE)
        ends = met(buy(MARKET, 40), stale)
        assert (ends.fills, ends.order.status, ends.reason) == ((), OrderStatus.EXPIRED, OrderReason.DATA_STALE)
    assert met(buy(MARKET, 40), depth(age_ms=5_000)).order.status is OrderStatus.FILLED


def test_a_waiting_limit_matches_the_next_good_book() -> None:
    waits = met(buy(LIMIT, 40, price=10_002), depth(age_ms=9_000)).order
    step = seen((waits,), depth(ts_ms=BOOK_MS + 9_000))
    assert sum(fill.lots for fill in step.fills) == 40 and step.closed[0].reason is OrderReason.NONE


def test_an_order_meets_no_book_from_before_its_arrival() -> None:
    with pytest.raises(Conflict, match="due at 1050"):
        met(buy(MARKET, 1), depth(ts_ms=BOOK_MS - 1))
    with pytest.raises(Conflict, match="resting"):
        met(rested(buy(LIMIT, 1, price=9_999)))
    assert seen((buy(MARKET, 1),), depth(ts_ms=BOOK_MS - 1)).orders == (buy(MARKET, 1),)


def test_a_buy_that_costs_more_than_the_cash_left_is_refused_whole() -> None:
    """40 lots cost 300,030,000 + 600,060 + 100,020,000 + 200,040 = 400,850,100."""
    assert met(buy(MARKET, 40), budget_e8=400_850_100).order.status is OrderStatus.FILLED
    short = met(buy(MARKET, 40), budget_e8=400_850_099)
    assert (short.fills, short.ledger.levels, short.reason) == ((), (), OrderReason.FREE_BALANCE)


def test_orders_due_on_one_book_share_it_in_order_of_time() -> None:
    late, early = buy(MARKET, 40, name="late", number=1, placed_ms=1_000), buy(MARKET, 40, name="early", number=2)
    step, ledger = on_book((late._replace(due_ms=1_050), early._replace(due_ms=1_040)), depth(), EMPTY, TERMS, CASH_E8)
    assert [row[:3] for row in rows(step.fills)] == [
        ("early", 10_001, 30), ("early", 10_002, 10), ("late", 10_002, 40),
    ]  # fmt: skip
    assert [level.taken_lots for level in ledger.levels] == [30, 50]


def test_orders_of_one_book_share_the_cash() -> None:
    """The first costs 400,850,100 and leaves 99,999,999: one less than 10 lots at 100.02 with their fee."""
    orders = (buy(MARKET, 40), buy(MARKET, 10, name="b", number=2))
    enough = 400_850_100 + 100_020_000 + 200_040
    assert [order.status for order in seen(orders, depth(), enough).closed] == ["FILLED", "FILLED"]
    closed = seen(orders, depth(), enough - 1).closed
    assert [order.reason for order in closed] == [OrderReason.NONE, OrderReason.FREE_BALANCE]


def test_cash_that_another_order_locks_is_not_spent() -> None:
    """A bid of 10 lots at 99.99 locks 99,990,000 and 199,980 of fee."""
    orders = (rested(buy(LIMIT, 10, price=9_999)), buy(MARKET, 10, name="b", number=2))
    cost, lock = 100_010_000 + 200_020, 99_990_000 + 199_980
    assert len(seen(orders, depth(), cost + lock + 9).fills) == 1
    assert seen(orders, depth(), cost + lock - 1).closed[0].reason is OrderReason.FREE_BALANCE


def test_only_the_excess_over_the_queue_fills_and_partly() -> None:
    """30 stand ahead at 99.99: 20 of them go, then 10 and 4 of ours, then the last 6 of ours at maker's 10 bps."""
    order = rested(buy(LIMIT, 10, price=9_999))
    first = hit((order,), sold(9_999, 20))
    assert (first.fills, first.orders[0].queue_ahead_lots, first.orders[0].last_trade_id) == ((), 10, 101)
    assert first.is_quiet
    second = hit(first.orders, sold(9_999, 14, number=102))
    assert rows(second.fills) == [("a", 9_999, 4, 39_996, "queue")] and not second.is_quiet
    assert (second.fills[0].is_maker, second.fills[0].trade_id) == (True, 102)
    assert (second.orders[0].status, second.orders[0].filled_lots) == (OrderStatus.PARTIALLY_FILLED, 4)
    third = hit(second.orders, sold(9_999, 100, number=103))
    assert rows(third.fills) == [("a", 9_999, 6, 59_994, "queue")]
    assert third.orders == () and third.closed[0].status is OrderStatus.FILLED


def test_a_trade_through_the_price_clears_the_queue_and_fills_no_more_than_it_traded() -> None:
    step = hit((rested(buy(LIMIT, 10, price=9_999)),), sold(9_998, 4))
    assert rows(step.fills) == [("a", 9_999, 4, 39_996, "through")]
    assert step.orders[0].queue_ahead_lots == 0
    sale = hit((rested(sell(LIMIT, 10, price=10_001)),), bought(10_002, 40))
    assert rows(sale.fills) == [("a", 10_001, 10, 100_010, "through")]


def test_a_touch_without_a_trade_and_a_trade_by_our_own_side_fill_nothing() -> None:
    order = rested(buy(LIMIT, 10, price=10_000))
    touched = seen((order,), depth(ts_ms=2_000, asks=((9_999, 500),)))
    assert touched.fills == () and touched.orders == (order,)
    lifted = hit((order,), bought(10_000, 500))
    assert lifted.fills == () and lifted.orders[0].queue_ahead_lots == 0
    assert hit((order,), sold(10_001, 500)).fills == ()


def test_a_trade_through_counts_whoever_was_the_aggressor() -> None:
    """Somebody sold below our bid: with us there, they would have sold to us."""
    assert rows(hit((rested(buy(LIMIT, 10, price=9_999)),), bought(9_998, 4)).fills)[0][2] == 4


def test_lots_that_we_took_as_taker_do_not_fill_us_as_maker() -> None:
    """We took all 30 at 100.01 and rest with 5 at that price or above; a real buyer then takes those same 30."""
    arrival = met(buy(MARKET, 30))
    crossing = met(buy(LIMIT, 5, price=10_001, name="b"), ledger=arrival.ledger).order
    higher = crossing._replace(price_ticks=10_002)
    assert hit((higher,), bought(10_001, 30), ledger=arrival.ledger).fills == ()
    assert rows(hit((higher,), bought(10_001, 33), ledger=arrival.ledger).fills)[0][2] == 3
    assert rows(hit((higher,), sold(10_001, 30), ledger=arrival.ledger).fills)[0][2] == 5


def test_our_own_orders_share_a_trade_in_price_time_priority() -> None:
    """25 lots trade at 99.98: 6 through 100.00, 10 through 99.99, then 9 at the price, where 50 stand ahead."""
    orders = (
        rested(buy(LIMIT, 5, price=9_998, name="low", number=1)),
        rested(buy(LIMIT, 10, price=9_999, name="mid", number=2)),
        rested(buy(LIMIT, 6, price=10_000, name="top", number=3)),
    )
    step = hit(orders, sold(9_998, 25))
    assert [row[:3] for row in rows(step.fills)] == [("top", 10_000, 6), ("mid", 9_999, 10)]
    assert [(order.order_id, order.queue_ahead_lots) for order in step.orders] == [("low", 41)]


def test_the_older_of_two_orders_at_one_price_fills_first() -> None:
    """30 ahead of both. 37 trade: 30 of others, 5 of the older, 2 of the younger; each lot is used once."""
    orders = (
        rested(buy(LIMIT, 5, price=9_999, name="young", number=2)),
        rested(buy(LIMIT, 5, price=9_999, name="old", number=1)),
    )
    assert [row[:3] for row in rows(hit(orders, sold(9_999, 37)).fills)] == [("old", 9_999, 5), ("young", 9_999, 2)]


def test_the_younger_never_overtakes_though_its_queue_was_shorter() -> None:
    """40 ahead of the older, 10 of the younger, who stands behind the older all the same. 45 trade: 5 are ours."""
    old = rested(buy(LIMIT, 5, price=9_999, name="old"))._replace(queue_ahead_lots=40)
    young = rested(buy(LIMIT, 5, price=9_999, name="young", number=2))._replace(queue_ahead_lots=10)
    assert hit((old, young), sold(9_999, 38)).fills == ()
    assert [row[:3] for row in rows(hit((old, young), sold(9_999, 45)).fills)] == [("old", 9_999, 5)]


def test_a_younger_order_waits_for_those_between() -> None:
    """None ahead of the older, 20 of the younger. 15 trade: 5 fill the older, 10 serve the others between."""
    old = rested(buy(LIMIT, 5, price=9_999, name="old"))._replace(queue_ahead_lots=0)
    young = rested(buy(LIMIT, 5, price=9_999, name="young", number=2))._replace(queue_ahead_lots=20)
    step = hit((old, young), sold(9_999, 15))
    assert [row[:3] for row in rows(step.fills)] == [("old", 9_999, 5)]
    assert step.orders[0].queue_ahead_lots == 10


def test_a_queue_that_was_not_displayed_is_unknown_until_it_is() -> None:
    """99.80 is below the lowest displayed bid: a trade at the price fills nothing, one through it does."""
    order = rested(buy(LIMIT, 5, price=9_980))
    assert order.queue_ahead_lots is None
    assert hit((order,), sold(9_980, 500)).fills == ()
    assert rows(hit((order,), sold(9_979, 500)).fills)[0][2] == 5
    shown = seen((order,), depth(ts_ms=3_000, bids=((9_981, 9), (9_980, 70)))).orders[0]
    assert shown.queue_ahead_lots == 70
    assert seen((order,), depth(ts_ms=3_000, bids=((9_981, 9), (9_979, 70)))).orders[0].queue_ahead_lots == 0
    assert seen((order,), depth(ts_ms=3_000, age_ms=9_000, bids=((9_980, 70),))).orders[0].queue_ahead_lots is None


def test_nobody_of_ours_passes_an_unknown_queue() -> None:
    old = rested(buy(LIMIT, 5, price=9_999, name="old"))._replace(queue_ahead_lots=None)
    young = rested(buy(LIMIT, 5, price=9_999, name="young", number=2))._replace(queue_ahead_lots=0)
    assert hit((old, young), sold(9_999, 500)).fills == ()


def test_a_trade_from_before_or_given_twice_does_nothing() -> None:
    order = rested(buy(LIMIT, 10, price=10_000))
    assert hit((order,), sold(10_000, 4, ts_ms=BOOK_MS)).fills == ()
    assert hit((order,), sold(10_000, 4, number=100)).fills == ()
    once = hit((order,), sold(10_000, 4))
    assert hit(once.orders, sold(10_000, 4)) == Step(once.orders, (), (), (), ())
