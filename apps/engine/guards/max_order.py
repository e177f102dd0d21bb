"""Refuse a single order that is too large, whatever room the caps leave."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_FILTERS, UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, Finding, Guard, cap_nb, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def max_order_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Notional of the order at its judged price."""
    if limits.order_cap_e8 == 0:
        return finding_nb(ALLOW, 0, 0)
    if desk.unknown & (UNKNOWN_MARK | UNKNOWN_FILTERS) or order.price_ticks <= 0 or order.unit_e8 <= 0:
        return unknown_nb(order, limits.order_cap_e8)
    return cap_nb(order, order.notional_e8, limits.order_cap_e8)


MAX_ORDER = GUARDS.register(
    Guard("max_order", Reason.MAX_ORDER, "quote_e8", max_order_nb, "Notional of a single order.")
)
