"""Never trade with ourselves."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def self_cross_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Our best resting price on the other side against the worst price this order may fill at.

    A market order is taken to reach as far as the price it is judged at. A flatten passes: it cancels what rests.
    """
    resting = desk.own_ask_ticks if order.side > 0 else desk.own_bid_ticks
    worst = order.limit_ticks if order.limit_ticks > 0 else order.price_ticks
    is_crossing = resting > 0 and order.side * (worst - resting) >= 0
    is_allowed = order.is_flatten == 1 or not is_crossing
    return finding_nb(ALLOW if is_allowed else DENY, worst, resting)


SELF_CROSS = GUARDS.register(
    Guard("self_cross", Reason.SELF_CROSS, "ticks", self_cross_nb, "Own resting orders on the other side.")
)
