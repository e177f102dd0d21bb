"""What can the exchange tell over its price stream? Plain values, already parsed; money and quantities in 1e-8."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class KlineEvent(NamedTuple):
    """A bar as it stands at `event_ms`; final when `closed`."""

    symbol: str
    event_ms: int
    interval: str
    open_time_ms: int
    close_time_ms: int
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    volume_e8: int
    trades: int
    closed: bool


class BookTickerEvent(NamedTuple):
    """Best bid and ask. Carries no time."""

    symbol: str
    update_id: int
    bid_e8: int
    bid_quantity_e8: int
    ask_e8: int
    ask_quantity_e8: int


class AggTradeEvent(NamedTuple):
    """A trade, or several of one taker order at one price."""

    symbol: str
    event_ms: int
    trade_id: int
    price_e8: int
    quantity_e8: int
    trade_ms: int
    buyer_is_maker: bool


class DepthEvent(NamedTuple):
    """The best levels of the book. Carries no time."""

    symbol: str
    update_id: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class ShutdownEvent(NamedTuple):
    """The server is about to cut the connection."""

    event_ms: int


class ControlEvent(NamedTuple):
    """The answer to a control message; `error` is empty when it succeeded."""

    request_id: int | str | None
    error: str


MarketEvent: TypeAlias = KlineEvent | BookTickerEvent | AggTradeEvent | DepthEvent
StreamEvent: TypeAlias = MarketEvent | ShutdownEvent | ControlEvent
