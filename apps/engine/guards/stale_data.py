"""Open no risk on old prices."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_DATA, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def stale_data_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Age of the older of book and exchange events, in market time. An age below 0 cannot be believed."""
    if desk.unknown & UNKNOWN_DATA or desk.data_age_ms < 0:
        return unknown_nb(order, limits.stale_after_ms)
    is_allowed = order.reduces_risk == 1 or desk.data_age_ms <= limits.stale_after_ms
    return finding_nb(ALLOW if is_allowed else DENY, desk.data_age_ms, limits.stale_after_ms)


STALE_DATA = GUARDS.register(
    Guard("stale_data", Reason.DATA_STALE, "ms", stale_data_nb, "Age of the symbol's book and exchange events.")
)
