"""What does a stream frame say? One typed event, nothing, or an error that names what is wrong with it.

Only letter case tells `e` from `E` and `t` from `T` in these frames, so keys are compared exactly. Partial depth and
bookTicker frames carry neither kind nor time: the stream's name and the keys tell them apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
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
from apps.marketdata.exchange.typed_frames import TypedReader, typed_reader

__all__ = [
    "AggTradeEvent",
    "BadKline",
    "BookTickerEvent",
    "ControlEvent",
    "DepthEvent",
    "FrameParser",
    "KlineEvent",
    "MarketEvent",
    "ShutdownEvent",
    "StreamEvent",
]

MOST_STREAMS = 1_024  # of one connection
_OPENING = b'{"stream":"'
_KLINE_STREAM = re.compile(rb'\{"stream":"([A-Za-z0-9]{1,32})@kline_([0-9A-Za-z]{2,3})"')


class BadKline(DataError):
    """A kline frame that cannot be read. What it says of its bar is kept as far as it could be told."""

    def __init__(
        self, why: str, *, symbol: str, interval: str, open_time_ms: int | None, closed: bool | None, raw: str
    ) -> None:
        super().__init__(why)
        self.symbol = symbol
        self.interval = interval
        self.open_time_ms = open_time_ms
        self.closed = closed
        self.raw = raw


class FrameParser:
    """Parses the frames of one connection and counts the kinds it does not know.

    A frame of a stream the desk lives on is read in one typed pass; whatever does not fit is read again with care.
    """

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        self._typed: dict[bytes, TypedReader] = {}

    def parse(self, frame: str | bytes) -> StreamEvent | None:
        """The event of a frame; None for a kind the desk does not use.

        Raises DataError for a malformed one, BadKline where a kline is meant.
        """
        data = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        head = data[: data.find(b'"', len(_OPENING))]
        read = self._typed.get(head) or self._learn(head)
        if read is not None and data.isascii():
            try:
                return read(data)
            except (msgspec.DecodeError, DataError, RecursionError):
                pass  # read again below, by what can say what is wrong with it
        return self._read_with_care(data)

    def _learn(self, head: bytes) -> TypedReader | None:
        if not head.startswith(_OPENING):
            return None
        read = typed_reader(head[len(_OPENING) :])
        if read is not None and len(self._typed) < MOST_STREAMS:
            self._typed[head] = read
        return read

    def _read_with_care(self, frame: bytes) -> StreamEvent | None:
        body = None
        try:
            body = orjson.loads(frame)
            if not isinstance(body, dict):
                raise DataError("a frame is not a JSON object")
            return self._event(body)
        except orjson.JSONDecodeError as error:
            raise _refusal(f"a frame is not JSON ({error})", frame, body) from error
        except DataError as error:
            raise _refusal(str(error), frame, body) from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise _refusal(f"a frame has an unknown shape ({error!r})", frame, body) from error

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
        name = str(kind or stream or ",".join(sorted(data)))[:40]
        # Bounded: an exchange that invents kinds must not fill the memory.
        self.unknown[name if name in self.unknown or len(self.unknown) < 50 else "other"] += 1
        return None


def _refusal(why: str, frame: bytes, body: Any) -> DataError:
    """The error of a frame: a BadKline where a kline is meant, by its own word or by its stream's name."""
    named = _KLINE_STREAM.match(frame)
    data = body.get("data", body) if isinstance(body, dict) else None
    told = data if isinstance(data, dict) else {}
    if told.get("e") != "kline" and (named is None or told.get("e") is not None):
        return DataError(why)
    bar = told["k"] if isinstance(told.get("k"), dict) else {}
    symbol, interval, opened, closed = told.get("s"), bar.get("i"), bar.get("t"), bar.get("x")
    stream_symbol, stream_interval = (part.decode() for part in named.groups()) if named else ("", "")
    return BadKline(
        why,
        symbol=symbol if isinstance(symbol, str) else stream_symbol.upper(),
        interval=interval if isinstance(interval, str) else stream_interval,
        open_time_ms=opened if type(opened) is int and 0 <= opened <= INT64_MAX else None,
        closed=closed if isinstance(closed, bool) else None,
        raw=frame.decode("utf-8", "replace"),
    )


def _kline(data: dict[str, Any]) -> KlineEvent:
    bar = data["k"]
    event_ms, opened, closes, trades = _integers(data["E"], bar["t"], bar["T"], bar["n"])
    first, high, low, last, volume = (parse_e8(bar[key]) for key in "ohlcv")
    closed, interval, symbol = bar["x"], bar["i"], _symbol(data)
    if not isinstance(closed, bool) or not isinstance(interval, str):
        raise TypeError("x is not true or false, or i no text")
    return KlineEvent(symbol, event_ms, interval, opened, closes, first, high, low, last, volume, trades, closed)


def _book_ticker(data: dict[str, Any]) -> BookTickerEvent:
    update_id = _integers(data["u"])[0]
    numbers = [parse_e8(data[key]) for key in "bBaA"]
    return BookTickerEvent(_symbol(data), update_id, *numbers)


def _agg_trade(data: dict[str, Any]) -> AggTradeEvent:
    event_ms, trade_id, trade_ms = _integers(data["E"], data["a"], data["T"])
    price, quantity = parse_e8(data["p"]), parse_e8(data["q"])
    if price <= 0 or quantity < 0 or not isinstance(data["m"], bool):
        raise ValueError("an impossible trade")
    return AggTradeEvent(_symbol(data), event_ms, trade_id, price, quantity, trade_ms, data["m"])


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


def _symbol(data: dict[str, Any]) -> str:
    symbol = data["s"]
    if not isinstance(symbol, str):
        raise TypeError("s is no text")
    return symbol


def _integers(*values: Any) -> list[int]:
    if any(type(value) is not int or not 0 <= value <= INT64_MAX for value in values):
        raise TypeError("a time, id or count is not a whole number")
    return list(values)


_READERS: dict[str, Callable[[dict[str, Any]], StreamEvent]] = {
    "kline": _kline,
    "aggTrade": _agg_trade,
    "serverShutdown": _shutdown,
}
