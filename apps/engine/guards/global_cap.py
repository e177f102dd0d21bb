"""Keep the gross notional of all positions, the order counted at full size, within the global cap."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_FILTERS, UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def global_cap_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Other positions at their marks plus this one after the order; written `observed <= cap` so that unknowns fail."""
    if desk.unknown & (UNKNOWN_MARK | UNKNOWN_FILTERS):
        return unknown_nb(order, limits.max_notional_e8)
    after_lots = abs(desk.position_lots + order.side * order.lots)
    observed = desk.other_notional_e8 + after_lots * order.price_ticks * order.unit_e8
    is_allowed = order.reduces_risk == 1 or observed <= limits.max_notional_e8
    return finding_nb(ALLOW if is_allowed else DENY, observed, limits.max_notional_e8)


GLOBAL_CAP = GUARDS.register(
    Guard("global_cap", Reason.GLOBAL_CAP, "quote_e8", global_cap_nb, "Gross notional of all positions.")
)
