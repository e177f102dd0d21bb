"""Which orders exist, which fields each type needs, and when the market itself refuses one.

Types, times in force and statuses are spelled as Binance spells them. TRAILING_STOP is our own word: on the spot
exchange it is a STOP_LOSS with a trailingDelta. A shape that cannot be used raises InvalidInput naming the field; what
the market refuses is a value, because it is an outcome of the order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from apps.engine.errors import InvalidInput

BUY, SELL = 1, -1
MAX_TRAILING_BPS = 9_999


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"

    @property
    def has_trigger(self) -> bool:
        return self in _TRIGGERED

    @property
    def has_price(self) -> bool:
        return "price" in _NEEDS[self]

    @property
    def is_loss_stop(self) -> bool:
        """Whether it triggers when the market moves against the position it protects."""
        return self in (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TRAILING_STOP)


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"

    @property
    def is_open(self) -> bool:
        return self in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


class OrderReason(StrEnum):
    """Why an order stands or ended as it did. A name shared with reasons.Reason has its code text and its meaning."""

    NONE = "none"
    DATA_STALE = "data_stale"
    FREE_BALANCE = "free_balance"
    BOOK_EMPTY = "book_empty"
    BOOK_EXHAUSTED = "book_exhausted"
    PARTICIPATION_CAP = "participation_cap"
    NUMERIC_FAULT = "numeric_fault"
    BELOW_MINIMUM = "below_minimum"
    FILTER_LOT_SIZE = "filter_lot_size"
    FILTER_MIN_NOTIONAL = "filter_min_notional"
    FILTER_MARKET_LOT_SIZE = "filter_market_lot_size"
    FILTER_PRICE = "filter_price"
    FILTER_PERCENT_PRICE = "filter_percent_price"
    FILTER_PERCENT_PRICE_ALIKE = "filter_percent_price_alike"
    FILTER_MAX_NUM_ORDERS = "filter_max_num_orders"
    FILTER_MAX_NUM_ALGO_ORDERS = "filter_max_num_algo_orders"
    FILTER_TRAILING_DELTA = "filter_trailing_delta"
    LIMIT_NOT_MET = "limit_not_met"
    NOT_WHOLE = "not_whole"
    WOULD_TAKE = "would_take"
    WOULD_TRIGGER = "would_trigger"
    LIST_PRICES = "list_prices"
    LIST_CANCELED = "list_canceled"
    CANCELED = "canceled"


ORDER_REASON_TEXT: dict[OrderReason, str] = {
    OrderReason.NONE: "",
    OrderReason.DATA_STALE: "Market data of this symbol is too old to match against.",
    OrderReason.FREE_BALANCE: "Account has insufficient balance for requested action.",
    OrderReason.BOOK_EMPTY: "There was nothing to match against.",
    OrderReason.BOOK_EXHAUSTED: "The displayed depth ended before the order did; the rest expired.",
    OrderReason.PARTICIPATION_CAP: "The order exceeded its share of the bar's volume; the rest expired.",
    OrderReason.NUMERIC_FAULT: "The cost of trading cannot be formed, so nothing is filled.",
    OrderReason.BELOW_MINIMUM: "The size is below the exchange's minimum order.",
    OrderReason.FILTER_LOT_SIZE: "Filter failure: LOT_SIZE",
    OrderReason.FILTER_MIN_NOTIONAL: "Filter failure: NOTIONAL",
    OrderReason.FILTER_MARKET_LOT_SIZE: "Filter failure: MARKET_LOT_SIZE",
    OrderReason.FILTER_PRICE: "Filter failure: PRICE_FILTER",
    OrderReason.FILTER_PERCENT_PRICE: "Filter failure: PERCENT_PRICE_BY_SIDE",
    OrderReason.FILTER_PERCENT_PRICE_ALIKE: "Filter failure: PERCENT_PRICE",
    OrderReason.FILTER_MAX_NUM_ORDERS: "Filter failure: MAX_NUM_ORDERS",
    OrderReason.FILTER_MAX_NUM_ALGO_ORDERS: "Filter failure: MAX_NUM_ALGO_ORDERS",
    OrderReason.FILTER_TRAILING_DELTA: "Filter failure: TRAILING_DELTA",
    OrderReason.LIMIT_NOT_MET: "What is left is displayed beyond the limit price; the rest expired.",
    OrderReason.NOT_WHOLE: "The displayed depth could not fill the whole order at once.",
    OrderReason.WOULD_TAKE: "Order would immediately match and take.",
    OrderReason.WOULD_TRIGGER: "Stop price would trigger immediately.",
    OrderReason.LIST_PRICES: "The relationship of the prices for the orders is not correct.",
    OrderReason.LIST_CANCELED: "The other leg of the list was filled, triggered or refused.",
    OrderReason.CANCELED: "A person or a policy canceled it.",
}


class Refusal(NamedTuple):
    """Why the exchange would not take an order, the field at fault and the exchange's own error code."""

    field: str
    reason: OrderReason
    code: int

    @property
    def message(self) -> str:
        return ORDER_REASON_TEXT[self.reason]


class OrderRequest(NamedTuple):
    """What somebody asks for; None is a field that was not sent. Prices and quantity are counts of 1e-8."""

    side: int
    type: OrderType
    quantity_e8: int
    price_e8: int | None = None
    stop_price_e8: int | None = None
    trailing_bps: int | None = None
    time_in_force: TimeInForce | None = None


class Touch(NamedTuple):
    """The market an order is judged against: best prices and the last trade, in ticks; 0 where unknown."""

    bid_ticks: int
    ask_ticks: int
    last_ticks: int


_TRIGGERED = {
    *(OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT),
    OrderType.TRAILING_STOP,
}
_NEEDS: dict[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("price",),
    OrderType.LIMIT_MAKER: ("price",),
    OrderType.STOP_LOSS: ("stop_price",),
    OrderType.STOP_LOSS_LIMIT: ("price", "stop_price"),
    OrderType.TAKE_PROFIT: ("stop_price",),
    OrderType.TAKE_PROFIT_LIMIT: ("price", "stop_price"),
    OrderType.TRAILING_STOP: ("trailing_delta",),
}
_ANY_TIME = frozenset(TimeInForce)
_TIMES: dict[OrderType, frozenset[TimeInForce]] = {
    OrderType.MARKET: frozenset({TimeInForce.IOC}),
    OrderType.LIMIT: _ANY_TIME,
    OrderType.LIMIT_MAKER: frozenset({TimeInForce.GTC}),
    OrderType.STOP_LOSS: frozenset(),
    OrderType.STOP_LOSS_LIMIT: _ANY_TIME,
    OrderType.TAKE_PROFIT: frozenset(),
    OrderType.TAKE_PROFIT_LIMIT: _ANY_TIME,
    OrderType.TRAILING_STOP: frozenset(),
}


def check_shape(request: OrderRequest) -> None:
    """Raise InvalidInput, naming the field, unless the request has exactly the fields its type needs."""
    if request.side not in (BUY, SELL):
        raise InvalidInput("side must be BUY or SELL", field="side")
    _check_count("quantity", request.quantity_e8)
    sent = {"price": request.price_e8, "stop_price": request.stop_price_e8, "trailing_delta": request.trailing_bps}
    for field, value in sent.items():
        is_needed = field in _NEEDS[request.type]
        if value is None and is_needed:
            raise InvalidInput(f"{field} is required for {request.type}", field=field)
        if value is not None and not is_needed:
            raise InvalidInput(f"{field} is not allowed for {request.type}", field=field)
        if value is not None:
            _check_count(field, value)
    if request.trailing_bps is not None and request.trailing_bps > MAX_TRAILING_BPS:
        raise InvalidInput(f"trailing_delta must be at most {MAX_TRAILING_BPS}", field="trailing_delta")
    if request.time_in_force is not None and request.time_in_force not in _TIMES[request.type]:
        raise InvalidInput(f"time_in_force {request.time_in_force} is not allowed for {request.type}",
                           field="time_in_force")  # fmt: skip


def effective_time_in_force(order_type: OrderType, asked: TimeInForce | None) -> TimeInForce:
    """GTC where a remainder may rest and nobody said otherwise; what becomes a market order never rests: IOC."""
    if not order_type.has_price:
        return TimeInForce.IOC
    return asked or TimeInForce.GTC


def triggers_above(order_type: OrderType, side: int) -> bool:
    """Whether the trigger lies above the market: a buy's stop, a sale's profit. Below it for the other two."""
    return (side == BUY) == order_type.is_loss_stop


def would_trigger(order_type: OrderType, side: int, stop_ticks: int, last_ticks: int) -> bool:
    """Whether a trade at `last_ticks` triggers a stop at `stop_ticks`."""
    return last_ticks >= stop_ticks if triggers_above(order_type, side) else last_ticks <= stop_ticks


def would_match(side: int, price_ticks: int, touch: Touch) -> bool:
    """Whether a limit at this price would take what is displayed."""
    if side == BUY:
        return 0 < touch.ask_ticks <= price_ticks
    return touch.bid_ticks >= price_ticks > 0


def market_refusal(order_type: OrderType, side: int, price_ticks: int, stop_ticks: int, touch: Touch) -> Refusal | None:
    """What the market as it stands refuses: a stop on its wrong side, a LIMIT_MAKER that would take.

    A stop is not refused while no trade is known; it is judged again when it arrives.
    """
    if order_type is OrderType.LIMIT_MAKER and would_match(side, price_ticks, touch):
        return Refusal("price", OrderReason.WOULD_TAKE, -2010)
    is_fixed = order_type.has_trigger and order_type is not OrderType.TRAILING_STOP
    if is_fixed and touch.last_ticks > 0 and would_trigger(order_type, side, stop_ticks, touch.last_ticks):
        return Refusal("stop_price", OrderReason.WOULD_TRIGGER, -2010)
    return None


def list_refusal(side: int, limit_ticks: int, stop_ticks: int, last_ticks: int) -> Refusal | None:
    """What is wrong with an OCO of a limit and a stop: they must stand on either side of the last trade."""
    low, high = (stop_ticks, limit_ticks) if side == SELL else (limit_ticks, stop_ticks)
    return None if low < last_ticks < high else Refusal("price", OrderReason.LIST_PRICES, -2010)


def _check_count(field: str, value: int) -> None:
    if type(value) is not int or not 0 < value < 2**63:
        raise InvalidInput(f"{field} must be above 0", field=field)
