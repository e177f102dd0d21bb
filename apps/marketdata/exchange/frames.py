"""What does a stream frame say? One typed event, nothing, or an error that names what is wrong with it.

Only letter case tells `e` from `E` and `t` from `T` in these frames, so keys are compared exactly. Partial depth and
bookTicker frames carry neither kind nor time: the stream's name and the keys tell them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from apps.engine.errors import DataError
from apps.engine.stream_events import (
    AggTradeEvent,
    BookTickerEvent,
    ControlEvent,
    DepthEvent,
    KlineEvent,
    MarketEvent,
    ShutdownEvent,
    StreamEvent,
)
from apps.marketdata.exchange.binance import levels
from apps.marketdata.exchange.decimals import INT64_MAX, parse_e8

__all__ = [
    "AggTradeEvent",
    "BookTickerEvent",
    "ControlEvent",
    "DepthEvent",
    "FrameParser",
    "KlineEvent",
    "MarketEvent",
    "ShutdownEvent",
    "StreamEvent",
]


class FrameParser:
    """Parses the frames of one connection and counts the kinds it does not know."""

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()

    def parse(self, frame: str | bytes) -> StreamEvent | None:
        """The event of a frame; None for a kind the desk does not use. Raises DataError for a malformed one."""
        try:
            body = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise DataError(f"a frame is not JSON ({error})") from error
        if not isinstance(body, dict):
            raise DataError("a frame is not a JSON object")
        try:
            return self._event(body)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError(f"a frame has an unknown shape ({error!r})") from error

    def _event(self, body: dict[str, Any]) -> StreamEvent | None:
        if "stream" not in body:
            return self._payload(body, "")
        return self._payload(body["data"], body["stream"])

    def _payload(self, data: dict[str, Any], stream: str) -> StreamEvent | None:
        kind = data.get("e")
        if kind is not None:
            read = _READERS.get(kind)
            if read is not None:
                return read(data)
        elif "u" in data and "b" in data and "B" in data:
            return _book_ticker(data)
        elif "lastUpdateId" in data:
            return _depth(data, stream)
        elif not stream and ("result" in data or "code" in data or "error" in data):
            return _control(data)
        name = kind or stream or ",".join(sorted(data))[:40]
        # Bounded: an exchange that invents kinds must not fill the memory.
        self.unknown[name if name in self.unknown or len(self.unknown) < 50 else "other"] += 1
        return None


def _kline(data: dict[str, Any]) -> KlineEvent:
    bar = data["k"]
    numbers = [parse_e8(bar[key]) for key in "ohlcv"]
    times = _integers(data["E"], bar["t"], bar["T"], bar["n"])
    first, high, low, last, volume = numbers
    closed = bar["x"]
    if not isinstance(closed, bool):
        raise TypeError("x is not true or false")
    return KlineEvent(
        str(data["s"]), times[0], str(bar["i"]), times[1], times[2], first, high, low, last, volume, times[3], closed
    )


def _book_ticker(data: dict[str, Any]) -> BookTickerEvent:
    update_id = _integers(data["u"])[0]
    numbers = [parse_e8(data[key]) for key in "bBaA"]
    return BookTickerEvent(str(data["s"]), update_id, *numbers)


def _agg_trade(data: dict[str, Any]) -> AggTradeEvent:
    event_ms, trade_id, trade_ms = _integers(data["E"], data["a"], data["T"])
    price, quantity = parse_e8(data["p"]), parse_e8(data["q"])
    if price <= 0 or quantity < 0 or not isinstance(data["m"], bool):
        raise ValueError("an impossible trade")
    return AggTradeEvent(str(data["s"]), event_ms, trade_id, price, quantity, trade_ms, data["m"])


def _depth(data: dict[str, Any], stream: str) -> DepthEvent:
    symbol = stream.partition("@")[0].upper()
    if not symbol:
        raise KeyError("stream")  # partial depth names its symbol nowhere else
    update_id = _integers(data["lastUpdateId"])[0]
    return DepthEvent(symbol, update_id, levels(data["bids"]), levels(data["asks"]))


def _shutdown(data: dict[str, Any]) -> ShutdownEvent:
    return ShutdownEvent(*_integers(data["E"]))


def _control(data: dict[str, Any]) -> ControlEvent:
    fault = data.get("error", data if "code" in data else None)
    return ControlEvent(data.get("id"), "" if fault is None else f"{fault.get('code')}: {fault.get('msg')}")


def _integers(*values: Any) -> list[int]:
    if any(type(value) is not int or not 0 <= value <= INT64_MAX for value in values):
        raise TypeError("a time, id or count is not a whole number")
    return list(values)


_READERS: dict[str, Callable[[dict[str, Any]], StreamEvent]] = {
    "kline": _kline,
    "aggTrade": _agg_trade,
    "serverShutdown": _shutdown,
}
