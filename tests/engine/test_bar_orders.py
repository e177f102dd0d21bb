"""Open orders on bars alone, by hand: what the path inside a bar leaves open goes against us."""

from __future__ import annotations

from typing import Any

import pytest

from apps.engine.bar_orders import BarTerms, OrderBar, on_bar
from apps.engine.order_step import Step, request_cancel
from apps.engine.order_types import OrderReason, OrderStatus, TimeInForce
from apps.engine.order_values import OpenOrder, Phase
from tests.engine.orders import (
    LIMIT,
    LIMIT_MAKER,
    MARKET,
    STOP_LOSS,
    STOP_LOSS_LIMIT,
    TAKE_PROFIT,
    TERMS,
    TRAILING_STOP,
    buy,
    rows,
    sell,
)

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
MINUTE_MS = 60_000
# No slippage unless a test asks for it, so that prices are read off the bar.
EXACT = BarTerms(TERMS, 0.0, 1e6, 0)


def bar(number: int = 1, **changes: int) -> OrderBar:
    """From 100.00 up to 101.00, down to 99.00, closing at 100.50; 1,000 lots, so that 100 are ours at most."""
    open_ms = number * MINUTE_MS
    return OrderBar(open_ms, open_ms + MINUTE_MS - 1, 10_000, 10_100, 9_900, 10_050, 1_000)._replace(**changes)


def meet(*orders: OpenOrder, costs: BarTerms = EXACT, **changes: int) -> Step:
    return on_bar(orders, bar(**changes), costs)


def only(step: Step) -> OpenOrder:
    (left,) = (*step.orders, *step.closed)
    return left


def waiting(*orders: OpenOrder) -> tuple[OpenOrder, ...]:
    """The orders after a first, flat bar at 100.00 without volume: armed or resting."""
    step = on_bar(orders, bar(0, high_ticks=10_000, low_ticks=10_000, close_ticks=10_000, volume_lots=0), EXACT)
    assert len(step.orders) == len(orders) and step.fills == ()
    return step.orders


def placed(order: OpenOrder) -> OpenOrder:
    return order._replace(placed_ms=0, due_ms=50)


def buys(kind: Any, lots: int, **fields: Any) -> OpenOrder:
    return placed(buy(kind, lots, **fields))


def sells(kind: Any, lots: int, **fields: Any) -> OpenOrder:
    return placed(sell(kind, lots, **fields))


def test_a_market_order_fills_at_the_open() -> None:
    """10 x 10,000 x 1,000 at 20 bps: 200,000."""
    step = meet(buys(MARKET, 10))
    assert rows(step.fills) == [("a", 10_000, 10, 200_000, "bar")] and not step.fills[0].is_maker
    assert only(step).status is OrderStatus.FILLED


def test_slippage_goes_against_us() -> None:
    """Without volatility only the half-spread of 2 bp is left: 2 ticks of 10,000, 4 when doubled."""
    for scale, away in ((1, 2), (2, 4)):
        costs = EXACT._replace(slippage_scale=scale)
        assert meet(buys(MARKET, 10), costs=costs).fills[0].price_ticks == 10_000 + away
        assert meet(sells(MARKET, 10), costs=costs).fills[0].price_ticks == 10_000 - away


def test_a_cost_that_cannot_be_formed_fills_nothing() -> None:
    step = meet(buys(MARKET, 10), costs=EXACT._replace(slippage_scale=1, adv_quote=0.0))
    assert (step.fills, only(step).reason) == ((), OrderReason.NUMERIC_FAULT)


def test_one_tenth_of_the_volume_is_shared_by_all() -> None:
    orders = (buys(MARKET, 70), buys(MARKET, 70, name="b", number=2), buys(MARKET, 1, name="c", number=3))
    step = meet(*orders)
    assert [row[:3] for row in rows(step.fills)] == [("a", 10_000, 70), ("b", 10_000, 30)]
    assert [order.reason for order in step.closed] == ["none", "participation_cap", "participation_cap"]


def test_an_order_placed_inside_a_bar_waits_for_the_next_open() -> None:
    order = buys(MARKET, 10)._replace(placed_ms=MINUTE_MS + 1)
    assert meet(order) == Step((order,), (), (), (), ())
    assert len(meet(order, number=2).fills) == 1


def test_a_limit_needs_the_price_to_pass_beyond_it() -> None:
    """The low is 99.00: a bid there is touched, one at 99.01 is passed. Makers pay 10 bps."""
    (touched,) = waiting(buys(LIMIT, 10, price=9_900))
    assert meet(touched).fills == ()
    (passed,) = waiting(buys(LIMIT, 10, price=9_901))
    step = meet(passed)
    assert rows(step.fills) == [("a", 9_901, 10, 99_010, "bar")] and step.fills[0].is_maker
    assert meet(*waiting(sells(LIMIT, 10, price=10_100))).fills == ()
    assert meet(*waiting(sells(LIMIT, 10, price=10_099))).fills[0].price_ticks == 10_099


def test_limits_fill_best_price_first_then_oldest_and_partly() -> None:
    orders = waiting(
        buys(LIMIT, 60, price=9_910, name="young", number=3),
        buys(LIMIT, 50, price=9_920, name="best", number=2),
        buys(LIMIT, 20, price=9_910, name="old", number=1),
    )
    step = meet(*orders)
    assert [row[:3] for row in rows(step.fills)] == [("best", 9_920, 50), ("old", 9_910, 20), ("young", 9_910, 30)]
    assert (only(step._replace(closed=())).status, step.orders[0].open_lots) == (OrderStatus.PARTIALLY_FILLED, 30)


def test_an_order_that_enters_at_the_open_is_younger_than_one_that_rests() -> None:
    (old,) = waiting(buys(LIMIT, 90, price=9_910, name="old", number=9))
    step = meet(buys(LIMIT, 90, price=9_910, name="new", number=1), old)
    assert [row[:3] for row in rows(step.fills)] == [("old", 9_910, 90), ("new", 9_910, 10)]


def test_a_marketable_limit_takes_the_open_and_never_pays_beyond_its_price() -> None:
    assert rows(meet(buys(LIMIT, 10, price=10_050)).fills)[0][1] == 10_000
    slipping = EXACT._replace(slippage_scale=1)
    assert meet(buys(LIMIT, 10, price=10_002), costs=slipping).fills[0].price_ticks == 10_002
    # Slippage would make it 100.02, so it rests at 100.01 and the low passes it.
    rests = meet(buys(LIMIT, 10, price=10_001), costs=slipping)
    assert (rests.fills[0].price_ticks, rests.fills[0].is_maker) == (10_001, True)
    assert meet(sells(LIMIT, 10, price=9_999), costs=slipping).fills[0].is_maker


def test_the_rest_of_a_limit_goes_on() -> None:
    first = meet(buys(LIMIT, 150, price=10_050))
    assert (first.fills[0].lots, only(first).phase) == (100, Phase.RESTING)
    assert rows(on_bar(first.orders, bar(2), EXACT).fills)[0][1:3] == (10_050, 50)


def test_ioc_fok_and_limit_maker_at_the_open() -> None:
    ioc = meet(buys(LIMIT, 150, price=10_050, tif=IOC))
    assert (ioc.fills[0].lots, only(ioc).reason) == (100, OrderReason.PARTICIPATION_CAP)
    assert only(meet(buys(LIMIT, 5, price=9_999, tif=IOC))).reason is OrderReason.LIMIT_NOT_MET
    assert only(meet(sells(LIMIT, 5, price=9_999, tif=IOC), volume_lots=9)).reason is OrderReason.PARTICIPATION_CAP
    fok = meet(buys(LIMIT, 101, price=10_050, tif=FOK))
    assert (fok.fills, only(fok).reason) == ((), OrderReason.NOT_WHOLE)
    assert meet(buys(LIMIT, 100, price=10_050, tif=FOK)).fills[0].lots == 100
    assert only(meet(buys(LIMIT_MAKER, 5, price=10_000))).reason is OrderReason.WOULD_TAKE


@pytest.mark.parametrize(
    ("open_ticks", "filled_at"), [(10_000, 9_950), (9_940, 9_940), (9_950, 9_950)], ids=["crossed", "gap", "at it"]
)
def test_a_stop_fills_at_the_worse_of_trigger_and_open(open_ticks: int, filled_at: int) -> None:
    orders = waiting(sells(STOP_LOSS, 10, stop=9_950))
    step = meet(*orders, open_ticks=open_ticks)
    assert (step.triggered, step.fills[0].price_ticks) == (("a",), filled_at)
    buy_at = meet(*waiting(buys(STOP_LOSS, 10, stop=10_050)), open_ticks=20_000 - open_ticks)
    assert buy_at.fills[0].price_ticks == 20_000 - filled_at


def test_slippage_comes_on_top_of_a_stop() -> None:
    """2 bp of 9,950 are 1.99: 9,948.01, rounded down."""
    step = meet(*waiting(sells(STOP_LOSS, 10, stop=9_950)), costs=EXACT._replace(slippage_scale=1))
    assert step.fills[0].price_ticks == 9_948


def test_a_stop_that_is_not_reached_waits_and_one_on_the_wrong_side_is_refused() -> None:
    orders = waiting(sells(STOP_LOSS, 10, stop=9_899))
    assert meet(*orders).triggered == () and meet(*orders, low_ticks=9_899).triggered == ("a",)
    assert only(meet(sells(STOP_LOSS, 10, stop=10_000))).reason is OrderReason.WOULD_TRIGGER


def test_a_profit_never_fills_better_than_its_trigger() -> None:
    """The bar opens at 100.80, above the target of 100.50."""
    orders = waiting(sells(TAKE_PROFIT, 10, stop=10_050))
    assert meet(*orders, open_ticks=10_080).fills[0].price_ticks == 10_050
    assert meet(*orders).fills[0].price_ticks == 10_050
    assert meet(*orders, high_ticks=10_049).fills == ()


def test_a_stop_limit_takes_within_its_limit_or_rests_from_the_next_bar() -> None:
    near = meet(*waiting(sells(STOP_LOSS_LIMIT, 10, price=9_940, stop=9_950)))
    assert near.fills[0].price_ticks == 9_950
    gap = meet(*waiting(sells(STOP_LOSS_LIMIT, 10, price=9_940, stop=9_950)), open_ticks=9_930)
    assert gap.fills == () and only(gap).phase is Phase.RESTING
    assert on_bar(gap.orders, bar(2), EXACT).fills[0].price_ticks == 9_940


@pytest.mark.parametrize("target", [LIMIT_MAKER, TAKE_PROFIT])
def test_the_loss_comes_first_when_a_bar_touches_both(target: Any) -> None:
    """Sell at 100.80 or at 99.20; the bar goes to 101.00 and to 99.00."""
    fields = {"price": 10_080} if target is LIMIT_MAKER else {"stop": 10_080}
    orders = waiting(
        sells(target, 10, **fields, name="target", oco="l"),
        sells(STOP_LOSS, 10, stop=9_920, name="stop", number=2, oco="l"),
    )
    both = meet(*orders)
    assert [row[:3] for row in rows(both.fills)] == [("stop", 9_920, 10)] and both.canceled == ("target",)
    up = meet(*orders, low_ticks=9_950)
    assert [row[:3] for row in rows(up.fills)] == [("target", 10_080, 10)] and up.canceled == ("stop",)


def test_a_trailing_stop_is_judged_by_the_extreme_before_the_bar_first() -> None:
    """1 % below 100.00 is 99.00: the low of 99.00 triggers, though the high of 102.00 may have come first."""
    (order,) = waiting(sells(TRAILING_STOP, 10, trail=100))
    assert meet(order, high_ticks=10_200).fills[0].price_ticks == 9_900


def test_a_trailing_stop_follows_the_bar_s_extreme_to_the_close() -> None:
    """The high of 103.00 makes it 101.97. A close of 101.97 certainly came later; one of 101.98 has not reached it."""
    (order,) = waiting(sells(TRAILING_STOP, 10, trail=100))
    calm = {"high_ticks": 10_300, "low_ticks": 9_990}
    quiet = meet(order, **calm, close_ticks=10_198)
    assert quiet.triggered == () and only(quiet).extreme_ticks == 10_300
    # The worse of trigger and open, and the bar opened at 100.00.
    assert meet(order, **calm, close_ticks=10_197).fills[0].price_ticks == 10_000
    later = on_bar(quiet.orders, bar(2, open_ticks=10_250, low_ticks=10_150, high_ticks=10_250), EXACT)
    assert later.fills[0].price_ticks == 10_197


def test_a_trailing_buy_mirrors_it() -> None:
    (order,) = waiting(buys(TRAILING_STOP, 10, trail=100))
    assert meet(order, low_ticks=9_800).fills[0].price_ticks == 10_100
    assert meet(order, low_ticks=9_700, high_ticks=10_010, close_ticks=9_797).fills[0].price_ticks == 10_000


def test_a_bar_given_twice_does_nothing() -> None:
    once = meet(*waiting(buys(LIMIT, 150, price=9_910)))
    assert len(once.fills) == 1
    assert on_bar(once.orders, bar(), EXACT) == Step(once.orders, (), (), (), ())


def test_a_cancel_due_in_a_bar_may_lose_against_its_fill() -> None:
    orders = tuple(
        request_cancel(order, ts_ms=MINUTE_MS + 100, latency_ms=50)
        for order in waiting(buys(LIMIT, 10, price=9_910), buys(LIMIT, 10, price=9_900, name="b", number=2))
    )
    step = meet(*orders)
    assert [fill.order_id for fill in step.fills] == ["a"] and step.canceled == ("b",)
