"""Orders that rest: queue, fills by trades, cancels that travel, what is written of it, and its replay."""

from __future__ import annotations

from typing import Any

from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_get, audit_latest
from apps.execution.models import Fill
from apps.execution.reconciler import book_differences
from apps.web.roles import Role
from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.live_desk import client_of

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
