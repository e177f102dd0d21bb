"""Three breakers on equity, moved at every decision: rolling (a pause), daily (to midnight), hard (until released).

Rules and numbers: docs/guards.md. A desk that cannot be marked trips nothing: its guards deny new risk meanwhile.
"""

from __future__ import annotations

from numba import njit

from apps.engine.decision import INTS
from apps.engine.desk import UNKNOWN_MARK, DeskRecord, LimitRecord
from apps.engine.guards.rolling_drawdown import drawdown_bps_nb
from apps.engine.values import IntArray1d

DAY_MS = 86_400_000


@njit(cache=True, error_model="numpy", nogil=True)
def rolling_nb(desk: DeskRecord, limits: LimitRecord, out_i: IntArray1d) -> None:
    """Trip or re-arm the rolling breaker. Re-arming starts a fresh window, or it would trip again at once."""
    high_water, until = desk.high_water_e8, desk.breaker_until_ms
    if desk.unknown & UNKNOWN_MARK == 0:
        if until > 0 and desk.ts_ms >= until:
            high_water, until = desk.equity_e8, 0
            out_i[INTS.is_rearmed] = 1
        high_water = max(high_water, desk.equity_e8)
        if until == 0 and drawdown_bps_nb(desk.equity_e8, high_water) > limits.max_drawdown_bps:
            until = desk.ts_ms + limits.breaker_ms
            out_i[INTS.is_tripped] = 1
    out_i[INTS.high_water_e8] = high_water
    out_i[INTS.breaker_until_ms] = until


@njit(cache=True, error_model="numpy", nogil=True)
def daily_nb(desk: DeskRecord, limits: LimitRecord, out_i: IntArray1d) -> None:
    """Latch once the UTC day has lost too much. A new day begins with its first marked decision.

    A clock that steps back over midnight does not bring back yesterday: only a later day is a new one.
    """
    day, start, latched = desk.day_index, desk.day_start_e8, desk.is_day_latched
    today = desk.ts_ms // DAY_MS
    if desk.unknown & UNKNOWN_MARK == 0:
        if today > day or start <= 0:
            day, start, latched = today, desk.equity_e8, 0
        is_over = limits.daily_loss_bps > 0 and drawdown_bps_nb(desk.equity_e8, start) > limits.daily_loss_bps
        if latched == 0 and is_over:
            latched = 1
            out_i[INTS.is_day_tripped] = 1
    out_i[INTS.day_index] = day
    out_i[INTS.day_start_e8] = start
    out_i[INTS.is_day_latched] = latched


@njit(cache=True, error_model="numpy", nogil=True)
def hard_nb(desk: DeskRecord, limits: LimitRecord, out_i: IntArray1d) -> None:
    """Latch once equity has fallen too far from its peak; only a person takes the latch away."""
    peak, latched = desk.peak_e8, desk.is_hard_latched
    if desk.unknown & UNKNOWN_MARK == 0:
        peak = max(peak, desk.equity_e8)
        is_over = limits.hard_drawdown_bps > 0 and drawdown_bps_nb(desk.equity_e8, peak) > limits.hard_drawdown_bps
        if latched == 0 and is_over:
            latched = 1
            out_i[INTS.is_hard_tripped] = 1
    out_i[INTS.peak_e8] = peak
    out_i[INTS.is_hard_latched] = latched


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def breakers_nb(desk: DeskRecord, limits: LimitRecord, out_i: IntArray1d) -> DeskRecord:
    """Move all three; the desk as the guards then see it."""
    rolling_nb(desk, limits, out_i)
    daily_nb(desk, limits, out_i)
    hard_nb(desk, limits, out_i)
    return DeskRecord(
        desk.ts_ms, desk.cash_e8, desk.equity_e8, out_i[INTS.high_water_e8], desk.position_lots, desk.mark_ticks,
        desk.other_notional_e8, desk.orders_last_minute, desk.trading_state, out_i[INTS.breaker_until_ms],
        desk.data_age_ms, desk.view_age_ms, desk.unknown, desk.open_buy_lots, desk.open_sell_lots,
        desk.locked_cash_e8, desk.own_bid_ticks, desk.own_ask_ticks, desk.filters_age_ms, out_i[INTS.day_index],
        out_i[INTS.day_start_e8], out_i[INTS.is_day_latched], out_i[INTS.peak_e8], out_i[INTS.is_hard_latched],
        desk.same_buys, desk.same_sells, desk.is_repeat_latched, desk.since_exit_ms, desk.closed_trades,
        desk.closed_profit_bps, desk.since_stop_ms, desk.stop_exits, desk.dust_e8,
    )  # fmt: skip
