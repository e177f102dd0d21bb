"""Orders that rest: queue, fills by trades, cancels that travel, what is written of it, and its replay."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_get, audit_latest
from apps.execution.matcher import Matcher
from apps.execution.models import ClosedTrade, Fill
from apps.execution.reconciler import book_differences
from apps.marketdata.exchange.frames import AggTradeEvent
from apps.marketdata.services import filters_record
from apps.risk import services as risk
from apps.web.roles import Role
from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.bars import FILTERS
from tests.support.live_desk import CLOSED_MS, client_of

__all__ = ["desk"]


def replays(audit_id: str) -> bool:
    return replay_record(audit_get(audit_id)).matches


def test_a_limit_rests_and_trades_fill_it_after_the_queue(desk: OrdersDesk) -> None:
    """5 coins are displayed at our price. A sale of 5.2 serves them first: 0.2 is ours, the next 0.3 completes us."""
    placed = desk.place(price=-2).json()
    assert (placed["status"], placed["fills"], placed["waiting"]["queueAhead"]) == ("NEW", [], "5")
    order_id = placed["orderId"]
    desk.trade(-2, 4)
    assert desk.order(order_id)["waiting"]["queueAhead"] == "1"
    desk.trade(-2, 1.2)
    now = desk.order(order_id)
    assert (now["status"], now["filledQuantity"]) == ("PARTIALLY_FILLED", "0.2")
    desk.trade(-2, 9)
    done = desk.order(order_id)
    assert (done["status"], done["filledQuantity"], done["waiting"]) == ("FILLED", "0.5", None)
    assert [(f["quantity"], f["rule"], f["liquidity"], f["tradeId"]) for f in done["fills"]] == [
        ("0.2", "queue", "maker", 1002), ("0.3", "queue", "maker", 1003),
    ]  # fmt: skip
    assert all(replays(f["auditId"]) for f in done["fills"]) and replays(placed["auditId"])
    assert [f["behind"] for f in done["fills"]][0] == {
        "kind": "trade", "tradeId": 1002, "price": desk.price(-2), "quantity": "1.2", "aggressor": "SELL",
        "queueAhead": "1", "ts": done["fills"][0]["ts"],
    }  # fmt: skip
    page = desk.client.get(f"/orders/{order_id}").content.decode()
    assert "trade 1002 of 1.2" in page and "the queue ahead had traded" in page
    assert "Accepted and waiting" in desk.client.get(f"/decisions/{placed['auditId']}").content.decode()
    assert desk.client.get("/orders/od0").status_code == 404
    state = desk.account()
    notional = 5 * (desk.mid_e8 - 2 * 10**8) // 10
    fees = sum(row.fee_e8 for row in Fill.objects.all())
    assert state.account.cash_e8 == state.account.initial_cash_e8 - notional - fees
    assert state.position("BTCUSDT").quantity_e8 == 50_000_000 and state.account.fees_e8 == fees
    assert book_differences() == []


def test_a_cancel_travels_and_then_ends_the_order(desk: OrdersDesk, settings: Any) -> None:
    settings.ENTRY_LATENCY_MS = 50
    operator = client_of(Role.OPERATOR)
    order_id = desk.place(price=-2).json()["orderId"]
    desk.market.tick()
    path = f"/api/trading/orders/{order_id}"
    answer = operator.delete(path)
    assert (answer.status_code, answer.json()["status"]) == (202, "NEW"), answer.content
    assert answer.json()["waiting"]["cancelDueAt"] is not None
    head = audit_latest(1)[0]
    assert head.kind == "execution.cancel_request" and head.content["orderIds"] == [order_id]
    assert operator.delete(path).status_code == 202 and audit_latest(1)[0] == head
    desk.book(after_ms=60)
    assert (desk.order(order_id)["status"], desk.order(order_id)["reason"]) == ("CANCELED", "canceled")
    assert audit_latest(1)[0].kind == "execution.fill" and replays(audit_latest(1)[0].audit_id)
    assert operator.delete(path).status_code == 409


def test_canceling_one_leg_of_an_oco_cancels_the_list(desk: OrdersDesk) -> None:
    operator = client_of(Role.OPERATOR)
    desk.place("MARKET")
    legs = [leg["orderId"] for leg in desk.place("OCO", "SELL", price=3, stopPrice=-3).json()["orders"]]
    assert operator.delete(f"/api/trading/orders/{legs[0]}").status_code == 202
    assert audit_latest(1)[0].content["orderIds"] == legs
    desk.book()
    assert [desk.order(leg)["status"] for leg in legs] == ["CANCELED", "CANCELED"]


def test_a_fill_may_win_the_race_against_a_cancel(desk: OrdersDesk, settings: Any) -> None:
    operator = client_of(Role.OPERATOR)
    order_id = desk.place(price=-2).json()["orderId"]
    settings.ENTRY_LATENCY_MS = 5_000
    assert operator.delete(f"/api/trading/orders/{order_id}").status_code == 202
    desk.trade(-3, 0.2)
    settings.ENTRY_LATENCY_MS = 0
    desk.book(after_ms=5_100)
    order = desk.order(order_id)
    assert (order["status"], order["filledQuantity"]) == ("CANCELED", "0.2") and book_differences() == []


def test_a_stop_waits_for_its_trade_and_then_sells_at_the_market(desk: OrdersDesk, settings: Any) -> None:
    """Bought 0.5 at +1. A trade at -2 triggers the stop; it travels and meets the best bid at -1."""
    desk.place("MARKET")
    stop = desk.place("STOP_LOSS", "SELL", stopPrice=-2).json()
    assert (stop["status"], stop["waiting"]["phase"]) == ("NEW", "armed")
    desk.trade(-1, 50)
    assert desk.order(stop["orderId"])["waiting"]["isTriggered"] is False
    desk.trade(-2, 0.1)
    triggered = desk.order(stop["orderId"])
    assert (triggered["waiting"]["phase"], triggered["waiting"]["isTriggered"]) == ("traveling", True)
    assert replays(audit_latest(1)[0].audit_id) and audit_latest(1)[0].content["step"]["triggered"] == [stop["orderId"]]
    desk.book()
    done = desk.order(stop["orderId"])
    assert (done["status"], done["fills"][0]["price"], done["fills"][0]["rule"]) == ("FILLED", desk.price(-1), "depth")
    assert replays(done["fills"][0]["auditId"]) and book_differences() == []
    trade = ClosedTrade.objects.get()
    assert trade.is_stop and desk.account().position("BTCUSDT").quantity_e8 == 0


def test_a_trailing_stop_follows_the_market_up_and_sells_on_the_way_down(desk: OrdersDesk) -> None:
    """Its extreme is +100 over 59,081: 10 bps below is some 59 dollars lower."""
    desk.place("MARKET")
    stop = desk.place("TRAILING_STOP", "SELL", trailingDelta=10).json()
    desk.trade(100, 0.1, seller=False)
    desk.trade(60, 0.1)
    assert desk.order(stop["orderId"])["waiting"]["isTriggered"] is False
    desk.trade(30, 0.1)
    assert desk.order(stop["orderId"])["waiting"]["isTriggered"] is True
    desk.book()
    assert desk.order(stop["orderId"])["status"] == "FILLED" and book_differences() == []


def test_one_leg_of_an_oco_ends_the_other_in_the_same_transaction(desk: OrdersDesk) -> None:
    desk.place("MARKET")
    placed = desk.place("OCO", "SELL", price=3, stopPrice=-3).json()
    limit, stop = placed["orders"]
    assert limit["listId"] == stop["listId"] == placed["listId"]
    assert (limit["type"], stop["type"]) == ("LIMIT_MAKER", "STOP_LOSS")
    desk.trade(4, 0.2, seller=False)
    assert (desk.order(limit["orderId"])["status"], desk.order(stop["orderId"])["reason"]) == (
        "PARTIALLY_FILLED", "list_canceled",
    )  # fmt: skip
    record = audit_latest(1)[0]
    assert record.content["step"]["canceled"] == [stop["orderId"]] and replays(record.audit_id)
    desk.trade(4, 9, seller=False)
    assert desk.order(limit["orderId"])["status"] == "FILLED" and book_differences() == []


def test_a_halted_desk_fills_nothing_and_cancels_what_is_open(desk: OrdersDesk) -> None:
    order_id = desk.place(price=-2).json()["orderId"]
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    desk.trade(-5, 100)
    order = desk.order(order_id)
    assert (order["status"], order["fills"]) == ("CANCELED", [])
    record = audit_latest(1)[0]
    assert record.kind == "execution.cancel" and record.content["reason"] == "trading is HALTED"


def test_a_halt_is_seen_though_nothing_trades(desk: OrdersDesk) -> None:
    order_id = desk.place(price=-2).json()["orderId"]
    desk.matcher.step()
    assert desk.order(order_id)["status"] == "NEW"
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    matcher = Matcher(desk.market.view)
    matcher.step()
    assert desk.order(order_id)["status"] == "CANCELED"


def test_reducing_leaves_only_orders_that_reduce(desk: OrdersDesk) -> None:
    desk.place("MARKET")
    opening = desk.place(price=-2).json()["orderId"]
    closing = desk.place("LIMIT", "SELL", price=2).json()["orderId"]
    risk.trading_state_set(state="REDUCING", actor="test", reason="drill", ts_ms=CLOSED_MS)
    Matcher(desk.market.view).step()
    assert (desk.order(opening)["status"], desk.order(closing)["status"]) == ("CANCELED", "NEW")


def test_a_restart_goes_on_with_the_queue_and_the_missed_trades(desk: OrdersDesk) -> None:
    """4 of 5 coins ahead had traded; the process ends, 0.9 and 0.4 trade meanwhile: 0.3 of the second is ours."""
    order_id = desk.place(price=-2).json()["orderId"]
    desk.trade(-2, 4)
    missed = [desk.event(-2, 0.9), desk.event(-2, 0.4)]
    live = desk.event(-2, 0.1)
    asked: list[tuple[str, int]] = []

    def fetch(symbol: str, from_id: int) -> list[AggTradeEvent]:
        asked.append((symbol, from_id))
        return [*missed, live]

    matcher = Matcher(desk.market.view)
    matcher.on_trades("BTCUSDT", [live])  # the stream is already there, and brings one of them again
    assert matcher.recover(fetch) == {"BTCUSDT": 3} and asked == [("BTCUSDT", 1002)]
    order = desk.order(order_id)
    assert [(f["quantity"], f["tradeId"]) for f in order["fills"]] == [("0.3", 1003), ("0.1", 1004)]
    matcher.on_trades("BTCUSDT", [live])
    matcher.match("BTCUSDT", is_final=True)
    assert desk.order(order_id) == order and book_differences() == []


def test_what_is_quiet_is_written_four_times_a_second_and_loses_nothing(desk: OrdersDesk) -> None:
    """Forty trades of 0.1 in front of us within one pass window: few writes, and all of them count."""
    order_id = desk.place(price=-2).json()["orderId"]
    desk.matcher.match("BTCUSDT", is_final=True)
    writes = 0
    for _ in range(40):
        before = desk.row().updated_ts_ms
        desk.matcher.on_trades("BTCUSDT", [desk.event(-2, 0.1)])
        desk.matcher.match("BTCUSDT")
        writes += desk.row().updated_ts_ms != before
    assert writes < 20
    desk.matcher.match("BTCUSDT", is_final=True)
    assert desk.order(order_id)["waiting"]["queueAhead"] == "1"


def test_a_stale_book_is_told_and_a_cancel_still_arrives(desk: OrdersDesk) -> None:
    operator = client_of(Role.OPERATOR)
    order_id = desk.place(price=-2).json()["orderId"]
    desk.market.later(60_000)
    assert operator.delete(f"/api/trading/orders/{order_id}").status_code == 202
    Matcher(desk.market.view).step()
    assert desk.order(order_id)["status"] == "CANCELED"


def test_the_thread_follows_books_and_trades_by_itself(desk: OrdersDesk) -> None:
    """Books from the view, trades as the reader hands them on; the order fills and the desk stays balanced."""
    view = desk.market.view
    stop_books = view.on_update(desk.matcher.on_update)
    thread = threading.Thread(target=desk.matcher.run, daemon=True)
    thread.start()
    try:
        order_id = desk.place(price=-2).json()["orderId"]
        desk.market.resume()
        desk.matcher.on_trades("BTCUSDT", [desk.event(-3, 0.2, after_ms=20), desk.event(-3, 0.4, after_ms=20)])
        deadline = time.monotonic() + 20
        while desk.row().is_open and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        stop_books()
        desk.matcher.stop()
        thread.join()
    fills = desk.order(order_id)["fills"]
    assert [(fill["quantity"], fill["rule"]) for fill in fills] == [("0.2", "through"), ("0.3", "through")]
    assert book_differences() == []


@pytest.mark.parametrize(("tick_e8", "step_e8", "status"), [(500_000, 2_000, "NEW"), (2_000_000, 1_000, "CANCELED")])
def test_a_changed_tick_converts_exactly_or_cancels(desk: OrdersDesk, tick_e8: int, step_e8: int, status: str) -> None:
    desk.place(price=-2)
    before = desk.row()
    rules = FILTERS._replace(tick_e8=tick_e8, step_e8=step_e8, min_qty_e8=step_e8)
    filters_record(symbol="BTCUSDT", filters=rules, ts_ms=desk.market.view.now_ms())
    desk.trade(-3, 0.1)
    assert desk.row().filled_e8 == 0  # nothing is matched in units that nobody means any more
    Matcher(desk.market.view).step()
    after = desk.row()
    assert (after.status, after.price_e8, after.quantity_e8) == (status, before.price_e8, before.quantity_e8)
    assert audit_latest(1)[0].kind == "execution.cancel"
    if status == "NEW":
        assert after.state["price_ticks"] == before.state["price_ticks"] * 2
        assert after.state["queue_ahead_lots"] * 2 == before.state["queue_ahead_lots"]
        desk.trade(-3, 0.1)
        assert desk.row().filled_e8 == 10_000_000 and book_differences() == []
