"""Keep the notional of one symbol, the order counted at full size, within its cap."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_FILTERS, UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import GUARDS, Finding, Guard, cap_nb, unknown_nb, worst_notional_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def symbol_cap_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Largest |position| possible after the order, at the judged price, against SYMBOL_NOTIONAL_CAP."""
    if desk.unknown & (UNKNOWN_MARK | UNKNOWN_FILTERS) or order.price_ticks <= 0 or order.unit_e8 <= 0:
        return unknown_nb(order, limits.symbol_notional_cap_e8)
    if desk.open_buy_lots < 0 or desk.open_sell_lots < 0:
        return unknown_nb(order, limits.symbol_notional_cap_e8)
    return cap_nb(order, worst_notional_nb(desk, order), limits.symbol_notional_cap_e8)


SYMBOL_CAP = GUARDS.register(
    Guard("symbol_cap", Reason.SYMBOL_CAP, "quote_e8", symbol_cap_nb, "Notional of one symbol.")
)
