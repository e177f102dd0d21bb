"""Keep to the exchange's NOTIONAL filter."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_FILTERS, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb
from apps.engine.portfolio import MAX_NOTIONAL_E8
from apps.engine.reasons import Reason


@njit(cache=True)
def min_notional_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """minNotional <= price x quantity <= maxNotional, as the exchange judges a MARKET order.

    A size too large to be counted is refused whatever it does to risk: its money would leave int64.
    """
    if desk.unknown & UNKNOWN_FILTERS:
        return Finding(DENY, order.notional_e8, limits.min_notional_e8, 1)
    is_above = order.notional_e8 >= limits.min_notional_e8
    largest = MAX_NOTIONAL_E8 - 1
    if limits.max_order_notional_e8 > 0:
        largest = min(largest, limits.max_order_notional_e8)
    is_below = order.notional_e8 <= largest
    limit = limits.min_notional_e8 if is_below else largest
    return finding_nb(ALLOW if is_above and is_below else DENY, order.notional_e8, limit)


MIN_NOTIONAL = GUARDS.register(
    Guard("min_notional", Reason.FILTER_MIN_NOTIONAL, "quote_e8", min_notional_nb, "The NOTIONAL filter.")
)
