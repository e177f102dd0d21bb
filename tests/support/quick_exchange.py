"""An exchange a hundred times quicker than a real one, whose every answer follows from the clock.

Quote number n is told at 10 n ms and has a price made of n; the same holds for trades and their ids. So what any frame
should say, and how old it is, can be worked out from its number alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from apps.marketdata.exchange.binance import Venue, venue

SYMBOLS = ("BTCUSDT", "ETHUSDT")
STEP_MS = 10
KLINE_STEPS = 2
MINUTE_MS = 60_000
HEARTBEAT_S = 0.6
FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True},
]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def number_at(ts_ms: int) -> int:
    """The number of the newest quote and trade at a time; small, so that ids look like ids."""
    return ts_ms // STEP_MS % 10**10


def price_e8(number: int) -> int:
    """The bid of quote `number`, and the price of that trade."""
    return (100_00 + number % 1_000) * 1_000_000


def ms_of(number: int, near_ms: int) -> int:
    """When quote `number` was told, seen from a time not long after it."""
    return near_ms - (number_at(near_ms) - number) * STEP_MS - near_ms % STEP_MS


class QuickExchange:
    """REST and stream on one loopback port. Use as an async context manager."""

    async def __aenter__(self) -> QuickExchange:
        app = web.Application()
        app.router.add_get("/api/v3/time", self._time)
        app.router.add_get("/api/v3/exchangeInfo", self._info)
        app.router.add_get("/api/v3/klines", self._klines)
        app.router.add_get("/api/v3/aggTrades", self._trades)
        app.router.add_get("/stream", self._stream)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    def venue(self, ws_url: str) -> Venue:
        """REST of this exchange, the stream at another address."""
        return venue("simulated", rest_url=f"http://127.0.0.1:{self.port}", ws_url=ws_url)

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response({"serverTime": now_ms()})

    async def _info(self, request: web.Request) -> web.Response:
        entries = [
            {"symbol": name, "status": "TRADING", "baseAsset": name[:-4], "quoteAsset": "USDT", "filters": FILTERS}
            for name in SYMBOLS
        ]
        return web.json_response({"symbols": entries, "rateLimits": []})

    async def _klines(self, request: web.Request) -> web.Response:
        start, limit = int(request.query["startTime"]), int(request.query["limit"])
        opens = range(-(-start // MINUTE_MS) * MINUTE_MS, now_ms(), MINUTE_MS)[:limit]
        price = "100.00000000"
        rows = [
            [at, price, price, price, price, "1.00000000", at + MINUTE_MS - 1, price, 1, "0.5", "50", "0"]
            for at in opens
        ]
        return web.json_response(rows)

    async def _trades(self, request: web.Request) -> web.Response:
        first, now = int(request.query["fromId"]), now_ms()
        last = min(number_at(now), first + int(request.query.get("limit", "500")) - 1)
        return web.json_response([_trade(number, ms_of(number, now)) for number in range(first, last + 1)])

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
        await socket.prepare(request)
        telling = asyncio.ensure_future(self._tell(socket))
        try:
            async for _ in socket:
                pass
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        return socket

    async def _tell(self, socket: web.WebSocketResponse) -> None:
        """One connection's frames: each trade, and the newest of the rest."""
        told = number_at(now_ms())
        while True:
            await asyncio.sleep(STEP_MS / 1_000)
            now = now_ms()
            for number in range(told + 1, number_at(now) + 1):
                for frame in _frames(number, ms_of(number, now)):
                    await socket.send_frame(orjson.dumps(frame), aiohttp.WSMsgType.TEXT)
                told = number


def _frames(number: int, ts_ms: int) -> Iterator[dict[str, Any]]:
    bid, ask = _text(price_e8(number)), _text(price_e8(number) + 1_000_000)
    for symbol in SYMBOLS:
        name = symbol.lower()
        quote = {"u": number, "s": symbol, "b": bid, "B": "1.0", "a": ask, "A": "1.0"}
        trade = {"e": "aggTrade", "E": ts_ms, "s": symbol, **_trade(number, ts_ms)}
        yield {"stream": f"{name}@bookTicker", "data": quote}
        yield {"stream": f"{name}@aggTrade", "data": trade}
        if number % KLINE_STEPS == 0:
            yield {"stream": f"{name}@kline_1m", "data": _kline(symbol, ts_ms)}


def _trade(number: int, ts_ms: int) -> dict[str, Any]:
    ids = {"a": number, "f": number, "l": number, "T": ts_ms}
    return {**ids, "p": _text(price_e8(number)), "q": "1.00000000", "m": False, "M": True}


def _kline(symbol: str, ts_ms: int) -> dict[str, Any]:
    opened, price = ts_ms // MINUTE_MS * MINUTE_MS, "100.00000000"
    bar = {"t": opened, "T": opened + MINUTE_MS - 1, "s": symbol, "i": "1m", "f": 1, "L": 1, "n": 1, "x": False}
    money = dict.fromkeys("ohlc", price) | dict.fromkeys("vVqQ", "1.00000000")
    return {"e": "kline", "E": ts_ms, "s": symbol, "k": {**bar, **money, "B": "0"}}


def _text(value_e8: int) -> str:
    return f"{value_e8 // 10**8}.{value_e8 % 10**8:08d}"
