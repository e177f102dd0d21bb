"""Spend no cash the account does not have."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def free_balance_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """A buy needs its notional and fee in cash; a sell needs only that the fee does not exceed cash and proceeds."""
    if order.side > 0:
        is_enough = order.notional_e8 <= desk.cash_e8 - order.fee_e8
        return finding_nb(ALLOW if is_enough else DENY, order.notional_e8 + order.fee_e8, desk.cash_e8)
    is_enough = order.fee_e8 - order.notional_e8 <= desk.cash_e8
    return finding_nb(ALLOW if is_enough else DENY, order.fee_e8, desk.cash_e8 + order.notional_e8)


FREE_BALANCE = GUARDS.register(
    Guard("free_balance", Reason.FREE_BALANCE, "quote_e8", free_balance_nb, "Cash for notional and fee.")
)
