"""Take no new risk on exchange rules that nobody has confirmed for long."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_FILTERS, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def stale_filters_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Market time since the exchange last stated the symbol's filters."""
    if limits.filters_stale_after_ms == 0:
        return finding_nb(ALLOW, 0, 0)
    if desk.unknown & UNKNOWN_FILTERS or desk.filters_age_ms < 0:
        return unknown_nb(order, limits.filters_stale_after_ms)
    is_allowed = order.reduces_risk == 1 or desk.filters_age_ms <= limits.filters_stale_after_ms
    return finding_nb(ALLOW if is_allowed else DENY, desk.filters_age_ms, limits.filters_stale_after_ms)


STALE_FILTERS = GUARDS.register(
    Guard("stale_filters", Reason.FILTERS_STALE, "ms", stale_filters_nb, "Age of the symbol's exchange filters.")
)
