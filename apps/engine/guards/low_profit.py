"""Lock a symbol whose closed trades have earned too little (freqtrade: LowProfitPairs)."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, REDUCE, Finding, Guard, finding_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def low_profit_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Sum of the closed trades' profit inside the look-back against the floor, once there are enough of them."""
    is_on = limits.low_profit_trades > 0 and desk.closed_trades >= limits.low_profit_trades
    is_low = is_on and desk.closed_profit_bps < limits.low_profit_bps
    is_paused = is_low and 0 <= desk.since_exit_ms < limits.low_profit_pause_ms
    return finding_nb(REDUCE if is_paused else ALLOW, desk.closed_profit_bps, limits.low_profit_bps)


LOW_PROFIT = GUARDS.register(
    Guard(
        "low_profit",
        Reason.LOW_PROFIT,
        "bps",
        low_profit_nb,
        "Profit of the closed trades within the look-back.",
        reduce_reason=Reason.LOW_PROFIT,
    )
)
