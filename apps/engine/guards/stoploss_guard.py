"""After several stopped exits, pause the symbol (freqtrade: StoplossGuard)."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, REDUCE, Finding, Guard, finding_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def stoploss_guard_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Exits by a stop inside the look-back; at `stop_guard_trades` of them the pause runs from the last one."""
    is_on = limits.stop_guard_trades > 0 and desk.stop_exits >= limits.stop_guard_trades
    is_paused = is_on and 0 <= desk.since_stop_ms < limits.stop_guard_pause_ms
    return finding_nb(REDUCE if is_paused else ALLOW, desk.stop_exits, limits.stop_guard_trades)


STOPLOSS_GUARD = GUARDS.register(
    Guard(
        "stoploss_guard",
        Reason.STOPLOSS_GUARD,
        "exits",
        stoploss_guard_nb,
        "Stopped exits within the look-back.",
        reduce_reason=Reason.STOPLOSS_GUARD,
    )
)
