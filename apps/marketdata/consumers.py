"""Who is at the other end of this WebSocket, and what does it ask for? The fan-out writes to it; here it is let in.

A login ends while its socket lives on, so it is looked at again every half minute or so.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from apps.marketdata.admission import is_own_page, may_read, meta_of, scheme_of
from apps.marketdata.fanout import Fanout, fanout_of
from apps.marketdata.hub import hub
from apps.marketdata.market import market_view
from apps.marketdata.price_client import BAD_REQUEST, FAILED, NOT_ALLOWED, PriceClient

RECHECK_S = 45.0  # with the time that a check takes, a login that ended is noticed within a minute
LONGEST_MESSAGE = 1_024
LONGEST_QUERY = 2_048

log = logging.getLogger(__name__)


class PricesConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels carries no types
    """WS /ws/prices/?symbols=BTCUSDT,ETHUSDT."""

    channel_layer_alias = "none"  # prices never travel through a channel layer, which would drop the newest

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels would first look after database connections, in a thread, at each acknowledgement. None is held.
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        self.client: PriceClient | None = None
        self.recheck: asyncio.Task[None] | None = None
        await self.accept()
        if not is_own_page(meta_of(self.scope), scheme_of(self.scope)) or not await may_read(self.scope):
            await self.close(NOT_ALLOWED)
            return
        symbols = wanted_symbols(self.scope.get("query_string", b""))
        if symbols is None:
            await self.close(BAD_REQUEST)
            return
        self.client = PriceClient(symbols, send=self._send_text, close=self.close, now_s=time.monotonic())
        self.fanout: Fanout = fanout_of(market_view())
        self.fanout.join(self.client)
        self.recheck = asyncio.ensure_future(self._recheck_until_gone())

    async def disconnect(self, code: int) -> None:
        if self.client is not None:
            self.fanout.leave(self.client)
        if self.recheck is not None:
            self.recheck.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.client is None:
            return  # not let in, or on its way out
        acked = acked_seq(text_data)
        if acked is None or not self.client.acknowledge(acked, time.monotonic()):
            await self._end(BAD_REQUEST)

    async def _recheck_until_gone(self) -> None:
        """End the connection once its login has ended. Spread out, so that a thousand do not ask at once."""
        while True:
            await asyncio.sleep(random.uniform(RECHECK_S / 2, RECHECK_S))
            try:
                is_allowed = await may_read(self.scope)
            except DatabaseError as error:
                log.warning("a price client is cut off: its login could not be looked at: %s", error)
                await self._end(FAILED)
                return
            if not is_allowed:
                await self._end(NOT_ALLOWED)
                return

    async def _send_text(self, text: str) -> None:
        # What AsyncWebsocketConsumer.send comes down to for a text, without its detours: this is the busiest line.
        await self.base_send({"type": "websocket.send", "text": text})

    async def _end(self, code: int) -> None:
        """Close, and neither write nor listen after that."""
        if self.client is not None:
            self.fanout.leave(self.client)
            self.client = None
        await self.close(code)


def wanted_symbols(query: bytes) -> tuple[str, ...] | None:
    """The symbols asked for in the order of the watch list, all of it when none; None when the question is nonsense."""
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
    return tuple(name for name in settings.SYMBOLS if not names or name in names)


def acked_seq(text: str | None) -> int | None:
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


# The hub wakes the fan-outs when a price has changed; once per process.
market_view().on_update(hub.ring)
