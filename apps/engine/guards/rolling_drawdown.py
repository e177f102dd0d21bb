"""Stop opening risk when equity has fallen too far below the high-water mark of the last trades."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, REDUCE, Finding, Guard, finding_nb, unknown_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def drawdown_bps_nb(equity_e8: int, high_water_e8: int) -> int:
    """1 - equity / high water in bps, ordered so that int64 cannot wrap. 10,000 when no high water can be formed.

    Equity below 0 counts as 0: all is lost.
    """
    if high_water_e8 < 10_000:
        return 10_000
    return (high_water_e8 - max(equity_e8, 0)) // (high_water_e8 // 10_000)


@njit(cache=True)
def rolling_drawdown_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """REDUCE while the breaker's pause runs or the drawdown is above its limit."""
    if desk.unknown & UNKNOWN_MARK:
        return unknown_nb(order, limits.max_drawdown_bps)
    observed = drawdown_bps_nb(desk.equity_e8, desk.high_water_e8)
    is_paused = desk.ts_ms < desk.breaker_until_ms
    is_allowed = not is_paused and observed <= limits.max_drawdown_bps
    return finding_nb(ALLOW if is_allowed else REDUCE, observed, limits.max_drawdown_bps)


ROLLING_DRAWDOWN = GUARDS.register(
    Guard(
        "rolling_drawdown",
        Reason.DRAWDOWN,
        "bps",
        rolling_drawdown_nb,
        "Drawdown over the last trades.",
        reduce_reason=Reason.DRAWDOWN,
    )
)
