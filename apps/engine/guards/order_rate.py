"""Allow at most so many orders of one symbol in any 60 seconds."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def order_rate_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Orders in (ts - 60 s, ts], this one included. A confirmed flatten is never throttled."""
    if desk.orders_last_minute < 0:
        return unknown_nb(order, limits.orders_per_minute)
    is_allowed = order.is_flatten == 1 or desk.orders_last_minute < limits.orders_per_minute
    return finding_nb(ALLOW if is_allowed else DENY, desk.orders_last_minute + 1, limits.orders_per_minute)


ORDER_RATE = GUARDS.register(
    Guard("order_rate", Reason.ORDER_RATE, "orders", order_rate_nb, "Orders of one symbol in any 60 seconds.")
)
