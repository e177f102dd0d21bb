"""How are the REST questions answered?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson
from aiohttp import web

from apps.marketdata.exchange.simulated.bars import IDS_PER_MINUTE, BarTable
from apps.marketdata.exchange.simulated.faults import Dice
from apps.marketdata.exchange.simulated.intervals import DAY_MS, INTERVALS_MS, MINUTE_MS
from apps.marketdata.exchange.simulated.lies import HonestBars
from apps.marketdata.exchange.simulated.limits import Refusal, WeightLimits
from apps.marketdata.exchange.simulated.params import Params, Refused
from apps.marketdata.exchange.simulated.payloads import MICRO, MILLI, depth_body, kline_rows, trade_row
from apps.marketdata.exchange.simulated.symbols import exchange_info_entry
from apps.marketdata.exchange.simulated.tape import Tape, Trade
from apps.marketdata.exchange.simulated.units import text8

_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_RAW_REQUESTS = 300_000
_AVERAGE_MINUTES = 5
# Longer windows are computed beside the loop, so that no stream waits for them.
_INLINE_MS = 2 * DAY_MS
_PAGES = {403: "Forbidden", 503: "Service Temporarily Unavailable"}
_NO_SUCH_PATH = "<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>"


class Clock(Protocol):
    def now_ms(self) -> int: ...


Answer = Callable[["Rest", Params, int], Awaitable[Any]]


class Rest:
    """The handlers of /api/v3, each charged to its caller by weight."""

    def __init__(self, tape: Tape, clock: Clock, limits: WeightLimits, bars: HonestBars, dice: Dice | None) -> None:
        self._tape = tape
        self._clock = clock
        self._limits = limits
        self._bars = bars
        self._dice = dice
        self._specs = tape.market.specs

    def register(self, app: web.Application) -> None:
        for path, (answer, weight) in _ROUTES.items():
            app.router.add_get(f"/api/v3/{path}", self._handler(answer, weight))
        app.router.add_route("*", "/api/{rest:.*}", self._not_found)

    def _handler(
        self, answer: Answer, weight: Callable[[Params], int]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if self._dice is not None and self._dice.hits("html"):
                return _html(self._dice.rng.choice(tuple(_PAGES)))
            try:
                params = Params(request.query)
                cost = weight(params)
            except Refused as refused:
                used, refusal = self._limits.spend(request.remote or "", 1)
                return _refuse(refusal, used) if refusal else _error(refused, used)
            used, refusal = self._limits.spend(request.remote or "", cost)
            if refusal:
                return _refuse(refusal, used)
            try:
                unit = MICRO if request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND" else MILLI
                body = await answer(self, params, unit)
                return _json(200, body if isinstance(body, bytes) else orjson.dumps(body), used)
            except Refused as refused:
                return _error(refused, used)

        return handle

    async def _not_found(self, request: web.Request) -> web.Response:
        return web.Response(status=404, text=_NO_SUCH_PATH, content_type="text/html")

    async def ping(self, params: Params, unit: int) -> Any:
        params.done()
        return {}

    async def time(self, params: Params, unit: int) -> Any:
        params.done()
        return {"serverTime": self._clock.now_ms() * unit}

    async def exchange_info(self, params: Params, unit: int) -> Any:
        names = self._chosen(params)
        params.done()
        minute = {"interval": "MINUTE", "intervalNum": 1}
        return {
            "timezone": "UTC",
            "serverTime": self._clock.now_ms() * unit,
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", **minute, "limit": self._limits.limit},
                {"rateLimitType": "RAW_REQUESTS", **minute, "intervalNum": 5, "limit": _RAW_REQUESTS},
            ],
            "exchangeFilters": [],
            "symbols": [exchange_info_entry(self._specs[name]) for name in names or list(self._specs)],
        }

    async def klines(self, params: Params, unit: int) -> Any:
        symbol, interval, table = await self._klines(params)
        return kline_rows(self._bars.served(symbol, interval, table, self._clock.now_ms()), unit)

    async def ui_klines(self, params: Params, unit: int) -> Any:
        symbol, interval, table = await self._klines(params)
        return kline_rows(self._bars.served_again(symbol, interval, table), unit)

    async def _klines(self, params: Params) -> tuple[str, str, BarTable]:
        """The bars asked for, as they are, with their symbol and interval."""
        symbol, interval = params.symbol(self._specs), params.required("interval")
        if not self._tape.serves(interval):
            raise Refused(-1120, "Invalid interval.")
        start, end, limit = params.time("startTime"), params.time("endTime"), params.limit(default=500, most=1000)
        if params.text("timeZone") not in (None, "0", "0:00", "00:00", "+00:00"):
            raise Refused(-1130, "Data sent for parameter 'timeZone' is not valid.")
        params.done()
        asked = (symbol, interval, start, end, limit, self._clock.now_ms())
        if limit * INTERVALS_MS[interval] <= _INLINE_MS:
            return symbol, interval, self._tape.klines(*asked)
        return symbol, interval, await asyncio.to_thread(self._tape.klines, *asked)

    async def depth(self, params: Params, unit: int) -> Any:
        symbol, limit = params.symbol(self._specs), params.limit(default=100, most=5000)
        params.done()
        depth = self._tape.depth(symbol, limit, self._clock.now_ms())
        return depth_body(depth, limit) if depth else {"lastUpdateId": 0, "bids": [], "asks": []}

    async def agg_trades(self, params: Params, unit: int) -> Any:
        symbol = params.symbol(self._specs)
        start, end, from_id = params.time("startTime"), params.time("endTime"), params.number("fromId")
        limit = params.limit(default=500, most=1000)
        params.done()
        if from_id is not None and (start is not None or end is not None):
            raise Refused(-1128, "Combination of optional parameters invalid.")
        return [trade_row(trade, unit) for trade in self._trades(symbol, start, end, from_id, limit)]

    async def ticker_price(self, params: Params, unit: int) -> Any:
        def entry(symbol: str) -> dict[str, Any]:
            last = self._tape.last_trade(symbol, self._clock.now_ms())
            return {"symbol": symbol, "price": text8(last.price_e8 if last else 0)}

        return self._one_or_many(params, entry)

    async def book_ticker(self, params: Params, unit: int) -> Any:
        def entry(symbol: str) -> dict[str, Any]:
            depth = self._tape.depth(symbol, 1, self._clock.now_ms())
            (bid, bid_size), (ask, ask_size) = (depth.bids[0], depth.asks[0]) if depth else ((0, 0), (0, 0))
            names = ("bidPrice", "bidQty", "askPrice", "askQty")
            return {"symbol": symbol, **dict(zip(names, map(text8, (bid, bid_size, ask, ask_size)), strict=True))}

        return self._one_or_many(params, entry)

    async def avg_price(self, params: Params, unit: int) -> Any:
        symbol = params.symbol(self._specs)
        params.done()
        now = self._clock.now_ms()
        trades = list(self._tape.trades(symbol, now - _AVERAGE_MINUTES * MINUTE_MS, now))
        last = self._tape.last_trade(symbol, now)
        quantity = sum(trade.quantity_e8 for trade in trades)
        value = sum(trade.price_e8 * trade.quantity_e8 for trade in trades)
        price = value // quantity if quantity else last.price_e8 if last else 0
        closed = trades[-1].ts_ms if trades else now
        return {"mins": _AVERAGE_MINUTES, "price": text8(price), "closeTime": closed * unit}

    def _trades(self, symbol: str, start: int | None, end: int | None, from_id: int | None, limit: int) -> list[Trade]:
        now = self._clock.now_ms()
        upto = now if end is None else min(end, now)
        if from_id is None and start is None:
            return self._tape.newest_trades(symbol, upto, limit)
        after = start - 1 if start is not None else (from_id or 0) // IDS_PER_MINUTE * MINUTE_MS - 1
        found = []
        for trade in self._tape.trades(symbol, after, upto):
            if from_id is None or trade.agg_id >= from_id:
                found.append(trade)
            if len(found) == limit:
                break
        return found

    def _chosen(self, params: Params) -> list[str] | None:
        """The symbols asked for: one, a list, or None for all."""
        if params.text("symbol") is not None and params.text("symbols") is not None:
            raise Refused(-1128, "Combination of optional parameters invalid.")
        many = params.symbols(self._specs)
        return many if many is not None else [params.symbol(self._specs)] if params.text("symbol") is not None else None

    def _one_or_many(self, params: Params, entry: Callable[[str], dict[str, Any]]) -> Any:
        names = self._chosen(params)
        params.done()
        if params.text("symbol") is not None and names:
            return entry(names[0])
        return [entry(name) for name in names or list(self._specs)]


def _fixed(weight: int) -> Callable[[Params], int]:
    return lambda params: weight


def _ticker_weight(params: Params) -> int:
    return 2 if params.text("symbol") is not None else 4


def _depth_weight(params: Params) -> int:
    limit = params.limit(default=100, most=5000)
    return next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most)


_ROUTES: dict[str, tuple[Answer, Callable[[Params], int]]] = {
    "ping": (Rest.ping, _fixed(1)),
    "time": (Rest.time, _fixed(1)),
    "exchangeInfo": (Rest.exchange_info, _fixed(20)),
    "klines": (Rest.klines, _fixed(2)),
    "uiKlines": (Rest.ui_klines, _fixed(2)),
    "depth": (Rest.depth, _depth_weight),
    "aggTrades": (Rest.agg_trades, _fixed(4)),
    "ticker/price": (Rest.ticker_price, _ticker_weight),
    "ticker/bookTicker": (Rest.book_ticker, _ticker_weight),
    "avgPrice": (Rest.avg_price, _fixed(2)),
}


def _html(status: int) -> web.Response:
    title = f"{status} {_PAGES[status]}"
    page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return web.Response(status=status, text=page, content_type="text/html")


def _json(status: int, body: bytes, used: int, **headers: str) -> web.Response:
    weights = {"x-mbx-used-weight": str(used), "x-mbx-used-weight-1m": str(used)}
    return web.Response(
        status=status, body=body, content_type="application/json", charset="UTF-8", headers={**weights, **headers}
    )


def _error(refused: Refused, used: int) -> web.Response:
    return _json(refused.status, orjson.dumps({"code": refused.code, "msg": refused.message}), used)


def _refuse(refusal: Refusal, used: int) -> web.Response:
    body = orjson.dumps({"code": -1003, "msg": refusal.message})
    return _json(refusal.status, body, used, **{"Retry-After": str(refusal.retry_after_s)})
