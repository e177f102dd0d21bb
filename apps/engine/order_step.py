"""What one event did to the open orders of a symbol, and when a stop triggers.

An event is met by all open orders together. A `Step` is stored whole or not at all: fills share the traded lots, so an
order stored without its neighbor would let the same lots fill twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from apps.engine.order_types import BUY, OrderReason, OrderStatus, OrderType, would_trigger
from apps.engine.order_values import Fill, OpenOrder, Phase

BPS = 10_000


class Step(NamedTuple):
    """`orders` are open after the event; `closed` ended in it, with their last values. The rest are facts of it.

    `canceled` and `triggered` are order ids, in the order in which it happened.
    """

    orders: tuple[OpenOrder, ...]
    closed: tuple[OpenOrder, ...]
    fills: tuple[Fill, ...]
    canceled: tuple[str, ...]
    triggered: tuple[str, ...]

    @property
    def is_quiet(self) -> bool:
        """Whether only queues, extremes and the last trade id moved: such a step may be stored later."""
        return not (self.closed or self.fills or self.triggered)


class Draft:
    """The open orders while one event is worked through."""

    def __init__(self, orders: Iterable[OpenOrder]) -> None:
        self._open = {order.order_id: order for order in orders}
        self._closed: list[OpenOrder] = []
        self._fills: list[Fill] = []
        self._canceled: list[str] = []
        self._triggered: list[str] = []

    def orders(self) -> list[OpenOrder]:
        return list(self._open.values())

    def now(self, order: OpenOrder) -> OpenOrder | None:
        """The order as it is now; None if the event has ended it."""
        return self._open.get(order.order_id)

    def put(self, order: OpenOrder, fills: Iterable[Fill] = ()) -> None:
        """Store an order with its new fills. A fill, a trigger or a refusal of one leg ends the other legs."""
        own = tuple(fills)
        self._fills += own
        is_newly_triggered = order.is_triggered and not self._open[order.order_id].is_triggered
        if is_newly_triggered:
            self._triggered.append(order.order_id)
        if order.status.is_open:
            self._open[order.order_id] = order
        else:
            del self._open[order.order_id]
            self._closed.append(order)
        has_ended_list = own or is_newly_triggered or not order.status.is_open
        if order.list_id and has_ended_list and order.reason is not OrderReason.LIST_CANCELED:
            self._end_list(order.list_id, order.order_id)

    def cancel(self, order: OpenOrder, reason: OrderReason) -> None:
        self._canceled.append(order.order_id)
        self.put(order._replace(status=OrderStatus.CANCELED, reason=reason))

    def step(self) -> Step:
        orders = tuple(sorted(self._open.values(), key=lambda order: order.sequence))
        closed, fills = tuple(self._closed), tuple(self._fills)
        return Step(orders, closed, fills, tuple(self._canceled), tuple(self._triggered))

    def _end_list(self, list_id: str, winner: str) -> None:
        for other in self.orders():
            if other.list_id == list_id and other.order_id != winner:
                self.cancel(other, OrderReason.LIST_CANCELED)


def with_fills(order: OpenOrder, fills: Iterable[Fill]) -> OpenOrder:
    """The order after its fills; it ends when nothing is left."""
    filled = order.filled_lots + sum(fill.lots for fill in fills)
    if filled == order.filled_lots:
        return order
    status = OrderStatus.FILLED if filled == order.lots else OrderStatus.PARTIALLY_FILLED
    return order._replace(filled_lots=filled, status=status, reason=OrderReason.NONE)


def is_cancel_due(order: OpenOrder, ts_ms: int) -> bool:
    return order.cancel_due_ms is not None and order.cancel_due_ms <= ts_ms


def request_cancel(order: OpenOrder, *, ts_ms: int, latency_ms: int) -> OpenOrder:
    """The order with a cancel on its way. It arrives after the order itself, and a fill may win the race."""
    due = max(ts_ms + latency_ms, order.due_ms)
    return order if order.cancel_due_ms is not None else order._replace(cancel_due_ms=due)


def armed(order: OpenOrder, *, since_ms: int, last_trade_id: int, last_ticks: int) -> OpenOrder:
    """A stop that now waits for its trigger; a trailing one measures from the last trade."""
    return order._replace(
        phase=Phase.ARMED, since_ms=since_ms, last_trade_id=max(order.last_trade_id, last_trade_id),
        extreme_ticks=last_ticks, reason=OrderReason.NONE,
    )  # fmt: skip


def watch(order: OpenOrder, price_ticks: int) -> tuple[OpenOrder, bool]:
    """An armed order after a trade at this price, and whether the trade triggers it."""
    if order.type is not OrderType.TRAILING_STOP:
        return order, would_trigger(order.type, order.side, order.stop_ticks, price_ticks)
    better = min if order.side == BUY else max
    order = order._replace(extreme_ticks=better(order.extreme_ticks, price_ticks))
    return order, order.side * (price_ticks - trailing_ticks(order)) >= 0


def trailing_ticks(order: OpenOrder) -> int:
    """The price at which a trailing stop triggers: its extreme less (a buy: plus) its distance, on the near tick."""
    if order.side == BUY:
        return -(-order.extreme_ticks * (BPS + order.trailing_bps) // BPS)
    return order.extreme_ticks * (BPS - order.trailing_bps) // BPS
