"""A desk whose market stands still until a test moves it: one book or one trade at a time, each met at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from apps.engine.decimals import e8_text
from apps.engine.values import E8
from apps.execution.account import AccountState, account_state
from apps.execution.matcher import Matcher
from apps.execution.models import Order
from apps.marketdata.exchange.frames import AggTradeEvent
from tests.support.live_desk import LiveMarket, post

SYMBOL = "BTCUSDT"
FIRST_TRADE = 1_000


class OrdersDesk:
    """Places orders as a person does and tells the matcher what the market does; prices are dollars from the mid."""

    def __init__(self, market: LiveMarket, client: Client) -> None:
        self.market, self.client = market, client
        self.matcher = Matcher(market.view)
        self.mid_e8 = int(market.prices[SYMBOL] * 100) * 10**6
        self.trade_id = FIRST_TRADE

    def price(self, dollars: float) -> str:
        """A price so many dollars above the mid; whole ones are levels of the book, 5 coins each."""
        return e8_text(self.mid_e8 + int(dollars * E8))

    def place(self, kind: str = "LIMIT", side: str = "BUY", quantity: str = "0.5", **members: Any) -> Any:
        """Ask for an order; numbers under `price` and `stop_price` are dollars from the mid."""
        key = members.pop("key", None)
        for name in ("price", "stopPrice", "stopLimitPrice"):
            if name in members:
                members[name] = self.price(members[name])
        body = {"symbol": SYMBOL, "side": side, "type": kind, "quantity": quantity, **members}
        self.market.resume()  # an order meets the first book after it, so there must be one
        try:
            return post(self.client, "/api/trading/paper/order", body, key=key)
        finally:
            self.market.pause()

    def trade(self, dollars: float, quantity: float, *, seller: bool = True, after_ms: int = 1) -> None:
        """One trade, met at once; `seller` is its aggressor."""
        self.matcher.on_trades(SYMBOL, [self.event(dollars, quantity, seller=seller, after_ms=after_ms)])
        self.matcher.match(SYMBOL, is_final=True)

    def event(self, dollars: float, quantity: float, *, seller: bool = True, after_ms: int = 1) -> AggTradeEvent:
        self.market.later(after_ms)
        self.trade_id += 1
        now_ms = self.market.view.now_ms()
        price, lots = self.mid_e8 + int(dollars * E8), int(quantity * E8)
        return AggTradeEvent(SYMBOL, now_ms, self.trade_id, price, lots, now_ms, seller)

    def book(self, *, after_ms: int = 100) -> None:
        """A new book at the market's price and depth, met at once."""
        self.market.later(after_ms)
        self.market.tick()
        self.matcher.on_update(SYMBOL)
        self.matcher.match(SYMBOL, is_final=True)

    def order(self, order_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.client.get(f"/api/trading/orders/{order_id}").json()
        return document

    def row(self) -> Order:
        return Order.objects.get()

    def account(self) -> AccountState:
        return account_state(using="default")


@pytest.fixture
def desk(market: LiveMarket, local: Client) -> Iterator[OrdersDesk]:
    """The desk, its market paused one second after the last bar closed."""
    market.pause()
    market.tick()
    yield OrdersDesk(market, local)
