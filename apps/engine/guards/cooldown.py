"""After an exit, wait before entering the symbol again (freqtrade: CooldownPeriod)."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, REDUCE, Finding, Guard, finding_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def cooldown_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Market time since the symbol's position was last closed."""
    is_waiting = limits.cooldown_ms > 0 and 0 <= desk.since_exit_ms < limits.cooldown_ms
    return finding_nb(REDUCE if is_waiting else ALLOW, desk.since_exit_ms, limits.cooldown_ms)


COOLDOWN = GUARDS.register(
    Guard("cooldown", Reason.COOLDOWN, "ms", cooldown_nb, "Time since the last exit.", reduce_reason=Reason.COOLDOWN)
)
