"""Open no risk on an old view: the last closed bar must be the last one that should have closed."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_VIEW, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def stale_view_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Market time since the view's bar closed; orders of a person need no view and carry age 0."""
    if desk.unknown & UNKNOWN_VIEW or desk.view_age_ms < 0:
        return unknown_nb(order, limits.view_stale_after_ms)
    is_allowed = order.reduces_risk == 1 or desk.view_age_ms <= limits.view_stale_after_ms
    return finding_nb(ALLOW if is_allowed else DENY, desk.view_age_ms, limits.view_stale_after_ms)


STALE_VIEW = GUARDS.register(
    Guard("stale_view", Reason.NO_MARKET_VIEW, "ms", stale_view_nb, "Age of the view the decision rests on.")
)
