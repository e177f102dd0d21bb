"""Who keeps the price stream alive? One task: it syncs, connects, reads, notices silence and never gives up.

The reader only parses and overwrites what is latest; rows are written by a task of its own. Sockets, timeouts and
backoff run on this machine's monotonic clock, everything about bars on the market's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from apps.engine.errors import DataError, Unavailable
from apps.marketdata.bar_writer import BarWriter
from apps.marketdata.exchange.binance import combined_url, is_loopback, stream_names
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.frames import ControlEvent, FrameParser, KlineEvent, MarketEvent, ShutdownEvent
from apps.marketdata.market import MarketView
from apps.marketdata.sync import BarStore, ProgressSeen, sync_history, sync_symbols

log = logging.getLogger(__name__)
Publish = Callable[[MarketEvent], None]


@dataclass(frozen=True)
class StreamLimits:
    """Times of this machine, in seconds, and bounds."""

    silence_s: float = 15.0  # no frame at all
    frozen_s: float = 30.0  # frames, but the exchange's own time stands still
    beat_s: float = 1.0
    backoff_base_s: float = 0.5
    backoff_cap_s: float = 30.0
    healthy_after_s: float = 60.0
    connections: int = 60
    connections_window_s: float = 300.0
    backlog: int = 1_000


class ConnectionBudget:
    """At most n connections in any window, a fifth of what the exchange allows."""

    def __init__(self, n: int, window_s: float, monotonic: Callable[[], float]) -> None:
        self._times: deque[float] = deque(maxlen=n)
        self._window_s = window_s
        self._monotonic = monotonic

    def wait_s(self) -> float:
        if len(self._times) < (self._times.maxlen or 0):
            return 0.0
        return max(0.0, self._times[0] + self._window_s - self._monotonic())

    def spend(self) -> None:
        self._times.append(self._monotonic())


class _Reconnect(Exception):
    """The connection is of no use any more. `at_once` when the server asked for it."""

    def __init__(self, reason: str, *, at_once: bool = False) -> None:
        super().__init__(reason)
        self.at_once = at_once


async def run_stream(
    *,
    view: MarketView,
    client: ExchangeClient,
    symbols: Sequence[str],
    interval: str,
    store: BarStore,
    publish: Publish | None = None,
    stop: asyncio.Event,
    n_history: int = 5_000,
    progress: ProgressSeen | None = None,
    limits: StreamLimits | None = None,
) -> None:
    """Keep `view` and the stored bars up to date until `stop` is set.

    Returns after `stop`; raises only what no retry can mend: a symbol that is unknown or cannot be held exactly, or
    stored bars of another market.
    """
    view.follow(symbols)
    view.feed.source = client.venue.source
    stream = _Stream(view, client, symbols, interval, store, publish, limits or StreamLimits())
    main = asyncio.ensure_future(stream.run(n_history, progress))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({main, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        main.cancel()
        view.feed.connected = False
        with suppress(asyncio.CancelledError):
            await main


class _Stream:
    """The state of the task between two connections."""

    def __init__(
        self,
        view: MarketView,
        client: ExchangeClient,
        symbols: Sequence[str],
        interval: str,
        store: BarStore,
        publish: Publish | None,
        limits: StreamLimits,
    ) -> None:
        self._view = view
        self._client = client
        self._symbols = symbols
        self._publish = publish
        self._limits = limits
        self._url = combined_url(client.venue.ws_url, stream_names(symbols, interval))
        self._interval = interval
        self._store = store
        self._parser = FrameParser()
        self._writer = BarWriter(view=view, client=client, interval=interval, store=store, n_limit=limits.backlog)
        self._budget = ConnectionBudget(limits.connections, limits.connections_window_s, time.monotonic)
        self._failures = 0

    async def run(self, n_history: int, progress: ProgressSeen | None) -> None:
        await self._until_done(lambda: self._prepare(n_history, progress))
        writing = asyncio.ensure_future(self._writer.run())
        try:
            while True:
                await self._until_done(self._connection)
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing

    async def _prepare(self, n_history: int, progress: ProgressSeen | None) -> None:
        self._view.clock.observe(await self._client.time())
        await sync_symbols(self._client, self._symbols)
        await sync_history(
            *(self._client, self._symbols, self._interval), n_bars=n_history, store=self._store, progress=progress
        )
        await self._writer.resume(self._symbols)

    async def _until_done(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try, and wait with full jitter after each failure that may pass."""
        while True:
            started = time.monotonic()
            try:
                return await attempt()
            except (_Reconnect, Unavailable, DataError, OSError, WebSocketException) as error:
                at_once = isinstance(error, _Reconnect) and error.at_once
                log.warning("price stream: %s", error or type(error).__name__)
            if time.monotonic() - started >= self._limits.healthy_after_s:
                self._failures = 0
            if not at_once:
                await asyncio.sleep(self._backoff_s())
                self._failures += 1

    def _backoff_s(self) -> float:
        ceiling = min(self._limits.backoff_cap_s, self._limits.backoff_base_s * 2 ** min(self._failures, 30))
        return random.uniform(0.0, ceiling)

    async def _connection(self) -> None:
        """One connection from its opening to its end, which is always an error."""
        await asyncio.sleep(self._budget.wait_s())
        self._budget.spend()
        async with connect(
            self._url,
            compression=None,
            max_queue=1024,
            close_timeout=1,
            proxy=None if is_loopback(self._url) else True,
        ) as socket:
            try:
                self._view.connection_reset()
                self._view.feed.connected = True
                now_ms = await self._client.time()
                self._view.clock.observe(now_ms)
                self._writer.recheck(self._symbols, now_ms)
                await self._serve(socket)
            finally:
                self._view.feed.connected = False
                self._view.feed.reconnects += 1

    async def _serve(self, socket: ClientConnection) -> None:
        reading = asyncio.ensure_future(self._read(socket))
        opened = time.monotonic()
        moved, last_event_ms = opened, self._view.last_event_ms()
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=self._limits.beat_s)
                now = time.monotonic()
                self._beat()
                if self._view.last_event_ms() != last_event_ms:
                    moved, last_event_ms = now, self._view.last_event_ms()
                if min(self._view.feed.silent_s(), now - opened) > self._limits.silence_s:
                    raise _Reconnect(f"no frame for {self._limits.silence_s:g} s")
                if now - moved > self._limits.frozen_s:
                    raise _Reconnect(f"the exchange's time has stood still for {self._limits.frozen_s:g} s")
            await reading
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, _Reconnect, ConnectionClosed):
                await reading

    def _beat(self) -> None:
        feed = self._view.feed
        feed.last_beat_ms = self._view.now_ms() if self._view.clock.is_set else None
        feed.unknown = self._parser.unknown.total()

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            self._take(await socket.recv())

    def _take(self, frame: Any) -> None:
        view = self._view
        try:
            event = self._parser.parse(frame)
        except DataError as error:
            view.feed.malformed += 1
            view.feed.count_dropped()
            log.debug("price stream: %s", error)
            return
        if isinstance(event, ShutdownEvent):
            raise _Reconnect("the server is about to shut down", at_once=True)
        if isinstance(event, ControlEvent):
            log.log(logging.WARNING if event.error else logging.DEBUG, "price stream control: %s", event)
        elif event is not None:
            view.apply(event)
            view.feed.count_message(view.now_ms() if view.clock.is_set else None)
            if isinstance(event, KlineEvent):
                self._writer.take(event)
            if self._publish is not None:
                self._publish(event)
