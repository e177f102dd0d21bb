"""Where is the exchange, what are its streams called, and what do its REST bodies say?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from apps.engine.errors import DataError, InvalidInput
from apps.engine.values import Bars, Book, Filters
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


class SymbolRules(NamedTuple):
    """What exchangeInfo says of one symbol. `filters.revision` is 0: rows number revisions."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    filters: Filters
    raw: str


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


def rules_of(entry: Mapping[str, Any]) -> SymbolRules:
    """The rules of one entry of exchangeInfo. Raises InvalidInput naming a symbol that cannot be held exactly."""
    try:
        name = str(entry["symbol"])
        found = {str(rule["filterType"]): rule for rule in entry["filters"]}
        filters = _filters_of(found)
        rules = SymbolRules(
            *(name, str(entry["baseAsset"]), str(entry["quoteAsset"]), str(entry["status"]), filters),
            json.dumps(entry["filters"], separators=(",", ":"), sort_keys=True),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"exchangeInfo has an unknown shape ({error!r})") from error
    except DataError as error:
        raise InvalidInput(f"{entry.get('symbol')} cannot be traded: {error}", field="symbol") from error
    if not filters.is_exact():
        why = "tick times step is finer than 1e-8, so its money cannot be exact"
        raise InvalidInput(f"{name} cannot be traded: {why}", field="symbol")
    return rules


def _filters_of(found: Mapping[str, Mapping[str, Any]]) -> Filters:
    price, lot, market = (found.get(kind, {}) for kind in ("PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE"))
    notional, minimum = found.get("NOTIONAL", {}), found.get("MIN_NOTIONAL", {})
    floors = [_rule(notional, "minNotional") if notional.get("applyMinToMarket", True) else 0]
    floors.append(_rule(minimum, "minNotional") if minimum.get("applyToMarket", True) else 0)
    return Filters(
        tick_e8=_rule(price, "tickSize") or 1,
        step_e8=_rule(lot, "stepSize") or 1,
        min_qty_e8=_rule(lot, "minQty"),
        max_qty_e8=_ceiling(lot, "maxQty"),
        market_step_e8=_rule(market, "stepSize"),
        market_min_qty_e8=_rule(market, "minQty"),
        market_max_qty_e8=_ceiling(market, "maxQty"),
        min_notional_e8=max(floors),
        max_notional_e8=_ceiling(notional, "maxNotional") if notional.get("applyMaxToMarket", False) else 0,
        revision=0,
    )


def _rule(found: Mapping[str, Any], field: str) -> int:
    count = parse_e8(found.get(field, "0"))
    if count < 0:
        raise DataError(f"{field} {found[field]!r} is below zero")
    return count


def _ceiling(found: Mapping[str, Any], field: str) -> int:
    """An upper bound; one beyond int64 can never be reached by a quantity that is held, so it is no rule."""
    try:
        return _rule(found, field)
    except DataError as error:
        if "too large" in str(error):
            return 0
        raise
