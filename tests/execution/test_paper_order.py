"""POST /api/trading/paper/order and the orders it leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from apps.audit.selectors import audit_head
from apps.execution.models import Execution, Order
from apps.risk import services as risk
from apps.web.roles import Role
from tests.support.live_desk import CLOSED_MS, LiveMarket, buy, client_of, set_limits
from tests.support.shapes import ORDER, POSITION_CHANGE, REFUSAL, check


def test_a_market_order_fills_and_can_be_read(market: LiveMarket, local: Client) -> None:
    answer = buy(local, "0.25", clientOrderId="mine-1")
    order = answer.json()
    assert answer.status_code == 201
    check(order, {**ORDER, "position": POSITION_CHANGE})
    assert (order["status"], order["quantity"], order["filledQuantity"]) == ("FILLED", "0.25", "0.25")
    assert order["clientOrderId"] == "mine-1" and order["position"]["after"]["quantity"] == "0.25"
    read = local.get(f"/api/trading/orders/{order['orderId']}").json()
    (behind,) = [fill.pop("behind") for fill in read["fills"]]
    assert behind["levels"][0] == {"price": read["fills"][0]["price"], "quantity": "5", "taken": "0", "filled": "0.25"}
    check(read, ORDER)
    assert read == {name: value for name, value in order.items() if name != "position"}
    assert local.get("/api/trading/orders").json() == [read]
    assert local.get("/api/trading/orders?status=EXPIRED").json() == []
    assert local.get("/api/trading/orders?status=OPEN").json() == []
    assert local.get("/api/trading/orders?status=GONE").status_code == 400


def test_an_order_through_two_levels_names_both(market: LiveMarket, local: Client) -> None:
    set_limits(symbol_notional_cap_e8=10**14, max_notional_e8=10**14, order_cap_e8=0)
    order = buy(local, "7").json()
    assert [fill["quantity"] for fill in order["fills"]] == ["5", "2"]
    prices = [Decimal(fill["price"]) for fill in order["fills"]]
    assert prices[1] - prices[0] == 1
    assert [Decimal(fill["notional"]) for fill in order["fills"]] == [5 * prices[0], 2 * prices[1]]
    told = local.get(f"/api/trading/orders/{order['orderId']}").json()["fills"]
    for behind in (fill["behind"] for fill in told):
        assert [(level["quantity"], level["filled"]) for level in behind["levels"]] == [
            ("5", "5"), ("5", "2"), ("5", "0"), ("5", "0"), ("5", "0")
        ]  # fmt: skip


def test_an_order_deep_into_the_book_shows_every_level_it_took(market: LiveMarket, local: Client) -> None:
    """7 levels of 5 coins and 3 of the eighth, though five are shown of a book that was hardly touched."""
    set_limits(symbol_notional_cap_e8=10**15, max_notional_e8=10**15, order_cap_e8=0, collar_bps=9_000)
    market.prices["BTCUSDT"] = 1_000.0  # cheap enough for the cash
    market.tick()
    order = buy(local, "38").json()
    told = local.get(f"/api/trading/orders/{order['orderId']}").json()
    assert told["filledQuantity"] == "38" and len(told["fills"]) == 8
    levels = told["fills"][0]["behind"]["levels"]
    assert [level["filled"] for level in levels] == ["5"] * 7 + ["3"]
    assert [level["price"] for level in levels] == [fill["price"] for fill in told["fills"]]


def test_orders_in_the_same_and_in_later_minutes_are_all_kept(market: LiveMarket, local: Client) -> None:
    """A person's order rests on no view, so its id must follow from the minute it came in."""
    seen = set()
    for _ in range(3):
        for _ in range(2):
            answer = buy(local)
            assert answer.status_code == 201, answer.content
            seen.add(answer.json()["orderId"])
        market.later(60_000)
        market.tick()
    assert len(seen) == Order.objects.count() == Execution.objects.count() == 6


def test_a_cap_refuses_with_the_whole_reason(market: LiveMarket, local: Client) -> None:
    set_limits(symbol_notional_cap_e8=10**11)
    answer = buy(local, "0.5")
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    problem = answer.json()
    check(problem, REFUSAL)
    assert (problem["blocked"], problem["reason"]) == (True, "symbol_cap")
    assert local.get(f"/api/audit/{problem['auditId']}").json()["outcome"]["status"] == "blocked"
    assert not Order.objects.exists() and Execution.objects.get().status == "blocked"


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [("0.010005", "filter_lot_size"), ("9001", "filter_lot_size"), ("0.00001", "filter_min_notional")],
)
def test_the_exchanges_rules_reject(market: LiveMarket, local: Client, quantity: str, reason: str) -> None:
    set_limits(symbol_notional_cap_e8=2**53 - 1, max_notional_e8=2**53 - 1)
    answer = buy(local, quantity)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert not Order.objects.exists() and Execution.objects.get().status == "rejected"


@pytest.mark.parametrize("quantity", ["0.000001", "92233720368.54775807", "5000000000"])
def test_sizes_beyond_the_desk_are_refused_and_move_nothing(market: LiveMarket, local: Client, quantity: str) -> None:
    answer = buy(local, quantity)
    assert answer.status_code == 422, answer.content
    assert not Order.objects.exists()
    assert local.get("/api/trading/positions").json()[0]["quantity"] == "0"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("symbol", "NOPEUSDT"),
        ("symbol", None),
        ("side", "HOLD"),
        ("side", 1),
        ("type", "ICEBERG"),
        ("quantity", "0"),
        ("quantity", "-1"),
        ("quantity", "NaN"),
        ("quantity", "Infinity"),
        ("quantity", "1e3"),
        ("quantity", "0.000000001"),
        ("quantity", "1000000000000"),
        ("quantity", True),
        ("quantity", [1]),
        ("quantity", ""),
        ("timeInForce", "GTC"),
        ("timeInForce", "DAY"),
        ("price", "1"),
        ("stopPrice", "1"),
        ("stopLimitPrice", "1"),
        ("trailingDelta", 100),
        ("clientOrderId", "x" * 65),
        ("clientOrderId", "a b"),
        ("clientOrderId", "od0123456789abcdef012345"),
        ("leverage", "3"),
    ],
)
def test_bad_input_names_the_field_and_writes_nothing(
    market: LiveMarket, local: Client, member: str, value: Any
) -> None:
    before = audit_head()
    answer = buy(local, **{member: value}) if member != "quantity" else buy(local, value)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == [member]
    assert audit_head() == before


def test_nan_as_a_number_never_reaches_the_desk(market: LiveMarket, local: Client) -> None:
    for text in (b"NaN", b"Infinity", b"1e999"):
        body = b'{"symbol":"BTCUSDT","side":"BUY","type":"MARKET","quantity":' + text + b"}"
        answer = local.post("/api/trading/paper/order", data=body, content_type="application/json")
        assert answer.status_code == 400
    assert not Execution.objects.exists()


def test_a_clients_own_id_names_one_order_ever(market: LiveMarket, local: Client) -> None:
    assert buy(local, clientOrderId="a").status_code == 201
    before = audit_head()
    again = buy(local, clientOrderId="a")
    assert (again.status_code, again.json()["errors"][0]["field"]) == (400, "clientOrderId")
    assert audit_head() == before and Order.objects.count() == 1


def test_the_throttle_counts_orders_of_any_sixty_seconds(market: LiveMarket, local: Client) -> None:
    assert [buy(local).status_code for _ in range(7)] == [201] * 6 + [422]
    assert buy(local).json()["reason"] == "order_rate"
    assert buy(local, symbol="ETHUSDT").status_code == 201
    market.later(60_500)
    market.tick()
    assert buy(local).status_code == 201


def test_nobody_sells_what_is_not_held(market: LiveMarket, local: Client, settings: Any) -> None:
    buy(local, "0.1")
    before = (Order.objects.count(), audit_head())
    refused = buy(local, "0.11", side="SELL")
    assert (refused.status_code, refused.json()["reason"]) == (422, "free_balance")
    assert Order.objects.count() == before[0] and audit_head() != before[1], "a refusal is a decision like any other"
    assert buy(local, "0.1", side="SELL").status_code == 201
    settings.ALLOW_SHORT = True
    assert buy(local, "0.11", side="SELL").status_code == 201


def test_a_kill_refuses_people_too(market: LiveMarket, local: Client) -> None:
    assert buy(local).status_code == 201
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    for side in ("BUY", "SELL"):
        answer = buy(local, side=side)
        assert (answer.status_code, answer.json()["reason"]) == (422, "trading_halted")
    assert Order.objects.count() == 1


def test_reducing_passes_only_what_lowers_risk(market: LiveMarket, local: Client, settings: Any) -> None:
    assert buy(local, "0.1").status_code == 201
    risk.trading_state_set(state="REDUCING", actor="test", reason="drill", ts_ms=CLOSED_MS)
    assert buy(local, "0.1").json()["reason"] == "reduce_only"
    assert buy(local, "0.1", side="SELL").status_code == 201
    settings.ALLOW_SHORT = True
    assert buy(local, "0.1", side="SELL").json()["reason"] == "reduce_only"


def test_an_order_is_gone_before_anybody_can_cancel_it(market: LiveMarket, local: Client) -> None:
    order_id = buy(local).json()["orderId"]
    path = f"/api/trading/orders/{order_id}"
    assert local.delete(path).status_code == 401
    operator = client_of(Role.OPERATOR)
    assert operator.delete(path).status_code == 409
    assert operator.delete("/api/trading/orders/od0").status_code == 404
    assert local.get("/api/trading/orders/od0").status_code == 404
