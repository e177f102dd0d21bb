"""A tiny exchange whose history and frames a test writes itself; REST and stream on one loopback port."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from apps.marketdata.exchange.binance import Venue, venue
from tests.marketdata.builders import MINUTE, START, kline_row

FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True},
]


class FakeExchange:
    """Serves the bars whose indexes are in `history`; `say` sends a frame to every connection."""

    def __init__(self) -> None:
        self.history: dict[int, str] = {}
        self.now_ms = START
        self.sockets: list[web.WebSocketResponse] = []
        self.n_connections = 0
        self.klines_asked: list[tuple[str, int]] = []
        self.klines_status = 200

    async def __aenter__(self) -> FakeExchange:
        app = web.Application()
        app.router.add_get("/api/v3/time", self._time)
        app.router.add_get("/api/v3/exchangeInfo", self._info)
        app.router.add_get("/api/v3/klines", self._klines)
        app.router.add_get("/stream", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.venue: Venue = venue("simulated", rest_url=f"http://127.0.0.1:{port}", ws_url=f"ws://127.0.0.1:{port}")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.cut()
        await self._runner.cleanup()

    def close_bars(self, *indexes: int, close: str = "101.00000000") -> None:
        """These bars have closed, and the clock is past the last one."""
        self.history |= {at: close for at in indexes}
        self.now_ms = max(self.now_ms, START + (max(indexes) + 1) * MINUTE)

    async def say(self, stream: str, data: Any) -> None:
        for socket in self.sockets:
            if not socket.closed:
                await socket.send_str(json.dumps({"stream": stream, "data": data}))

    async def say_bar(self, at: int, *, closed: bool, event_ms: int | None = None, close: str = "101.00000000") -> None:
        symbol, row = "BTCUSDT", kline_row(at, close=close)
        event = event_ms or (START + (at + 1) * MINUTE + 5 if closed else START + at * MINUTE + 4_000)
        bar = dict(zip("tohlcvTqnVQB", row, strict=True)) | {"s": symbol, "i": "1m", "f": 1, "L": 1, "x": closed}
        self.now_ms = max(self.now_ms, event)
        await self.say(f"{symbol.lower()}@kline_1m", {"e": "kline", "E": event, "s": symbol, "k": bar})

    async def cut(self) -> None:
        for socket in self.sockets:
            await socket.close()
        self.sockets.clear()

    async def connected(self, n: int = 1) -> None:
        while self.n_connections < n:
            await asyncio.sleep(0.005)

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response({"serverTime": self.now_ms})

    async def _info(self, request: web.Request) -> web.Response:
        names = json.loads(request.query["symbols"])
        entries = [
            {"symbol": name, "status": "TRADING", "baseAsset": name[:-4], "quoteAsset": "USDT", "filters": FILTERS}
            for name in names
        ]
        return web.json_response({"symbols": entries, "rateLimits": []})

    async def _klines(self, request: web.Request) -> web.Response:
        self.klines_asked.append((request.query["symbol"], int(request.query["startTime"])))
        if self.klines_status != 200:
            return web.Response(status=self.klines_status, text="<html>busy</html>")
        first = -(-(int(request.query["startTime"]) - START) // MINUTE)
        found = [at for at in sorted(self.history) if at >= first][: int(request.query["limit"])]
        return web.json_response([kline_row(at, close=self.history[at]) for at in found])

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        self.n_connections += 1
        async for _ in socket:
            pass
        return socket
