"""Keep to LOT_SIZE and MARKET_LOT_SIZE as the exchange would."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_FILTERS, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def exchange_filters_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Whole lots, a multiple of the market step, within minimum and maximum. Unknown filters refuse every order."""
    if desk.unknown & UNKNOWN_FILTERS:
        return Finding(DENY, order.lots, limits.min_lots, 1)
    is_step = order.remainder_e8 == 0 and order.lots % max(1, limits.lot_multiple) == 0
    is_above = order.lots >= limits.min_lots and order.lots >= 1
    is_below = limits.max_lots == 0 or order.lots <= limits.max_lots
    limit = limits.min_lots if is_below else limits.max_lots
    return finding_nb(ALLOW if is_step and is_above and is_below else DENY, order.lots, limit)


EXCHANGE_FILTERS = GUARDS.register(
    Guard("exchange_filters", Reason.FILTER_LOT_SIZE, "lots", exchange_filters_nb, "LOT_SIZE and MARKET_LOT_SIZE.")
)
