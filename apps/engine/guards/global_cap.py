"""Keep the gross notional of all positions, the order counted at full size, within the global cap."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_FILTERS, UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import GUARDS, Finding, Guard, cap_nb, unknown_nb, worst_notional_nb
from apps.engine.portfolio import MAX_NOTIONAL_E8
from apps.engine.reasons import Reason


@njit(cache=True)
def global_cap_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Other positions at their marks plus this one after the order, at the price it is judged at."""
    if desk.unknown & (UNKNOWN_MARK | UNKNOWN_FILTERS) or order.price_ticks <= 0 or order.unit_e8 <= 0:
        return unknown_nb(order, limits.max_notional_e8)
    if desk.other_notional_e8 < 0 or desk.open_buy_lots < 0 or desk.open_sell_lots < 0:
        return unknown_nb(order, limits.max_notional_e8)
    own = worst_notional_nb(desk, order)
    observed = own + min(desk.other_notional_e8, MAX_NOTIONAL_E8 - own)
    return cap_nb(order, observed, limits.max_notional_e8)


GLOBAL_CAP = GUARDS.register(
    Guard("global_cap", Reason.GLOBAL_CAP, "quote_e8", global_cap_nb, "Gross notional of all positions.")
)
