"""Stop a strategy that sends the same order again and again; a person must let it go on."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def repeated_orders_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Orders of the router on this symbol and side in (ts - 60 s, ts], this one included."""
    if limits.repeat_orders == 0 and desk.is_repeat_latched == 0:
        return finding_nb(ALLOW, 0, 0)
    before = desk.same_buys if order.side > 0 else desk.same_sells
    if before < 0:
        return unknown_nb(order, limits.repeat_orders)
    is_free = order.is_router == 0 or order.reduces_risk == 1
    is_allowed = is_free or (desk.is_repeat_latched == 0 and before < limits.repeat_orders)
    return finding_nb(ALLOW if is_allowed else DENY, before + 1, limits.repeat_orders)


REPEATED_ORDERS = GUARDS.register(
    Guard(
        "repeated_orders",
        Reason.REPEATED_ORDERS,
        "orders",
        repeated_orders_nb,
        "Identical orders of the router in 60 seconds; latched until a person releases it.",
    )
)
