"""The integer records that guards and the decision read: desk, order, limits. Unknown is a bit, never a NaN."""

from __future__ import annotations

from typing import NamedTuple

# Bits of DeskRecord.unknown: an input that could not be read. Guards that need it deny new risk.
UNKNOWN_MARK = 1
UNKNOWN_DATA = 2
UNKNOWN_VIEW = 4
UNKNOWN_FILTERS = 8
UNKNOWN_STATE = 16


class DeskRecord(NamedTuple):
    """The account and one symbol at the moment of decision; all int64.

    Open orders count at full size: `open_buy_lots`, `open_sell_lots` are what is still to fill of this symbol's orders,
    `other_notional_e8` holds the other symbols at their worst, `locked_cash_e8` what open buys have reserved;
    `own_bid_ticks`, `own_ask_ticks` are our best resting prices (0: none). `day_index` is the UTC day that
    `day_start_e8`, the equity at its first decision, belongs to; `peak_e8` is the highest equity since the hard
    breaker was last released. `since_exit_ms`, `since_stop_ms` are -1 when there was none. `dust_e8` is what is held
    beyond whole lots, with the sign of the holding: fees in base leave it, and it cannot be traded.

    Nothing in a decision wraps while |cash|, |equity| and |position| stay below 2^62 and the fee below 10,000 bps.
    """

    ts_ms: int
    cash_e8: int
    equity_e8: int
    high_water_e8: int
    position_lots: int
    mark_ticks: int
    other_notional_e8: int
    orders_last_minute: int
    trading_state: int
    breaker_until_ms: int
    data_age_ms: int
    view_age_ms: int
    unknown: int
    open_buy_lots: int
    open_sell_lots: int
    locked_cash_e8: int
    own_bid_ticks: int
    own_ask_ticks: int
    filters_age_ms: int
    day_index: int
    day_start_e8: int
    is_day_latched: int
    peak_e8: int
    is_hard_latched: int
    same_buys: int
    same_sells: int
    is_repeat_latched: int
    since_exit_ms: int
    closed_trades: int
    closed_profit_bps: int
    since_stop_ms: int
    stop_exits: int
    dust_e8: int


class OrderRecord(NamedTuple):
    """What is about to be sent; all int64. `side` is +1 buy, -1 sell; `lots` is above 0.

    `price_ticks` is the price the order is judged at: its limit, or without one for a buy the worse of mark and ask,
    for a sell the mark. `limit_ticks` is the worst price it may fill at, 0 for a market order.
    `notional_e8` at the judged price stops at portfolio.MAX_NOTIONAL_E8. `remainder_e8` is what the asked quantity
    exceeds whole lots by (0 for orders the desk sized itself). `is_router` tells whose order it is.
    """

    side: int
    lots: int
    remainder_e8: int
    price_ticks: int
    notional_e8: int
    fee_e8: int
    unit_e8: int
    reduces_risk: int
    is_flatten: int
    limit_ticks: int
    is_router: int


class LimitRecord(NamedTuple):
    """Limits of the desk and the symbol's exchange rules, all int64; 0 means "no such rule" where it makes no sense.

    `repeat_orders`, `collar_bps`, `order_cap_e8`, `daily_loss_bps`, `hard_drawdown_bps`, `filters_stale_after_ms` and
    the protections (`cooldown_ms`, `stop_guard_*`, `low_profit_*`) are off at 0.
    """

    max_notional_e8: int
    symbol_notional_cap_e8: int
    max_drawdown_bps: int
    breaker_ms: int
    orders_per_minute: int
    stale_after_ms: int
    view_stale_after_ms: int
    hard_drawdown_bps: int
    daily_loss_bps: int
    repeat_orders: int
    collar_bps: int
    order_cap_e8: int
    filters_stale_after_ms: int
    allow_short: int
    cooldown_ms: int
    stop_guard_trades: int
    stop_guard_pause_ms: int
    low_profit_trades: int
    low_profit_bps: int
    low_profit_pause_ms: int
    min_lots: int
    max_lots: int
    lot_multiple: int
    min_notional_e8: int
    max_order_notional_e8: int
