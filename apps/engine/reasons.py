"""Every reason code of the desk, one closed vocabulary: kernels carry the integer, people read the name."""

from __future__ import annotations

from enum import IntEnum


class Verdict(IntEnum):
    """What a guard says of an order; the worst of all guards wins."""

    ALLOW = 0
    REDUCE = 1
    DENY = 2
    HALT = 3


class Status(IntEnum):
    """How a decision ended."""

    NO_TRADE = 0
    FILLED = 1
    PARTIAL = 2
    BLOCKED = 3
    REJECTED = 4
    EXPIRED = 5
    OPEN = 6


class TradingState(IntEnum):
    """ACTIVE trades, REDUCING only lowers risk, HALTED accepts nothing but a confirmed flatten."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2


class Reason(IntEnum):
    """Why a decision ended as it did. Codes are permanent: never renumber, never reuse."""

    NONE = 0
    CASH_CHOSEN = 1
    NO_CHANGE = 2
    WITHIN_BAND = 3
    BELOW_MINIMUM = 4
    CONTEXT_MISSING = 5
    NO_ADMISSIBLE_ARM = 6
    EXECUTION_OFF = 7
    NUMERIC_FAULT = 8
    NOTHING_TO_FLATTEN = 9
    TRADING_HALTED = 20
    REDUCE_ONLY = 21
    GLOBAL_CAP = 22
    SYMBOL_CAP = 23
    ORDER_RATE = 24
    DATA_STALE = 25
    NO_MARKET_VIEW = 26
    FILTER_MIN_NOTIONAL = 27
    FILTER_LOT_SIZE = 28
    FREE_BALANCE = 29
    DRAWDOWN = 30
    HARD_DRAWDOWN = 31
    DAILY_LOSS = 32
    REPEATED_ORDERS = 33
    PRICE_COLLAR = 34
    MAX_ORDER = 35
    FILTERS_STALE = 36
    SELF_CROSS = 37
    COOLDOWN = 38
    STOPLOSS_GUARD = 39
    BOOK_EXHAUSTED = 40
    BOOK_EMPTY = 41
    NEXT_BAR_MISSING = 42
    PARTICIPATION_CAP = 43
    LOW_PROFIT = 44
    WOULD_TAKE = 45
    NOT_WHOLE = 46
    LIMIT_NOT_MET = 47
    CANCELED = 48
    LIST_CANCELED = 49
    KILL_SWITCH = 50
    WOULD_TRIGGER = 51
    LIST_PRICES = 52
    FILTER_PRICE = 53
    FILTER_PERCENT_PRICE = 54
    FILTER_MARKET_LOT_SIZE = 55
    FILTER_PERCENT_PRICE_ALIKE = 56
    FILTER_MAX_NUM_ORDERS = 57
    FILTER_MAX_NUM_ALGO_ORDERS = 58
    FILTER_TRAILING_DELTA = 59

    @property
    def code(self) -> str:
        """The stable text of this reason, as in answers and records."""
        return self.name.lower()


REASON_TEXT: dict[Reason, str] = {
    Reason.NONE: "",
    Reason.CASH_CHOSEN: "The router chose cash and nothing is held.",
    Reason.NO_CHANGE: "The target equals the position.",
    Reason.WITHIN_BAND: "The difference to the target is inside the rebalance band and the signal has not changed.",
    Reason.BELOW_MINIMUM: "The difference to the target is below the exchange's minimum order.",
    Reason.CONTEXT_MISSING: "A feature is missing (warm-up or a gap in the bars), so nothing is decided.",
    Reason.NO_ADMISSIBLE_ARM: "No policy is admissible: warm-up, a gap in the bars, or none is active.",
    Reason.EXECUTION_OFF: "The flag ExecutionRouter is off: the decision is recorded, no order is sent.",
    Reason.NUMERIC_FAULT: "A statistic is not finite; nothing is decided on it.",
    Reason.NOTHING_TO_FLATTEN: "There is no position to close.",
    Reason.TRADING_HALTED: "Trading is HALTED; only a confirmed flatten passes.",
    Reason.REDUCE_ONLY: "Trading is REDUCING; only orders that lower risk pass.",
    Reason.GLOBAL_CAP: "The gross notional of all positions would exceed MAX_NOTIONAL.",
    Reason.SYMBOL_CAP: "The notional of this symbol would exceed SYMBOL_NOTIONAL_CAP.",
    Reason.ORDER_RATE: "ORDERS_PER_MINUTE orders were sent for this symbol in the last 60 seconds.",
    Reason.DATA_STALE: "Market data of this symbol is too old for new risk.",
    Reason.NO_MARKET_VIEW: "There is no view or no book of this symbol, or the view is too old.",
    Reason.FILTER_MIN_NOTIONAL: "Filter failure: NOTIONAL.",
    Reason.FILTER_LOT_SIZE: "Filter failure: LOT_SIZE.",
    Reason.FREE_BALANCE: "The account has insufficient balance for the requested action.",
    Reason.DRAWDOWN: "The rolling drawdown breaker is tripped.",
    Reason.HARD_DRAWDOWN: "Equity has fallen too far from its peak; the desk only reduces until a person releases it.",
    Reason.DAILY_LOSS: "The day has lost more than its limit; the desk only reduces until the next UTC day.",
    Reason.REPEATED_ORDERS: "The same order was sent too often in 60 seconds; a person must release the router.",
    Reason.PRICE_COLLAR: "The order could fill too far from the market.",
    Reason.MAX_ORDER: "The order exceeds MAX_ORDER_NOTIONAL.",
    Reason.FILTERS_STALE: "The exchange's rules for this symbol have not been confirmed for too long.",
    Reason.SELF_CROSS: "The order would match one of our own resting orders.",
    Reason.COOLDOWN: "The symbol cools down after its last exit.",
    Reason.STOPLOSS_GUARD: "Too many exits by a stop; the symbol is paused.",
    Reason.LOW_PROFIT: "The symbol's closed trades earned too little; it is locked for a while.",
    Reason.WOULD_TAKE: "Order would immediately match and take.",
    Reason.NOT_WHOLE: "Fill-or-kill: the displayed depth does not fill the whole order.",
    Reason.LIMIT_NOT_MET: "Nothing was offered within the limit price; the order expired.",
    Reason.CANCELED: "The order was canceled.",
    Reason.LIST_CANCELED: "The other leg of its OCO was filled or triggered.",
    Reason.BOOK_EXHAUSTED: "The displayed depth ended before the order did; the rest expired.",
    Reason.BOOK_EMPTY: "There was nothing to match against.",
    Reason.NEXT_BAR_MISSING: "The next bar never came, so the order expired.",
    Reason.PARTICIPATION_CAP: "The order exceeded its share of the next bar's volume; the rest expired.",
    Reason.KILL_SWITCH: "The kill switch is engaged.",
    Reason.WOULD_TRIGGER: "Stop price would trigger immediately.",
    Reason.LIST_PRICES: "The relationship of the prices for the orders is not correct.",
    Reason.FILTER_PRICE: "Filter failure: PRICE_FILTER.",
    Reason.FILTER_PERCENT_PRICE: "Filter failure: PERCENT_PRICE_BY_SIDE.",
    Reason.FILTER_MARKET_LOT_SIZE: "Filter failure: MARKET_LOT_SIZE.",
    Reason.FILTER_PERCENT_PRICE_ALIKE: "Filter failure: PERCENT_PRICE.",
    Reason.FILTER_MAX_NUM_ORDERS: "Filter failure: MAX_NUM_ORDERS.",
    Reason.FILTER_MAX_NUM_ALGO_ORDERS: "Filter failure: MAX_NUM_ALGO_ORDERS.",
    Reason.FILTER_TRAILING_DELTA: "Filter failure: TRAILING_DELTA.",
}
