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


class OrderRecord(NamedTuple):
    """What is about to be sent; all int64. `side` is +1 buy, -1 sell; `lots` is above 0.

    `price_ticks` is the price the order is judged at: for a buy the worse of mark and ask, for a sell the mark.
    `notional_e8` at it stops at portfolio.MAX_NOTIONAL_E8. `remainder_e8` is what the asked quantity exceeds whole lots
    by (0 for orders the desk sized itself).
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


class LimitRecord(NamedTuple):
    """Limits of the desk and the symbol's exchange rules, all int64; 0 in a rule means "no such rule"."""

    max_notional_e8: int
    symbol_notional_cap_e8: int
    max_drawdown_bps: int
    breaker_ms: int
    orders_per_minute: int
    stale_after_ms: int
    view_stale_after_ms: int
    min_lots: int
    max_lots: int
    lot_multiple: int
    min_notional_e8: int
    max_order_notional_e8: int
