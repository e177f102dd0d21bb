"""Stop new risk for the rest of the UTC day once the day has lost too much."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, REDUCE, Finding, Guard, finding_nb, unknown_nb
from apps.engine.guards.rolling_drawdown import drawdown_bps_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def daily_loss_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """Loss since the day's first decision against its limit; REDUCE while latched."""
    if limits.daily_loss_bps == 0 and desk.is_day_latched == 0:
        return finding_nb(ALLOW, 0, 0)
    if desk.unknown & UNKNOWN_MARK:
        return unknown_nb(order, limits.daily_loss_bps)
    observed = max(0, drawdown_bps_nb(desk.equity_e8, desk.day_start_e8))
    is_allowed = desk.is_day_latched == 0 and observed <= limits.daily_loss_bps
    return finding_nb(ALLOW if is_allowed else REDUCE, observed, limits.daily_loss_bps)


DAILY_LOSS = GUARDS.register(
    Guard(
        "daily_loss",
        Reason.DAILY_LOSS,
        "bps",
        daily_loss_nb,
        "Loss since the start of the UTC day; latched until the next day.",
        reduce_reason=Reason.DAILY_LOSS,
    )
)
