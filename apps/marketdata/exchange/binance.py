"""Where is the exchange, what are its streams called, and what do its REST bodies say?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from apps.engine.errors import DataError, InvalidInput
from apps.engine.values import Bars, Book
from apps.marketdata.exchange.decimals import INT64_MAX, parse_e8

BINANCE_REST_URL = "https://data-api.binance.vision"
BINANCE_WS_URL = "wss://data-stream.binance.vision"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
ALLOWED_HOSTS = frozenset(
    {
        *("data-api.binance.vision", "data-stream.binance.vision", "stream.binance.com"),
        *("api.binance.com", "api-gcp.binance.com", "api1.binance.com", "api2.binance.com"),
        *("api3.binance.com", "api4.binance.com", "testnet.binance.vision", "stream.testnet.binance.vision"),
    }
)


class Venue(NamedTuple):
    """One exchange: what its bars are labeled with, and its two base addresses."""

    source: str
    rest_url: str
    ws_url: str


class UnreadableRow(NamedTuple):
    """A row of a klines body that is no bar. `open_time_ms` is None when it does not even tell that."""

    open_time_ms: int | None
    raw: str
    why: str


def venue(exchange: str, *, rest_url: str = "", ws_url: str = "") -> Venue:
    """The addresses of an exchange by name. Raises InvalidInput for a host that is not on the allow-list."""
    if exchange == "binance":
        chosen = Venue("binance", rest_url or BINANCE_REST_URL, ws_url or BINANCE_WS_URL)
    elif exchange == "simulated":
        if not rest_url or not ws_url:
            raise InvalidInput("the simulated exchange needs its REST and stream address", field="EXCHANGE_REST_URL")
        chosen = Venue("simulated", rest_url, ws_url)
    else:
        raise InvalidInput(f"unknown exchange {exchange!r}; known: binance, simulated", field="EXCHANGE")
    require_allowed(chosen.rest_url, plain="http", secure="https", field="EXCHANGE_REST_URL")
    require_allowed(chosen.ws_url, plain="ws", secure="wss", field="EXCHANGE_WS_URL")
    return Venue(chosen.source, chosen.rest_url.rstrip("/"), chosen.ws_url.rstrip("/"))


def require_allowed(url: str, *, plain: str, secure: str, field: str) -> None:
    """Refuse an address that is neither this machine nor a known host over TLS."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(url) and parts.scheme in {plain, secure}:
        return
    if host not in ALLOWED_HOSTS or parts.scheme != secure or parts.username is not None:
        raise InvalidInput(f"{url!r} is not an address the desk may call", field=field)


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine, where neither TLS nor a proxy is wanted."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def stream_names(symbols: Iterable[str], interval: str) -> list[str]:
    """The four streams of each symbol that the desk lives on."""
    kinds = (f"kline_{interval}", "bookTicker", "aggTrade", "depth20@100ms")
    return [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in kinds]


def combined_url(ws_url: str, streams: Sequence[str]) -> str:
    """Address of one combined connection, which may carry at most 1024 streams."""
    if not 1 <= len(streams) <= 1024:
        raise InvalidInput("a connection carries 1 to 1024 streams", field="SYMBOLS")
    return f"{ws_url}/stream?streams={'/'.join(streams)}"


def bars_of_klines(rows: Any, unreadable: list[UnreadableRow] | None = None) -> Bars:
    """The block of bars in a klines body.

    Raises DataError when the body has another shape, or one row of it; with a list, such rows are put there instead.
    """
    try:
        return _bars_of_rows(rows)
    except DataError:
        if unreadable is None or not isinstance(rows, list):
            raise
    blocks = [_bars_of_rows([])]
    for row in rows:
        try:
            blocks.append(_bars_of_rows([row]))
        except DataError as error:
            opened = row[0] if isinstance(row, list) and row and _is_count(row[0]) else None
            unreadable.append(UnreadableRow(opened, json.dumps(row, separators=(",", ":")), str(error)))
    return Bars(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))


def _bars_of_rows(rows: Any) -> Bars:
    try:
        columns = [
            [row[0] for row in rows],
            *([parse_e8(row[place]) for row in rows] for place in range(1, 6)),
            [row[8] for row in rows],
        ]
    except (TypeError, IndexError, KeyError) as error:
        raise DataError(f"a klines body has an unknown shape ({error})") from error
    if not all(_is_count(value) for column in (columns[0], columns[6]) for value in column):
        raise DataError("a klines body holds a time or count that is no integer")
    return Bars(*(np.array(column, dtype=np.int64) for column in columns))


def _is_count(value: Any) -> bool:
    return type(value) is int and abs(value) <= INT64_MAX


def book_of_depth(symbol: str, ts_ms: int, body: Mapping[str, Any]) -> Book:
    """The book in a depth body or a partial-depth frame."""
    try:
        return Book(symbol, ts_ms, int(body["lastUpdateId"]), levels(body["bids"]), levels(body["asks"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{symbol}: a depth body has an unknown shape ({error})") from error


def levels(rows: Iterable[Sequence[str]]) -> tuple[tuple[int, int], ...]:
    """(price, quantity) pairs of a side, levels of quantity 0 left out."""
    pairs = [(parse_e8(row[0]), parse_e8(row[1])) for row in rows]
    return tuple(pair for pair in pairs if pair[1] > 0)
