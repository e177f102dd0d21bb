"""Refuse an order that may fill far from the market."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason

MAX_BPS = 1_000_000


@njit(cache=True)
def price_collar_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """How far the worst price of the order is on the losing side of the mark, in bps, against the collar.

    A buy far below the market, or a sell far above, can only be better than the mark and is let pass; so is an exit at
    the market, which must stay possible.
    """
    if limits.collar_bps == 0:
        return finding_nb(ALLOW, 0, 0)
    if desk.unknown & UNKNOWN_MARK or desk.mark_ticks <= 0:
        return unknown_nb(order, limits.collar_bps)
    worst = order.limit_ticks if order.limit_ticks > 0 else order.price_ticks
    beyond = min(max(0, order.side * (worst - desk.mark_ticks)), 2**40)
    rounded_up = 0 if beyond * 10_000 % desk.mark_ticks == 0 else 1
    observed = min(MAX_BPS, beyond * 10_000 // desk.mark_ticks + rounded_up)
    is_exit = order.reduces_risk == 1 and order.limit_ticks == 0
    is_allowed = is_exit or observed <= limits.collar_bps
    return finding_nb(ALLOW if is_allowed else DENY, observed, limits.collar_bps)


PRICE_COLLAR = GUARDS.register(
    Guard("price_collar", Reason.PRICE_COLLAR, "bps", price_collar_nb, "Distance of the order's price from the mark.")
)
