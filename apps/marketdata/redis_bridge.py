"""How do prices reach the processes that do not own the stream? Over one Redis channel, latest first.

The stream's process publishes quotes and books at most ten times a second per symbol, trades as they gather, the nudge
of a stored bar at once, and which symbols are in doubt. Every other process subscribes and feeds the same MarketView,
clock included. Messages to the browsers travel both ways, so that a decision taken in one process is seen by the
clients of all.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from apps.engine.values import Book
from apps.marketdata.exchange.frames import AggTradeEvent
from apps.marketdata.hub import Hub, Message
from apps.marketdata.hub import hub as process_hub
from apps.marketdata.lane import Quote
from apps.marketdata.market import MarketView

CHANNEL = "tradedesk.market"
FLUSH_S = 0.1
BEAT_S = 1.0
SILENT_AFTER_S = 5.0
PENDING_LIMIT = 1_000
BACKOFF_CAP_S = 30.0
ORIGIN = secrets.token_hex(8)  # what this process published comes back to it, and is skipped
_STATE = ("connected", "source", "backlog_size", "backlog_limit", "last_beat_ms", "last_message_ms", "reconnects")

log = logging.getLogger(__name__)


async def run_publisher(
    view: MarketView, stop: asyncio.Event, *, url: str, owns_stream: bool, hub: Hub = process_hub, origin: str = ORIGIN
) -> None:
    """Send what changes in this process until `stop`. Only the owner of the stream sends prices."""
    outbox = _Outbox(view, hub, owns_stream=owns_stream)
    try:
        await _keep_trying(lambda redis: _publish(redis, outbox, stop, origin), stop, url)
    finally:
        outbox.close()


async def run_subscriber(
    view: MarketView, stop: asyncio.Event, *, url: str, hub: Hub = process_hub, origin: str = ORIGIN
) -> None:
    """Feed `view` and `hub` with what other processes publish, until `stop`."""
    try:
        await _keep_trying(lambda redis: _subscribe(redis, view, hub, stop, origin), stop, url)
    finally:
        view.feed.connected = False


async def _keep_trying(work: Callable[[Redis], Awaitable[None]], stop: asyncio.Event, url: str) -> None:
    failures = 0
    while not stop.is_set():
        started = time.monotonic()
        redis = Redis.from_url(url, socket_connect_timeout=5, health_check_interval=10)
        try:
            await work(redis)
        except (RedisError, OSError) as error:
            log.warning("the price channel on Redis is away: %s", error)
            failures = 0 if time.monotonic() - started > 60 else failures + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0, min(BACKOFF_CAP_S, 0.25 * 2**failures))):
                    await stop.wait()
        finally:
            await redis.aclose()


async def _publish(redis: Redis, outbox: _Outbox, stop: asyncio.Event, origin: str) -> None:
    while not stop.is_set():
        await outbox.wait(FLUSH_S)
        parts = outbox.collect()
        if parts:
            await redis.publish(CHANNEL, orjson.dumps({"origin": origin, **parts}))
            outbox.sent(parts)


async def _subscribe(redis: Redis, view: MarketView, hub: Hub, stop: asyncio.Event, origin: str) -> None:
    heard = time.monotonic()
    async with redis.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        while not stop.is_set():
            message = await channel.get_message(timeout=0.25)
            if message is not None:
                parts = orjson.loads(message["data"])
                if parts.pop("origin") != origin:
                    _take(view, hub, parts)
                    heard = time.monotonic() if "now_ms" in parts else heard
            if time.monotonic() - heard > SILENT_AFTER_S:
                view.feed.connected = False


def _take(view: MarketView, hub: Hub, parts: dict[str, Any]) -> None:
    if "now_ms" in parts:
        view.clock.observe_server(parts["now_ms"])
        view.feed.count_message(view.now_ms())
    for symbol, ts_ms, update_id, bids, asks in parts.get("books", ()):
        view.put_book(Book(symbol, ts_ms, update_id, _pairs(bids), _pairs(asks)))
    for trade in parts.get("trades", ()):
        view.put_trade(AggTradeEvent(*trade))
    for quote in parts.get("quotes", ()):
        view.put_quote(Quote(*quote))
    for name, value in parts.get("state", {}).items():
        setattr(view.feed, name, value)
    if "doubt" in parts:
        for symbol in view.symbols():
            view.set_unconfirmed(symbol, symbol in parts["doubt"]["symbols"])
    # Last: who hears of a bar may act on it, and must know by then what is in doubt.
    for symbol, open_time_ms in parts.get("bars", ()):
        view.announce_bar(symbol, open_time_ms)
    for text in parts.get("messages", ()):
        hub.deliver(text)


def _pairs(rows: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((price, quantity) for price, quantity in rows)


class _Outbox:
    """What has changed since it was last sent. What could not be sent stays; prices are then sent as they are later."""

    def __init__(self, view: MarketView, hub: Hub, *, owns_stream: bool) -> None:
        self._view = view
        self._owns_stream = owns_stream
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        self._bars: deque[tuple[str, int]] = deque(maxlen=PENDING_LIMIT)
        self._messages: deque[Message] = deque(maxlen=PENDING_LIMIT)
        self._quotes: dict[str, list[Any]] = {}
        self._books: dict[str, tuple[int, int]] = {}
        self._trade_ids: dict[str, int] = {}
        self._doubt: dict[str, list[str]] = {}
        self._latest_at = self._beat_at = 0.0
        self._undo = [hub.relay_to(self._on_message)]
        if owns_stream:
            self._undo.append(view.on_bar_closed(self._on_bar))

    def close(self) -> None:
        for undo in self._undo:
            undo()

    async def wait(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        self._bell.clear()

    def collect(self) -> dict[str, Any]:
        """The parts of the next message; empty when there is nothing to say."""
        now, view = time.monotonic(), self._view
        parts: dict[str, Any] = {"bars": list(self._bars), "messages": list(self._messages)}
        if self._owns_stream and now - self._latest_at >= FLUSH_S * 0.9:
            self._latest_at = now
            parts |= {"books": self._new_books(), "trades": self._new_trades(), "quotes": self._new_quotes()}
        doubt = {"symbols": [symbol for symbol in view.symbols() if view.is_unconfirmed(symbol)]}
        is_beat = now - self._beat_at >= BEAT_S
        if self._owns_stream and (is_beat or doubt != self._doubt):
            parts["doubt"] = doubt
        if self._owns_stream and is_beat:
            self._beat_at = now
            parts["state"] = {name: getattr(view.feed, name) for name in _STATE}
        parts = {name: value for name, value in parts.items() if value}
        if parts and self._owns_stream and view.clock.is_set:
            parts["now_ms"] = view.now_ms()
        return parts

    def sent(self, parts: dict[str, Any]) -> None:
        """Forget what went out."""
        for _ in parts.get("bars", ()):
            self._bars.popleft()
        for _ in parts.get("messages", ()):
            self._messages.popleft()
        self._doubt = parts.get("doubt", self._doubt)
        self._books |= {book[0]: (book[1], book[2]) for book in parts.get("books", ())}
        self._quotes |= {quote[0]: quote for quote in parts.get("quotes", ())}
        self._trade_ids |= {trade[0]: trade[2] for trade in parts.get("trades", ())}

    # Lists, because the JSON writer takes no named tuples.

    def _new_books(self) -> list[list[Any]]:
        books = [book for symbol in self._view.symbols() if (book := self._view.book(symbol)) is not None]
        return [list(book) for book in books if self._books.get(book.symbol) != (book.ts_ms, book.update_id)]

    def _new_quotes(self) -> list[list[Any]]:
        quotes = [quote for symbol in self._view.symbols() if (quote := self._view.quote(symbol)) is not None]
        return [list(quote) for quote in quotes if self._quotes.get(quote.symbol) != list(quote)]

    def _new_trades(self) -> list[list[Any]]:
        return [
            list(trade)
            for symbol in self._view.symbols()
            for trade in self._view.trades(symbol)
            if trade.trade_id > self._trade_ids.get(symbol, -1)
        ]

    def _on_bar(self, symbol: str, open_time_ms: int) -> None:
        self._bars.append((symbol, open_time_ms))
        self._ring()

    def _on_message(self, message: Message) -> None:
        self._messages.append(message)
        self._ring()

    def _ring(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._bell.set)
