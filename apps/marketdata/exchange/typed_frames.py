"""What does a frame of a stream the desk lives on say, when it has the shape it should have? One typed pass.

Nothing is named here: what does not fit raises, and the careful reader of `frames` says what is wrong with it. So
these readers may accept only what that one reads to the same event.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from apps.engine.errors import DataError
from apps.engine.stream_events import AggTradeEvent, BookTickerEvent, DepthEvent, KlineEvent, MarketEvent
from apps.marketdata.exchange.decimals import INT64_MAX, Memo, parse_e8

Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]
TypedReader: TypeAlias = Callable[[bytes], MarketEvent]
# The generated constructor of a named tuple costs as much as decoding the frame.
_ticker_of: Callable[[tuple[Any, ...]], BookTickerEvent] = partial(tuple.__new__, BookTickerEvent)
_trade_of: Callable[[tuple[Any, ...]], AggTradeEvent] = partial(tuple.__new__, AggTradeEvent)
_kline_of: Callable[[tuple[Any, ...]], KlineEvent] = partial(tuple.__new__, KlineEvent)
_depth_of: Callable[[tuple[Any, ...]], DepthEvent] = partial(tuple.__new__, DepthEvent)


class _Bar(msgspec.Struct, gc=False):
    t: Whole
    T: Whole
    i: str
    o: str
    c: str
    h: str
    l: str  # noqa: E741 - the exchange's name
    v: str
    n: Whole
    x: bool


class _Kline(msgspec.Struct, gc=False):
    e: Literal["kline"]
    E: Whole
    s: str
    k: _Bar


class _Ticker(msgspec.Struct, gc=False):
    u: Whole
    s: str
    b: str
    B: str
    a: str
    A: str
    e: None = None


class _Trade(msgspec.Struct, gc=False):
    e: Literal["aggTrade"]
    E: Whole
    s: str
    a: Whole
    p: str
    q: str
    T: Whole
    m: bool


class _Depth(msgspec.Struct, forbid_unknown_fields=True):
    lastUpdateId: Whole  # the exchange's name
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _KlineFrame(msgspec.Struct, gc=False):
    data: _Kline


class _TickerFrame(msgspec.Struct, gc=False):
    data: _Ticker


class _TradeFrame(msgspec.Struct, gc=False):
    data: _Trade


class _DepthFrame(msgspec.Struct):
    stream: str
    data: _Depth


_decode_kline = msgspec.json.Decoder(_KlineFrame).decode
_decode_ticker = msgspec.json.Decoder(_TickerFrame).decode
_decode_trade = msgspec.json.Decoder(_TradeFrame).decode
_decode_depth = msgspec.json.Decoder(_DepthFrame).decode


def typed_reader(stream: bytes) -> TypedReader | None:
    """How to read the frames of a stream of this name; None for a kind that is not known here."""
    kind = stream.partition(b"@")[2]
    if kind.startswith(b"kline_"):
        return read_kline
    if kind.startswith(b"depth") and kind[5:6].isdigit():
        return read_depth
    if kind == b"aggTrade":
        return read_trade
    return read_ticker if kind == b"bookTicker" else None


def read_ticker(frame: bytes) -> BookTickerEvent:
    data = _decode_ticker(frame).data
    prices = _price[data.b], parse_e8(data.B), _price[data.a], parse_e8(data.A)
    return _ticker_of((data.s, data.u, *prices))


def read_trade(frame: bytes) -> AggTradeEvent:
    data = _decode_trade(frame).data
    price, quantity = _price[data.p], parse_e8(data.q)
    if price <= 0 or quantity < 0:
        raise DataError("an impossible trade")
    return _trade_of((data.s, data.E, data.a, price, quantity, data.T, data.m))


def read_kline(frame: bytes) -> KlineEvent:
    data = _decode_kline(frame).data
    bar = data.k
    prices = _price[bar.o], _price[bar.h], _price[bar.l], _price[bar.c], parse_e8(bar.v)
    return _kline_of((data.s, data.E, bar.i, bar.t, bar.T, *prices, bar.n, bar.x))


def read_depth(frame: bytes) -> DepthEvent:
    wrapped = _decode_depth(frame)
    data = wrapped.data
    # A level of quantity 0 is none.
    bids, asks = tuple(filter(None, map(_level, data.bids))), tuple(filter(None, map(_level, data.asks)))
    return _depth_of((_symbol[wrapped.stream], data.lastUpdateId, bids, asks))


def _level_in(row: tuple[str, str]) -> tuple[int, int] | None:
    price, quantity = _price[row[0]], parse_e8(row[1])
    return (price, quantity) if quantity > 0 else None


def _symbol_in(stream: str) -> str:
    symbol = stream.partition("@")[0].upper()
    if not symbol:
        raise DataError("a frame names no symbol")  # partial depth names its symbol nowhere else
    return symbol


# Prices repeat from frame to frame, and most levels of a book stand still between two snapshots of it.
_price = Memo(parse_e8)
_level = Memo(_level_in).__getitem__
_symbol = Memo(_symbol_in, limit=1_024)
