"""Orders of every type as they are placed: what meets the arrival book, what is refused and in whose words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_get, audit_head, audit_latest
from apps.execution.models import Execution, Fill, Order
from apps.execution.reconciler import book_differences
from apps.risk import services as risk
from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.live_desk import CLOSED_MS, buy, set_limits
from tests.support.shapes import ORDER, POSITION_CHANGE, check

__all__ = ["desk"]


def replays(audit_id: str) -> bool:
    return replay_record(audit_get(audit_id)).matches


def test_a_limit_through_the_book_pays_the_levels_and_rests_with_the_rest(desk: OrdersDesk) -> None:
    """Asks of 5 at +1 and +2: a buy of 7 limited at +1 takes 5 at +1 as taker and rests with 2, nobody ahead."""
    set_limits(symbol_notional_cap_e8=10**14, max_notional_e8=10**14, order_cap_e8=10**14)
    order = desk.place(quantity="7", price=1).json()
    check(order, {**ORDER, "position": POSITION_CHANGE})
    assert (order["status"], order["filledQuantity"]) == ("PARTIALLY_FILLED", "5")
    assert [(f["quantity"], f["price"], f["rule"], f["liquidity"]) for f in order["fills"]] == [
        ("5", desk.price(1), "depth", "taker")
    ]
    assert order["waiting"] == {"phase": "resting", "queueAhead": "0", "isTriggered": False, "cancelDueAt": None}
    execution = Execution.objects.get()
    assert (execution.status, execution.reason) == ("partial", None) and replays(execution.audit_id)
    assert desk.account().position("BTCUSDT").quantity_e8 == 5 * 10**8 and book_differences() == []


@pytest.mark.parametrize(
    ("tif", "quantity", "status", "filled", "reason"),
    [
        ("IOC", "7", "EXPIRED", "5", "limit_not_met"),
        ("FOK", "7", "EXPIRED", "0", "not_whole"),
        ("FOK", "5", "FILLED", "5", None),
    ],
)
def test_ioc_takes_what_there_is_and_fok_all_or_nothing(
    desk: OrdersDesk, tif: str, quantity: str, status: str, filled: str, reason: str | None
) -> None:
    set_limits(symbol_notional_cap_e8=10**14, max_notional_e8=10**14, order_cap_e8=10**14)
    order = desk.place(quantity=quantity, price=1, timeInForce=tif).json()
    assert (order["status"], order["filledQuantity"], order["reason"]) == (status, filled, reason)
    assert order["waiting"] is None and replays(order["auditId"]) and book_differences() == []


@pytest.mark.parametrize(
    ("order", "reason", "words"),
    [
        ({"kind": "LIMIT_MAKER", "price": 1}, "would_take", "Order would immediately match and take."),
        ({"kind": "STOP_LOSS", "stopPrice": -1}, "would_trigger", "Stop price would trigger immediately."),
        ({"kind": "TAKE_PROFIT", "stopPrice": 1}, "would_trigger", "Stop price would trigger immediately."),
        ({"price": -2.005}, "filter_price", "Filter failure: PRICE_FILTER."),
        ({"price": -2, "quantity": "0.00001"}, "filter_min_notional", "Filter failure: NOTIONAL."),
        ({"price": -2, "quantity": "0.010005"}, "filter_lot_size", "Filter failure: LOT_SIZE."),
        (
            {"kind": "OCO", "price": 1, "stopPrice": 2},
            "list_prices",
            "The relationship of the prices for the orders is not correct.",
        ),
    ],
)
def test_what_the_exchange_refuses_is_said_in_its_words(
    desk: OrdersDesk, order: dict[str, Any], reason: str, words: str
) -> None:
    answer = desk.place(**order)
    assert (answer.status_code, answer.json()["reason"], answer.json()["detail"]) == (422, reason, words)
    assert not Order.objects.exists() and Execution.objects.get().status == "rejected"
    assert replays(answer.json()["auditId"])


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({}, "price"),
        ({"kind": "STOP_LOSS"}, "stopPrice"),
        ({"kind": "STOP_LOSS_LIMIT", "stopPrice": 5}, "price"),
        ({"kind": "TRAILING_STOP"}, "trailingDelta"),
        ({"kind": "TRAILING_STOP", "trailingDelta": 10_000}, "trailingDelta"),
        ({"kind": "TRAILING_STOP", "trailingDelta": 0}, "trailingDelta"),
        ({"price": -2, "stopPrice": 5}, "stopPrice"),
        ({"price": -2, "trailingDelta": 5}, "trailingDelta"),
        ({"price": -2, "stopLimitPrice": 5}, "stopLimitPrice"),
        ({"kind": "LIMIT_MAKER", "price": -2, "timeInForce": "IOC"}, "timeInForce"),
        ({"kind": "STOP_LOSS", "stopPrice": 5, "timeInForce": "GTC"}, "timeInForce"),
        ({"kind": "OCO", "price": -2}, "stopPrice"),
        ({"kind": "OCO", "stopPrice": 5}, "price"),
        ({"kind": "OCO", "price": -2, "stopPrice": 5, "clientOrderId": "mine"}, "clientOrderId"),
    ],
)
def test_a_shape_that_cannot_be_used_names_its_field(desk: OrdersDesk, order: dict[str, Any], field: str) -> None:
    before = audit_head()
    answer = desk.place(**order)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == [field] and audit_head() == before


def test_open_orders_count_at_full_size(desk: OrdersDesk) -> None:
    """A cap of 40,000 holds one order of 0.5 at some 59,000, not two, though the first has not filled."""
    set_limits(symbol_notional_cap_e8=40_000 * 10**8)
    assert desk.place(price=-2).status_code == 201
    refused = desk.place(price=-2)
    assert (refused.status_code, refused.json()["reason"]) == (422, "symbol_cap")
    assert Order.objects.count() == 1


def test_an_order_that_would_meet_our_own_is_refused(desk: OrdersDesk) -> None:
    assert desk.place("MARKET").status_code == 201
    assert desk.place(price=-2).status_code == 201
    refused = desk.place(side="SELL", price=-3)
    assert (refused.status_code, refused.json()["reason"]) == (422, "self_cross")


def test_depth_we_have_taken_is_gone_until_the_book_says_otherwise(desk: OrdersDesk) -> None:
    """4 of the 5 coins at +1 are ours; the next order finds 1 there and goes on at +2. A new size makes it whole."""
    set_limits(symbol_notional_cap_e8=10**14, max_notional_e8=10**14, order_cap_e8=10**14)
    desk.place("MARKET", quantity="4")
    second = desk.place("MARKET", quantity="2").json()
    third = desk.place(quantity="2", price=2).json()
    desk.market.depth = 6.0
    fresh = desk.place("MARKET", quantity="2").json()
    taken = [[(Decimal(f["quantity"]), f["price"]) for f in order["fills"]] for order in (second, third, fresh)]
    assert taken == [[(1, desk.price(1)), (1, desk.price(2))], [(2, desk.price(2))], [(2, desk.price(1))]]
    records = [record.audit_id for record in audit_latest(20) if record.kind == "execution.decision"]
    assert len(records) == 4 and all(map(replays, records)) and book_differences() == []


def test_the_same_key_gives_the_same_bytes_though_the_order_went_on(desk: OrdersDesk) -> None:
    first = desk.place(price=-2, key="k")
    desk.trade(-3, 9)
    assert desk.order(first.json()["orderId"])["status"] == "FILLED"
    again = desk.place(price=-2, key="k")
    assert (again.status_code, again.content) == (201, first.content) and again["Idempotency-Replayed"] == "true"
    assert Order.objects.count() == 1


def test_a_halted_desk_takes_no_order(desk: OrdersDesk) -> None:
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    assert desk.place(price=-2).json()["reason"] == "trading_halted" and not Order.objects.exists()


def test_without_a_book_only_an_exit_may_wait_for_one(desk: OrdersDesk) -> None:
    assert desk.place("MARKET").status_code == 201
    desk.market.later(60_000)
    body = {"symbol": "BTCUSDT", "type": "LIMIT", "quantity": "0.5"}
    refused = buy(desk.client, **{**body, "side": "BUY", "price": desk.price(-2)})
    assert (refused.status_code, refused.json()["reason"]) == (422, "data_stale")
    waiting = buy(desk.client, **{**body, "side": "SELL", "price": desk.price(2)})
    assert (waiting.status_code, waiting.json()["reason"]) == (201, "data_stale")
    assert waiting.json()["waiting"]["phase"] == "traveling" and waiting.json()["arrivedAt"] is None
    desk.book()
    assert desk.order(waiting.json()["orderId"])["waiting"]["phase"] == "resting"
    assert Fill.objects.count() == 1
