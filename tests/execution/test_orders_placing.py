"""Orders that are no market orders: what they leave when they are placed."""

from __future__ import annotations

from typing import Any

from django.test import Client

from apps.execution.models import Order
from tests.support.live_desk import LiveMarket, post


def place(client: Client, **members: Any) -> Any:
    body = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01", **members}
    return post(client, "/api/trading/paper/order", body)


def test_a_limit_below_the_market_rests(market: LiveMarket, local: Client) -> None:
    book = market.view.book("BTCUSDT")
    price = book.bids[2][0]
    answer = place(local, price=str(price / 1e8))
    assert answer.status_code == 201, answer.content
    print(answer.json())
    row = Order.objects.get()
    print(row.state)
    assert local.post(f"/api/audit/{answer.json()['auditId']}/replay").json()["matches"] is True
