"""Stops, lists and cancels by hand: what triggers, what cancels what, and who wins a race."""

from __future__ import annotations

import pytest

from apps.engine.order_step import request_cancel
from apps.engine.order_types import OrderReason, OrderStatus
from apps.engine.order_values import (
    OpenOrder,
    Phase,
    locked,
)
from tests.engine.orders import (
    BOOK_MS,
    LIMIT,
    LIMIT_MAKER,
    STOP_LOSS,
    STOP_LOSS_LIMIT,
    TAKE_PROFIT,
    TAKE_PROFIT_LIMIT,
    TERMS,
    TRAILING_STOP,
    bought,
    bracket,
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


@pytest.mark.parametrize(
    ("stop", "quiet", "trigger"),
    [
        (sell(STOP_LOSS, 10, stop=9_900), 9_901, 9_900),
        (buy(STOP_LOSS, 10, stop=10_100), 10_099, 10_100),
        (sell(TAKE_PROFIT, 10, stop=10_100), 10_099, 10_100),
        (buy(TAKE_PROFIT, 10, stop=9_900), 9_901, 9_900),
    ],
    ids=["sell stop", "buy stop", "sell profit", "buy profit"],
)
def test_a_stop_triggers_on_a_trade_and_meets_a_later_book(stop: OpenOrder, quiet: int, trigger: int) -> None:
    """Triggered at 2,500, it meets the first book at or after 2,550 as a market order."""
    waiting = rested(stop)
    assert waiting.phase is Phase.ARMED and locked(waiting, TERMS) == locked(stop, TERMS)
    step = hit((waiting,), sold(quiet, 1), sold(trigger, 1, number=102, ts_ms=2_500))
    assert step.triggered == ("a",) and step.fills == () and not step.is_quiet
    traveling = step.orders[0]
    assert (traveling.phase, traveling.due_ms, traveling.trigger_trade_id) == (Phase.TRAVELING, 2_550, 102)
    assert seen(step.orders, depth(ts_ms=2_549)).fills == ()
    filled = seen(step.orders, depth(ts_ms=2_550))
    assert [row[1:3] for row in rows(filled.fills)] == [(9_999 if stop.side < 0 else 10_001, 10)]


def test_a_touch_of_the_book_triggers_nothing() -> None:
    waiting = rested(sell(STOP_LOSS, 10, stop=9_900))
    assert seen((waiting,), depth(ts_ms=2_000, bids=((9_000, 5),), asks=((9_001, 5),))).triggered == ()


def test_a_stop_on_the_wrong_side_is_refused_when_it_arrives() -> None:
    refused = met(sell(STOP_LOSS, 10, stop=9_900), depth(last_ticks=9_900))
    assert (refused.order.status, refused.reason) == (OrderStatus.REJECTED, OrderReason.WOULD_TRIGGER)
    unknown = met(sell(STOP_LOSS, 10, stop=9_900), depth(last_ticks=0, last_trade_id=-1))
    assert (unknown.order.phase, unknown.reason) == (Phase.TRAVELING, OrderReason.DATA_STALE)


def test_a_stop_has_seen_the_trades_of_its_journey() -> None:
    """Trade 105 came while it traveled; 103, sent again, is none of its own."""
    traveling = hit((sell(STOP_LOSS, 10, stop=9_900),), sold(9_950, 1, number=105)).orders[0]
    waiting = rested(traveling)
    assert hit((waiting,), sold(9_900, 1, number=103)).triggered == ()
    assert hit((waiting,), sold(9_900, 1, number=106)).triggered == ("a",)


def test_a_triggered_stop_limit_rests_behind_the_queue() -> None:
    """Sell 10 at 99.99 when 99.95 trades: 6 are bid there; 4 rest at a price where no ask stands."""
    waiting = rested(sell(STOP_LOSS_LIMIT, 10, price=9_999, stop=9_995))
    step = hit((waiting,), sold(9_995, 1))
    after = seen(step.orders, depth(ts_ms=2_050, bids=((9_999, 6), (9_998, 50))))
    assert [row[1:3] for row in rows(after.fills)] == [(9_999, 6)]
    left = after.orders[0]
    assert (left.phase, left.open_lots, left.queue_ahead_lots, left.is_triggered) == (Phase.RESTING, 4, 0, True)
    assert rows(hit(after.orders, bought(9_999, 3, number=103, ts_ms=3_000)).fills)[0][2:] == (3, 29_997, "queue")


def test_a_take_profit_limit_of_a_buy() -> None:
    step = hit((rested(buy(TAKE_PROFIT_LIMIT, 10, price=9_950, stop=9_960)),), sold(9_960, 1))
    left = seen(step.orders, depth(ts_ms=2_050, bids=((9_955, 6), (9_950, 8)))).orders[0]
    assert (left.phase, left.queue_ahead_lots) == (Phase.RESTING, 8)


def test_a_triggered_stop_waits_for_a_good_book() -> None:
    step = hit((rested(sell(STOP_LOSS, 10, stop=9_900)),), sold(9_900, 1))
    stale = seen(step.orders, depth(ts_ms=2_050, age_ms=9_000))
    assert (stale.fills, stale.orders[0].reason) == ((), OrderReason.DATA_STALE)
    assert len(seen(stale.orders, depth(ts_ms=4_000)).fills) == 1


def test_a_trailing_stop_follows_the_best_trade() -> None:
    """1 % below the best: of 100.00 it is 99.00; of 101.23 it is 100.2177, so 100.22 does not trigger, 100.21 does."""
    waiting = rested(sell(TRAILING_STOP, 10, trail=100))
    assert waiting.extreme_ticks == 10_000
    assert hit((waiting,), sold(9_901, 1)).triggered == ()
    assert hit((waiting,), sold(9_900, 1)).triggered == ("a",)
    higher = hit((waiting,), bought(10_123, 1), sold(10_022, 1, number=102))
    assert (higher.triggered, higher.orders[0].extreme_ticks) == ((), 10_123)
    assert hit(higher.orders, sold(10_021, 1, number=103)).triggered == ("a",)


def test_a_trailing_buy_follows_the_lowest_trade() -> None:
    """1 % above 98.77 is 99.7577: 99.75 does not trigger, 99.76 does."""
    step = hit((rested(buy(TRAILING_STOP, 10, trail=100)),), sold(9_877, 1), bought(9_975, 1, number=102))
    assert (step.triggered, step.orders[0].extreme_ticks) == ((), 9_877)
    assert hit(step.orders, bought(9_976, 1, number=103)).triggered == ("a",)


def test_a_fill_of_one_leg_cancels_the_other_even_when_partial() -> None:
    step = hit(bracket(), bought(10_100, 4))
    assert rows(step.fills)[0][:3] == ("target", 10_100, 4)
    assert step.canceled == ("stop",) and step.closed[0].reason is OrderReason.LIST_CANCELED
    assert [(order.order_id, order.open_lots) for order in step.orders] == [("target", 6)]
    assert hit(step.orders, sold(9_800, 50, number=102)).triggered == ()


def test_a_trigger_of_one_leg_cancels_the_other() -> None:
    step = hit(bracket(), sold(9_900, 4))
    assert (step.triggered, step.canceled, step.fills) == (("stop",), ("target",), ())
    assert hit(step.orders, bought(10_200, 50, number=102)).fills == ()


def test_the_lower_trade_id_wins_the_race() -> None:
    up, down = bought(10_101, 50, number=102), sold(9_890, 50, number=103)
    first_up = hit(bracket(), up)
    assert [(order.order_id, order.status) for order in first_up.closed] == [("target", "FILLED"), ("stop", "CANCELED")]
    assert hit(bracket(), up, down).triggered == ()
    first_down = hit(bracket(), down._replace(trade_id=101), up)
    assert [order.order_id for order in first_down.orders] == ["stop"] and first_down.fills == ()


def test_a_trade_that_could_do_both_triggers_the_stop() -> None:
    """Legs that overlap: a sale at 100.00 and a stop at 100.00. The loss comes first."""
    legs = tuple(
        leg._replace(price_ticks=10_000) if leg.order_id == "target" else leg._replace(stop_ticks=10_000)
        for leg in bracket()
    )
    step = hit(legs, bought(10_000, 50))
    assert (step.triggered, step.canceled, step.fills) == (("stop",), ("target",), ())


def test_a_leg_refused_on_arrival_ends_the_list() -> None:
    legs = (
        sell(LIMIT_MAKER, 10, price=10_100, name="target", oco="l"),
        sell(STOP_LOSS, 10, stop=9_900, name="stop", number=2, oco="l"),
    )
    step = seen(legs, depth(last_ticks=9_899))
    assert step.orders == () and [order.status for order in step.closed] == ["REJECTED", "CANCELED"]


def test_lists_do_not_touch_other_orders() -> None:
    other = rested(sell(LIMIT, 1, price=10_005, name="other", number=3))
    assert [order.order_id for order in hit((*bracket(), other), sold(9_900, 4)).orders] == ["stop", "other"]


def test_a_fill_may_win_against_a_cancel_on_its_way() -> None:
    """Asked at 2,000, the cancel arrives at 2,050: a trade at 2,049 fills, one at 2,050 does not."""
    order = request_cancel(rested(buy(LIMIT, 10, price=10_000)), ts_ms=2_000, latency_ms=50)
    early = hit((order,), sold(10_000, 4, ts_ms=2_049))
    assert rows(early.fills)[0][2] == 4
    late = hit(early.orders, sold(10_000, 4, number=102, ts_ms=2_050))
    assert (late.fills, late.canceled) == ((), ("a",))
    assert (late.closed[0].status, late.closed[0].filled_lots) == (OrderStatus.CANCELED, 4)


def test_a_cancel_is_done_by_a_book_at_its_time() -> None:
    order = request_cancel(rested(buy(LIMIT, 10, price=10_000)), ts_ms=2_000, latency_ms=50)
    assert seen((order,), depth(ts_ms=2_049)).canceled == ()
    assert seen((order,), depth(ts_ms=2_050, age_ms=9_000)).canceled == ("a",)
    assert request_cancel(order, ts_ms=2_040, latency_ms=50) == order


def test_a_cancel_never_arrives_before_its_order() -> None:
    order = request_cancel(buy(LIMIT, 40, price=10_001), ts_ms=1_001, latency_ms=1)
    assert order.cancel_due_ms == BOOK_MS
    step = seen((order,), depth())
    assert rows(step.fills)[0][2] == 30 and step.closed[0].status is OrderStatus.CANCELED


def test_a_cancel_does_not_catch_a_stop_that_triggered_first() -> None:
    waiting = request_cancel(rested(sell(STOP_LOSS, 10, stop=9_900)), ts_ms=2_000, latency_ms=50)
    step = hit((waiting,), sold(9_900, 1, ts_ms=2_049))
    assert seen(step.orders, depth(ts_ms=2_060)).canceled == ()
    assert hit(step.orders, sold(9_890, 1, number=102, ts_ms=2_060)).canceled == ()
    assert len(seen(step.orders, depth(ts_ms=2_099)).fills) == 1
    assert hit((waiting,), sold(9_900, 1, ts_ms=2_050)).canceled == ("a",)


def test_canceling_one_leg_cancels_the_list() -> None:
    target, stop = bracket()
    target = request_cancel(target, ts_ms=2_000, latency_ms=50)
    step = seen((target, stop), depth(ts_ms=2_100))
    assert step.canceled == ("target", "stop") and step.orders == ()
