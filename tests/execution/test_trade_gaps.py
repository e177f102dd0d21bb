"""Trades that do not reach the matcher: seen by their ids, asked for, and stated when nobody has them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from apps.audit.selectors import audit_latest
from apps.engine.errors import Unavailable
from apps.execution import matcher as matching_thread
from apps.execution.models import Order
from apps.execution.reconciler import book_differences
from apps.execution.trade_gaps import GAP_KIND, Hole, holes
from apps.marketdata.exchange.frames import AggTradeEvent
from apps.marketdata.hub import Hub
from apps.marketdata.redis_bridge import _take
from tests.execution.orders_desk import OrdersDesk, desk

__all__ = ["desk"]
BTC = "BTCUSDT"


class Exchange:
    """Every trade there was, by id; `is_away` and `lost` are what cannot be had of it."""

    def __init__(self) -> None:
        self.trades: list[AggTradeEvent] = []
        self.asked: list[int] = []
        self.is_away = False
        self.lost: set[int] = set()

    def __call__(self, symbol: str, from_id: int) -> list[AggTradeEvent]:
        self.asked.append(from_id)
        if self.is_away:
            raise Unavailable("away")
        return [t for t in self.trades if t.trade_id >= from_id and t.trade_id not in self.lost]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The matcher's steady clock, moved by hand."""
    now = [1_000.0]
    monkeypatch.setattr(matching_thread, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


@pytest.fixture
def exchange(desk: OrdersDesk, clock: Callable[[float], None]) -> Exchange:
    """What the desk's matcher asks; it has met one trade."""
    found = Exchange()
    desk.matcher.recover(found)
    return found


def happen(desk: OrdersDesk, exchange: Exchange, dollars: float, quantity: float) -> AggTradeEvent:
    exchange.trades.append(desk.event(dollars, quantity))
    return exchange.trades[-1]


def deliver(desk: OrdersDesk, trades: list[AggTradeEvent]) -> None:
    desk.matcher.on_trades(BTC, trades)
    desk.matcher.match(BTC, is_final=True)


def test_holes() -> None:
    assert holes(10, [11, 12, 15, 16, 14]) == [Hole(13, 13)]
    assert holes(10, [13, 12, 12, 20]) == [Hole(11, 11), Hole(14, 19)]
    assert holes(-1, [5, 9]) == [Hole(6, 8)] and holes(10, []) == [] and holes(10, [3, 10]) == []


def test_trades_left_out_are_fetched_and_met_in_their_order(desk: OrdersDesk, exchange: Exchange) -> None:
    """5 coins are ahead. The trade of 5.2 does not arrive, the one of 0.1 after it does."""
    order_id = desk.place(price=-2).json()["orderId"]
    deliver(desk, [happen(desk, exchange, -2, 0.1)])
    lost, seen = happen(desk, exchange, -2, 5.2), happen(desk, exchange, -2, 0.1)
    deliver(desk, [seen])
    assert exchange.asked == [lost.trade_id]
    assert [(f["quantity"], f["tradeId"]) for f in desk.order(order_id)["fills"]] == [
        ("0.3", lost.trade_id), ("0.1", seen.trade_id),
    ]  # fmt: skip
    assert not audit_latest(1, kind=GAP_KIND) and book_differences() == []
    deliver(desk, [lost, happen(desk, exchange, -2, 0.1)])
    assert len(exchange.asked) == 1 and desk.order(order_id)["filledQuantity"] == "0.5"


def test_nothing_is_met_before_the_gap_is_closed(
    desk: OrdersDesk, exchange: Exchange, clock: Callable[[float], None]
) -> None:
    order_id = desk.place(price=-2).json()["orderId"]
    deliver(desk, [happen(desk, exchange, -2, 0.1)])
    exchange.is_away = True
    lost, seen = happen(desk, exchange, -2, 5.2), happen(desk, exchange, -3, 9)
    deliver(desk, [seen])
    assert desk.order(order_id)["fills"] == []
    clock(0.1)
    deliver(desk, [])
    assert len(exchange.asked) == 1, "not asked again at once"
    clock(0.5)
    exchange.is_away = False
    deliver(desk, [])
    assert [f["tradeId"] for f in desk.order(order_id)["fills"]] == [lost.trade_id, seen.trade_id]
    assert not audit_latest(1, kind=GAP_KIND)


def test_a_gap_that_stays_is_stated_and_the_queue_stands_where_it_stood(
    desk: OrdersDesk, exchange: Exchange, clock: Callable[[float], None]
) -> None:
    """The exchange is away for longer than a symbol may wait: the lost 3 coins do not shorten the queue of 5."""
    order_id = desk.place(price=-2).json()["orderId"]
    deliver(desk, [happen(desk, exchange, -2, 0.5)])
    exchange.is_away = True
    lost = happen(desk, exchange, -2, 3)
    deliver(desk, [happen(desk, exchange, -2, 1)])
    clock(matching_thread.GIVE_UP_S + 1)
    deliver(desk, [])
    assert desk.order(order_id)["waiting"]["queueAhead"] == "3.5" and desk.order(order_id)["fills"] == []
    (record,) = audit_latest(1, kind=GAP_KIND)
    assert record.content["missing"] == [[str(lost.trade_id)] * 2] and record.content["orderIds"] == [order_id]
    deliver(desk, [happen(desk, exchange, -2, 3.6)])
    assert desk.order(order_id)["filledQuantity"] == "0.1", "what comes later counts as ever"
    assert audit_latest(1, kind=GAP_KIND) == [record] and book_differences() == []


def test_what_the_exchange_does_not_have_is_stated_at_once(desk: OrdersDesk, exchange: Exchange) -> None:
    order_id = desk.place(price=-2).json()["orderId"]
    deliver(desk, [happen(desk, exchange, -2, 0.5)])
    lost = [happen(desk, exchange, -3, 9).trade_id for _ in range(2)]
    exchange.lost = set(lost)
    deliver(desk, [happen(desk, exchange, -2, 1)])
    assert desk.order(order_id)["fills"] == [], "a lost trade through our price fills nothing"
    (record,) = audit_latest(1, kind=GAP_KIND)
    assert record.content["missing"] == [[str(lost[0]), str(lost[1])]] and record.content["trades"] == 2


def test_a_first_trade_after_a_recovery_that_found_none_is_no_blind_spot(desk: OrdersDesk) -> None:
    desk.place(price=-2)
    desk.trade(-2, 0.1)
    other, exchange = matching_thread.Matcher(desk.market.view), Exchange()
    other.recover(exchange)
    lost = happen(desk, exchange, -3, 0.2)
    other.on_trades(BTC, [happen(desk, exchange, -2, 0.1)])
    other.match(BTC, is_final=True)
    assert exchange.asked == [lost.trade_id, lost.trade_id] and Order.objects.get().filled_e8 == 30_000_000


def test_more_trades_than_the_view_keeps_lose_nothing(desk: OrdersDesk, exchange: Exchange) -> None:
    """A burst of 700 in one message of the channel, of which the publisher's view kept the newest 200."""
    view = desk.market.view
    stop = view.on_update(lambda symbol: desk.matcher.on_trades(symbol, view.trades(symbol)))
    order_id = desk.place(price=-2).json()["orderId"]
    _take(view, Hub(), {"trades": [list(happen(desk, exchange, -2, 0.001))]})
    desk.matcher.match(BTC, is_final=True)
    burst = [happen(desk, exchange, -2, 0.01) for _ in range(700)]
    _take(view, Hub(), {"trades": [list(trade) for trade in burst[-200:]]})
    desk.matcher.match(BTC, is_final=True)
    stop()
    order = desk.order(order_id)
    filled = sum(float(fill["quantity"]) for fill in order["fills"])
    assert (order["status"], round(filled, 8)) == ("FILLED", 0.5), "7 coins traded, 5 were ahead"
    assert order["fills"][0]["tradeId"] == burst[499].trade_id and not audit_latest(1, kind=GAP_KIND)
    assert book_differences() == []


def test_more_than_the_matcher_keeps_is_fetched_again(
    desk: OrdersDesk, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = desk.place(price=-2).json()["orderId"]
    deliver(desk, [happen(desk, exchange, -2, 0.1)])
    desk.matcher._lane(BTC).limit = 10
    monkeypatch.setattr(matching_thread, "KEPT_EVENTS", 10)
    burst = [happen(desk, exchange, -2, 0.1) for _ in range(52)]
    deliver(desk, burst)
    assert desk.order(order_id)["filledQuantity"] == "0.3" and len(exchange.asked) == 1
    deliver(desk, [happen(desk, exchange, -2, 0.1)])
    assert desk.order(order_id)["filledQuantity"] == "0.4" and len(exchange.asked) == 1


def test_a_matcher_that_can_ask_nobody_says_what_it_missed(desk: OrdersDesk, clock: Callable[[float], None]) -> None:
    order_id: Any = desk.place(price=-2).json()["orderId"]
    desk.trade(-2, 0.1)
    desk.event(-3, 9)
    desk.trade(-2, 0.1)
    clock(matching_thread.GIVE_UP_S + 1)
    desk.matcher.match(BTC, is_final=True)
    assert len(audit_latest(2, kind=GAP_KIND)) == 1 and desk.order(order_id)["fills"] == []
