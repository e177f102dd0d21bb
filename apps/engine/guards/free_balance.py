"""Spend no cash the account does not have."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, DENY, GUARDS, Finding, Guard, finding_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def free_balance_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """A buy needs its notional and fee in cash that no open order has reserved.

    A sell needs what it sells, unless shorts are allowed, and a fee that does not exceed cash and proceeds. A flatten
    needs neither reserve: it cancels the symbol's open orders.
    """
    if order.side > 0:
        locked = 0 if order.is_flatten == 1 else desk.locked_cash_e8
        is_known = locked >= 0 or order.reduces_risk == 1
        free = desk.cash_e8 - max(0, locked)
        is_enough = is_known and order.notional_e8 <= free - order.fee_e8
        return Finding(ALLOW if is_enough else DENY, order.notional_e8 + order.fee_e8, free, 0 if is_known else 1)
    is_covered = order.fee_e8 - order.notional_e8 <= desk.cash_e8
    if limits.allow_short == 0:
        reserved = 0 if order.is_flatten == 1 else desk.open_sell_lots
        is_covered = is_covered and order.lots <= desk.position_lots - reserved
    return finding_nb(ALLOW if is_covered else DENY, order.fee_e8, desk.cash_e8 + order.notional_e8)


FREE_BALANCE = GUARDS.register(
    Guard("free_balance", Reason.FREE_BALANCE, "quote_e8", free_balance_nb, "Cash for notional and fee.")
)
