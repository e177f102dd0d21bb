"""The guards that judge how the desk has behaved: losses, repetition, prices, exits. Each at its edge, by hand."""

from __future__ import annotations

import pytest

from apps.engine.desk import UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards import GUARDS
from apps.engine.guards.base import ALLOW, DENY, REDUCE, Finding
from tests.support.engine import CASH_E8, LOT_E8, MARK, build_desk, build_limits, build_order, holding


def says(name: str, desk: DeskRecord, order: OrderRecord | None = None, **limits: int) -> Finding:
    asked: LimitRecord = build_limits(**{"hard_drawdown_bps": 1_000, "daily_loss_bps": 300, **limits})
    return GUARDS.get(name).check(desk, order or build_order(), asked)


@pytest.mark.parametrize(
    ("name", "field", "limit", "allowed_bps"), [("hard_drawdown", "peak_e8", "hard_drawdown_bps", 1_000),
                                               ("daily_loss", "day_start_e8", "daily_loss_bps", 300)]
)  # fmt: skip
def test_losses_pass_at_their_limit_reduce_beyond_it_and_stay_latched(
    name: str, field: str, limit: str, allowed_bps: int
) -> None:
    at_limit = CASH_E8 - CASH_E8 // 10_000 * allowed_bps
    assert says(name, build_desk(equity_e8=at_limit)) == (ALLOW, allowed_bps, allowed_bps, 0)
    assert says(name, build_desk(equity_e8=at_limit - CASH_E8 // 10_000)).verdict == REDUCE
    latch = "is_hard_latched" if name == "hard_drawdown" else "is_day_latched"
    assert says(name, build_desk(**{latch: 1})).verdict == REDUCE
    assert says(name, build_desk(**{latch: 1}), **{limit: 0}).verdict == REDUCE, "a latch outlives its limit"
    assert says(name, build_desk(equity_e8=1), **{limit: 0}) == (ALLOW, 0, 0, 0)
    assert says(name, build_desk(unknown=UNKNOWN_MARK)).is_unknown == 1
    assert says(name, build_desk(**{field: 2 * CASH_E8})).verdict == REDUCE


def test_the_same_order_twenty_times_and_not_once_more() -> None:
    assert says("repeated_orders", build_desk(same_buys=19)) == (ALLOW, 20, 20, 0)
    assert says("repeated_orders", build_desk(same_buys=20)).verdict == DENY
    assert says("repeated_orders", build_desk(same_sells=20)).verdict == ALLOW, "the other side"
    assert says("repeated_orders", build_desk(is_repeat_latched=1)).verdict == DENY
    assert says("repeated_orders", build_desk(is_repeat_latched=1), repeat_orders=0).verdict == DENY
    person = build_order(is_router=0)
    assert says("repeated_orders", build_desk(same_buys=99, is_repeat_latched=1), person).verdict == ALLOW
    exit_order = build_order(side=-1, reduces_risk=1)
    assert says("repeated_orders", holding(5_000, is_repeat_latched=1), exit_order).verdict == ALLOW
    assert says("repeated_orders", build_desk(same_buys=-1)).is_unknown == 1


def test_a_price_two_percent_on_the_losing_side_passes_and_a_tick_more_does_not() -> None:
    edge = MARK * 102 // 100
    assert says("price_collar", build_desk(), build_order(limit_ticks=edge)) == (ALLOW, 200, 200, 0)
    assert says("price_collar", build_desk(), build_order(limit_ticks=edge + 1)).verdict == DENY
    assert says("price_collar", build_desk(), build_order(limit_ticks=1)).observed == 0, "a low bid can only be better"
    floor = MARK * 98 // 100
    assert says("price_collar", build_desk(), build_order(side=-1, limit_ticks=floor)).verdict == ALLOW
    assert says("price_collar", build_desk(), build_order(side=-1, limit_ticks=floor - 1)).verdict == DENY
    assert says("price_collar", build_desk(), build_order(price_ticks=edge + 1)).verdict == DENY, "a wide spread"
    cover = build_order(price_ticks=2 * MARK, reduces_risk=1)
    assert says("price_collar", holding(-5_000), cover).verdict == ALLOW, "an exit at the market"
    assert says("price_collar", build_desk(unknown=UNKNOWN_MARK)).is_unknown == 1
    assert says("price_collar", build_desk(), build_order(limit_ticks=2**62)).verdict == DENY


def test_one_order_s_notional_to_the_unit() -> None:
    worth = 1_000 * LOT_E8
    assert says("max_order", build_desk(), order_cap_e8=worth) == (ALLOW, worth, worth, 0)
    assert says("max_order", build_desk(), order_cap_e8=worth - 1).verdict == DENY
    assert says("max_order", build_desk(), order_cap_e8=0).verdict == ALLOW
    assert says("max_order", holding(5_000), build_order(side=-1, reduces_risk=1), order_cap_e8=1).verdict == ALLOW


def test_rules_older_than_a_day_are_not_traded_on() -> None:
    day = 86_400_000
    ages = {age: says("stale_filters", build_desk(filters_age_ms=age)).verdict for age in (0, day, day + 1, -1)}
    assert ages == {0: ALLOW, day: ALLOW, day + 1: DENY, -1: DENY}
    old = holding(5_000, filters_age_ms=day + 1)
    assert says("stale_filters", old, build_order(side=-1, reduces_risk=1)).verdict == ALLOW


def test_no_order_meets_one_of_ours() -> None:
    desk = build_desk(own_bid_ticks=MARK - 10, own_ask_ticks=MARK + 10)
    buys = {limit: says("self_cross", desk, build_order(limit_ticks=limit)).verdict for limit in (MARK + 9, MARK + 10)}
    sells = {
        limit: says("self_cross", desk, build_order(side=-1, limit_ticks=limit)).verdict
        for limit in (MARK - 9, MARK - 10)
    }
    assert buys == {MARK + 9: ALLOW, MARK + 10: DENY} and sells == {MARK - 9: ALLOW, MARK - 10: DENY}
    assert says("self_cross", desk, build_order(price_ticks=MARK + 10)).verdict == DENY, "a market order at its ask"
    assert says("self_cross", build_desk(), build_order(limit_ticks=2**62)).verdict == ALLOW, "nothing of ours rests"


@pytest.mark.parametrize(("since", "verdict"), [(-1, ALLOW), (0, REDUCE), (59_999, REDUCE), (60_000, ALLOW)])
def test_a_symbol_cools_down_after_its_exit(since: int, verdict: int) -> None:
    assert says("cooldown", build_desk(since_exit_ms=since), cooldown_ms=60_000).verdict == verdict
    assert says("cooldown", build_desk(since_exit_ms=since)).verdict == ALLOW, "off by default"


def test_the_third_stopped_exit_pauses_the_symbol() -> None:
    limits = {"stop_guard_trades": 3, "stop_guard_pause_ms": 1_000}
    paused = build_desk(stop_exits=3, since_stop_ms=999)
    assert says("stoploss_guard", paused, **limits) == (REDUCE, 3, 3, 0)
    assert says("stoploss_guard", paused._replace(since_stop_ms=1_000), **limits).verdict == ALLOW
    assert says("stoploss_guard", paused._replace(stop_exits=2), **limits).verdict == ALLOW
    assert says("stoploss_guard", paused).verdict == ALLOW, "off by default"


def test_trades_that_earn_too_little_lock_the_symbol() -> None:
    limits = {"low_profit_trades": 2, "low_profit_bps": 5, "low_profit_pause_ms": 1_000}
    locked = build_desk(closed_trades=2, closed_profit_bps=4, since_exit_ms=10)
    assert says("low_profit", locked, **limits) == (REDUCE, 4, 5, 0)
    assert says("low_profit", locked._replace(closed_profit_bps=5), **limits).verdict == ALLOW
    assert says("low_profit", locked._replace(closed_trades=1), **limits).verdict == ALLOW
    assert says("low_profit", locked._replace(since_exit_ms=1_000), **limits).verdict == ALLOW
    assert says("low_profit", locked).verdict == ALLOW, "off by default"


def test_open_orders_count_at_full_size() -> None:
    """2,000 held, 3,000 more being bought, 1,000 asked: 6,000 x 0.6; the open sells cannot make it more."""
    desk = holding(2_000, open_buy_lots=3_000, open_sell_lots=2_000)
    assert says("symbol_cap", desk).observed == 6_000 * LOT_E8
    assert says("global_cap", desk._replace(other_notional_e8=5)).observed == 6_000 * LOT_E8 + 5
    short = holding(-2_000, open_sell_lots=3_000)
    assert says("symbol_cap", short, build_order(side=-1)).observed == 6_000 * LOT_E8
    assert says("symbol_cap", build_desk(open_buy_lots=-1)).is_unknown == 1
    low_bid = build_order(limit_ticks=MARK // 2, price_ticks=MARK // 2)
    assert says("symbol_cap", holding(2_000), low_bid).observed == 3_000 * LOT_E8, "at the mark, not at the bid"


def test_what_open_orders_have_reserved_cannot_be_spent_twice() -> None:
    needed = 60_060_000_000
    exact = build_desk(cash_e8=needed + 7, locked_cash_e8=7)
    assert says("free_balance", exact) == (ALLOW, needed, needed, 0)
    assert says("free_balance", exact._replace(locked_cash_e8=8)).verdict == DENY
    assert says("free_balance", build_desk(locked_cash_e8=-1)).is_unknown == 1
    held = holding(1_500, open_sell_lots=500)
    sale = build_order(side=-1)
    assert says("free_balance", held, sale, allow_short=0).verdict == ALLOW
    assert says("free_balance", held._replace(open_sell_lots=501), sale, allow_short=0).verdict == DENY
    assert says("free_balance", build_desk(), sale, allow_short=0).verdict == DENY
    flatten = build_order(side=-1, lots=1_500, reduces_risk=1, is_flatten=1)
    assert says("free_balance", held, flatten, allow_short=0).verdict == ALLOW, "it cancels what rests"
