"""What does a browser see of the prices? A snapshot, then the latest, as fast as it takes them and never faster.

One sender task per client reads what is latest from the MarketView, so a slow client costs no memory: it skips, it does
not queue. The transport tells nothing of a stalled reader, so the client acknowledges what it has seen.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import orjson
from autobahn.exception import Disconnected
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from apps.marketdata.admission import is_own_page, may_read, meta_of, scheme_of
from apps.marketdata.hub import HubClient, hub
from apps.marketdata.market import MarketView, market_view
from apps.marketdata.wire import status_message, tick_of
from apps.web.values import iso_ms

BAD_REQUEST, NOT_ALLOWED, NO_ACK, TOO_SLOW, FAILED = 4400, 4401, 4408, 4409, 4500
FRAME_GAP_S = 0.1
IDLE_S = 1.0
ACK_WITHIN_S = 15.0
UNSEEN_LIMIT = 64
LONGEST_MESSAGE = 1_024
LONGEST_QUERY = 2_048

log = logging.getLogger(__name__)


class PricesConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels carries no types
    """WS /ws/prices/?symbols=BTCUSDT,ETHUSDT."""

    channel_layer_alias = "none"  # prices never travel through a channel layer, which would drop the newest

    async def connect(self) -> None:
        self.view: MarketView = market_view()
        self.sender: asyncio.Task[None] | None = None
        self.client: HubClient | None = None
        self.seq = self.acked = 0
        await self.accept()
        if not is_own_page(meta_of(self.scope), scheme_of(self.scope)) or not await may_read(self.scope):
            await self.close(NOT_ALLOWED)
            return
        symbols = _wanted_symbols(self.scope.get("query_string", b""))
        if symbols is None:
            await self.close(BAD_REQUEST)
            return
        self.acked_at = time.monotonic()
        self.client = HubClient(symbols)
        self.seen = {symbol: -1 for symbol in symbols}
        hub.join(self.client)
        self.sender = asyncio.ensure_future(self._send_until_gone())

    async def disconnect(self, code: int) -> None:
        if self.client is not None:
            hub.leave(self.client)
        if self.sender is not None and self.sender is not asyncio.current_task():
            self.sender.cancel()
            with suppress(asyncio.CancelledError):
                await self.sender

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        acked = _acked(text_data)
        if acked is None or not self.acked <= acked <= self.seq:
            await self.close(BAD_REQUEST)
            return
        self.acked, self.acked_at = acked, time.monotonic()

    async def _send_until_gone(self) -> None:
        try:
            await self._send_loop()
        except Disconnected:
            log.debug("a price client has left")  # the transport knows before `disconnect` is called
        except Exception:
            log.exception("a price client is cut off")
            with suppress(Disconnected):
                await self.close(FAILED)

    async def _send_loop(self) -> None:
        assert self.client is not None
        status = status_message(self.view)
        await self._send({"type": "snapshot", **self._stamp(), "ticks": self._ticks(everything=True), "status": status})
        while True:
            await asyncio.sleep(FRAME_GAP_S)
            await self.client.wait(IDLE_S)
            messages = self.client.take()
            if self.client.too_slow:
                await self.close(TOO_SLOW)
                return
            if time.monotonic() - self.acked_at > ACK_WITHIN_S:
                await self.close(NO_ACK)
                return
            for message in messages:
                await self._send(message)
            status, previous = status_message(self.view), status
            if status != previous:
                await self._send({"type": "status", **self._stamp(), **status})
            await self._send_ticks()

    async def _send_ticks(self) -> None:
        if self.seq - self.acked > UNSEEN_LIMIT:
            return  # the client lags: it gets the latest once it has caught up
        ticks = self._ticks(everything=False)
        if ticks:
            await self._send({"type": "ticks", **self._stamp(), "ticks": ticks})

    def _ticks(self, *, everything: bool) -> list[dict[str, Any]]:
        ticks = []
        for symbol, seen in self.seen.items():
            version = self.view.version(symbol)
            tick = tick_of(self.view, symbol) if everything or version != seen else None
            if tick is not None:
                if seen >= 0:
                    self.view.feed.count_conflated(max(0, version - seen - 1))
                self.seen[symbol] = version
                ticks.append(tick)
        return ticks

    def _stamp(self) -> dict[str, Any]:
        return {"ts": iso_ms(self.view.now_ms()) if self.view.clock.is_set else None}

    async def _send(self, message: Any) -> None:
        self.seq += 1
        await self.send(text_data=orjson.dumps({"seq": self.seq, **message}).decode())


def _wanted_symbols(query: bytes) -> tuple[str, ...] | None:
    """The symbols asked for, the whole watch list when none; None when the question makes no sense."""
    if len(query) > LONGEST_QUERY:
        return None
    try:
        asked = parse_qs(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=4)
    except ValueError:
        return None
    if set(asked) - {"symbols"} or len(asked.get("symbols", [""])) != 1:
        return None
    names = [name for name in asked.get("symbols", [""])[0].split(",") if name]
    if len(set(names)) != len(names) or not set(names) <= set(settings.SYMBOLS):
        return None
    return tuple(names) or tuple(settings.SYMBOLS)


def _acked(text: str | None) -> int | None:
    """The number in `{"ack": n}`; None for anything else."""
    if not text or len(text) > LONGEST_MESSAGE:
        return None
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or set(message) != {"ack"} or type(message["ack"]) is not int:
        return None
    return int(message["ack"])


# The hub rings the bells of those who follow a symbol whose price has changed; once per process.
market_view().on_update(hub.ring)
