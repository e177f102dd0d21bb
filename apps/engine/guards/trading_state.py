"""Hold to the trading state: REDUCING passes only what lowers risk, HALTED only a confirmed flatten."""

from __future__ import annotations

from numba import njit

from apps.engine.desk import UNKNOWN_STATE, DeskRecord, LimitRecord, OrderRecord
from apps.engine.guards.base import ALLOW, GUARDS, HALT, REDUCE, Finding, Guard, finding_nb
from apps.engine.reasons import Reason, TradingState

_ACTIVE = int(TradingState.ACTIVE)
_REDUCING = int(TradingState.REDUCING)


@njit(cache=True)
def trading_state_nb(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    """The worst of desk and symbol state. A state that cannot be read counts as HALTED."""
    if desk.unknown & UNKNOWN_STATE:
        return Finding(HALT, 0, _ACTIVE, 1)
    if desk.trading_state == _ACTIVE:
        return finding_nb(ALLOW, desk.trading_state, _ACTIVE)
    if desk.trading_state == _REDUCING:
        return finding_nb(REDUCE, desk.trading_state, _ACTIVE)
    return finding_nb(HALT, desk.trading_state, _ACTIVE)


TRADING_STATE = GUARDS.register(
    Guard("trading_state", Reason.TRADING_HALTED, "state", trading_state_nb, "Trading state of desk and symbol.")
)
