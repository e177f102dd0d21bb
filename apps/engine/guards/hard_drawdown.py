"""Stop new risk for good once equity has fallen too far from its peak; a person must let it go on."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_MARK, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, REDUCE, Finding, Guard, finding_nb, unknown_nb
from apps.engine.guards.rolling_drawdown import drawdown_bps_nb
from apps.engine.reasons import Reason


@njit(cache=True)
def hard_drawdown_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """REDUCE while latched; the latch is set where the drawdown passes the limit (breakers.py)."""
    if limits.hard_drawdown_bps == 0 and desk.is_hard_latched == 0:
        return finding_nb(ALLOW, 0, 0)
    if desk.unknown & UNKNOWN_MARK:
        return unknown_nb(order, limits.hard_drawdown_bps)
    observed = drawdown_bps_nb(desk.equity_e8, desk.peak_e8)
    is_allowed = desk.is_hard_latched == 0 and observed <= limits.hard_drawdown_bps
    return finding_nb(ALLOW if is_allowed else REDUCE, observed, limits.hard_drawdown_bps)


HARD_DRAWDOWN = GUARDS.register(
    Guard(
        "hard_drawdown",
        Reason.HARD_DRAWDOWN,
        "bps",
        hard_drawdown_nb,
        "Drawdown from the peak; latched until a person releases it.",
        reduce_reason=Reason.HARD_DRAWDOWN,
    )
)
