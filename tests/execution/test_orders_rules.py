"""The exchange's rules on placing: an order that breaks one is refused with 422 in the exchange's words."""

from __future__ import annotations

from typing import Any

from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_get, audit_latest
from apps.engine.order_filters import OrderRules, Standing
from apps.engine.order_record import placing_back
from apps.engine.stream_events import KlineEvent
from apps.engine.values import E8
from apps.execution.models import Order
from apps.marketdata.services import filters_record
from tests.execution.orders_desk import SYMBOL, OrdersDesk, desk
from tests.support.bars import FILTERS
from tests.support.live_desk import set_limits

__all__ = ["desk"]


def set_rules(desk: OrdersDesk, *, filters: Any = FILTERS, **rules: int) -> None:
    filters_record(symbol=SYMBOL, filters=filters, orders=OrderRules(**rules), ts_ms=desk.market.view.now_ms())
    set_limits(symbol_notional_cap_e8=10**15, max_notional_e8=10**15, order_cap_e8=10**15, collar_bps=9_000)


def set_average(desk: OrdersDesk, dollars: int, *, opened_ms_ago: int = 120_000) -> None:
    """One closed bar whose high, low and close average so many dollars above the mid."""
    now_ms, price = desk.market.view.now_ms(), desk.mid_e8 + dollars * E8
    opened = now_ms - opened_ms_ago
    bar = KlineEvent(
        *(SYMBOL, now_ms, "1m", opened, opened + 59_999, price, price + 3 * E8, price - 3 * E8, price, 7 * E8, 9, True)
    )
    desk.market.view.apply(bar)


def refused(answer: Any) -> tuple[int, str, str]:
    body = answer.json()
    assert replay_record(audit_get(body["auditId"])).matches
    return answer.status_code, body["reason"], body["detail"]


def replays_newest() -> bool:
    return all(replay_record(audit_get(r.audit_id)).matches for r in audit_latest(20) if r.kind == "execution.decision")


def test_a_price_outside_the_filter_is_refused(desk: OrdersDesk) -> None:
    """From 100 below the mid to 50 above it, both ends allowed."""
    set_rules(desk, min_price_e8=desk.mid_e8 - 100 * E8, max_price_e8=desk.mid_e8 + 50 * E8)
    words = (422, "filter_price", "Filter failure: PRICE_FILTER.")
    assert refused(desk.place(price=-100.01)) == words
    assert refused(desk.place(side="BUY", kind="STOP_LOSS", stopPrice=50.01)) == words
    assert not Order.objects.exists()
    assert desk.place(price=-100).status_code == 201
    assert desk.place(kind="STOP_LOSS", stopPrice=50).status_code == 201
    assert replays_newest()


def test_percent_bounds_hold_for_the_side_and_count_from_the_average_price(desk: OrdersDesk) -> None:
    """The last minutes averaged 1,000 above the mid; a buy may lie from 0.99 of that, a sale up to 1.01."""
    set_rules(
        desk, bid_up_e8=2 * E8, bid_down_e8=99_000_000, ask_up_e8=101_000_000, ask_down_e8=1, is_by_side=1,
        avg_price_mins=5,
    )  # fmt: skip
    set_average(desk, 1_000)
    average = desk.mid_e8 + 1_000 * E8
    tick = FILTERS.tick_e8
    lowest = -(-average * 99 // 100 // tick) * tick  # the lowest whole tick within the bound
    words = (422, "filter_percent_price", "Filter failure: PERCENT_PRICE_BY_SIDE.")
    assert refused(desk.place(price=(lowest - tick - desk.mid_e8) / E8)) == words
    assert desk.place(price=(lowest - desk.mid_e8) / E8).status_code == 201
    assert desk.place("MARKET").status_code == 201
    highest = average * 101 // 100 // tick * tick
    assert refused(desk.place(side="SELL", price=(highest + tick - desk.mid_e8) / E8)) == words
    assert desk.place(side="SELL", price=(highest - desk.mid_e8) / E8).status_code == 201
    assert replays_newest()


def test_the_last_price_is_the_reference_where_no_bar_is_recent(desk: OrdersDesk) -> None:
    """A bar of nine minutes ago does not count; the last trade was at the mid, and 0.999 of it is the bound."""
    set_rules(desk, bid_down_e8=99_900_000, avg_price_mins=5)
    set_average(desk, 1_000, opened_ms_ago=540_000)
    desk.trade(0, 0.01)
    lowest = -(-desk.mid_e8 * 999 // 1000 // FILTERS.tick_e8) * FILTERS.tick_e8
    assert desk.place(price=(lowest - desk.mid_e8) / E8).status_code == 201
    below = (lowest - FILTERS.tick_e8 - desk.mid_e8) / E8
    assert refused(desk.place(price=below)) == (422, "filter_percent_price_alike", "Filter failure: PERCENT_PRICE.")


def test_a_trail_outside_its_bounds_is_refused(desk: OrdersDesk) -> None:
    set_rules(desk, min_trail_below_bps=20, max_trail_below_bps=500)
    assert desk.place("MARKET").status_code == 201
    words = (422, "filter_trailing_delta", "Filter failure: TRAILING_DELTA.")
    for delta in (19, 501):
        assert refused(desk.place("TRAILING_STOP", side="SELL", trailingDelta=delta)) == words
    assert desk.place("TRAILING_STOP", side="SELL", trailingDelta=20).status_code == 201


def test_only_so_many_orders_may_be_open_of_a_symbol(desk: OrdersDesk) -> None:
    """Three at most, one of them with a trigger. A canceled order makes room again; market orders never rest."""
    set_rules(desk, max_orders=3, max_algo_orders=1)
    first = desk.place(price=-2)
    assert first.status_code == 201 and desk.place("STOP_LOSS", stopPrice=9).status_code == 201
    words = (422, "filter_max_num_algo_orders", "Filter failure: MAX_NUM_ALGO_ORDERS.")
    assert refused(desk.place("STOP_LOSS", stopPrice=8)) == words
    words = (422, "filter_max_num_orders", "Filter failure: MAX_NUM_ORDERS.")
    assert refused(desk.place("OCO", price=-3, stopPrice=9)) == words
    assert desk.place(price=-3).status_code == 201
    assert refused(desk.place(price=-4)) == words
    assert desk.place("MARKET").status_code == 201
    assert replays_newest()


def test_notional_bounds_exempt_market_orders_where_the_exchange_says_so(desk: OrdersDesk) -> None:
    """minNotional 5,000 and maxNotional 20,000, neither applied to MARKET: 0.05 and 0.5 coins at some 59,000."""
    exempt = FILTERS._replace(min_notional_e8=0, max_notional_e8=0)
    set_rules(desk, filters=exempt, priced_min_e8=5_000 * E8, priced_max_e8=20_000 * E8)
    words = (422, "filter_min_notional", "Filter failure: NOTIONAL.")
    assert refused(desk.place(price=-2, quantity="0.05")) == words
    assert refused(desk.place(price=-2, quantity="0.5")) == words
    assert desk.place(price=-2, quantity="0.2").status_code == 201
    assert desk.place("MARKET", quantity="0.05").status_code == 201
    assert desk.place("MARKET", quantity="0.5").status_code == 201


def test_the_record_holds_the_rules_and_what_they_were_held_against(desk: OrdersDesk) -> None:
    """A record from before has neither and is judged without them, as it was then."""
    rules = {"max_orders": 3, "bid_up_e8": 2 * E8, "avg_price_mins": 5, "is_by_side": 1}
    set_rules(desk, **rules)
    set_average(desk, 1_000)
    first, second = desk.place(price=-2).json(), desk.place(price=-3).json()
    fields = audit_get(second["auditId"]).content["inputs"]["placing"]
    reference = desk.mid_e8 + 1_000 * E8
    assert fields["standing"] == {"reference_e8": str(reference), "open_orders": 1}
    assert fields["rules"] == {"max_orders": 3, "bid_up_e8": str(2 * E8), "avg_price_mins": 5, "is_by_side": 1}
    placing = placing_back(fields)
    assert placing is not None and placing.rules == OrderRules(**rules)
    assert placing.standing == Standing(reference, 1, 0) and first["auditId"] != second["auditId"]
    before = placing_back({name: value for name, value in fields.items() if name not in ("rules", "standing")})
    assert before is not None and (before.rules, before.standing) == (OrderRules(), Standing())
