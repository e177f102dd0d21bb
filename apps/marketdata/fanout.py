"""How does a price reach many browsers? Encoded once, then written to each that can take it, ten times a second.

One task per event loop does the writing; no message goes through a channel layer, which would copy each for each
browser and drop the newest when one is slow. A browser that lags is passed over and later gets the latest: prices
never queue, so a slow browser costs what it has not acknowledged and no more (`apps.marketdata.price_client`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from autobahn.exception import Disconnected

from apps.marketdata.beat import Beat, Changes
from apps.marketdata.hub import Bell, Hub, Message
from apps.marketdata.hub import hub as process_hub
from apps.marketdata.market import MarketView
from apps.marketdata.price_client import FAILED, PriceClient
from apps.marketdata.wire import frame_of, stamp, status_message

FRAME_GAP_S = 0.1
HEARTBEAT_S = 10.0  # a quiet market must not look like a dead connection
IDLE_S = 1.0  # how long a beat waits for news before it looks after silent browsers
INBOX_LIMIT = 1_000
BREATH = 50  # browsers written to before the event loop gets a turn, which also lets the sockets send

log = logging.getLogger(__name__)


class Fanout:
    """The browsers of the running event loop. Thread-safe where `Outlet` says so."""

    def __init__(self, view: MarketView, *, hub: Hub = process_hub) -> None:
        self.loop = asyncio.get_running_loop()
        self._view = view
        self._hub = hub
        self._bell = Bell()
        self._clients: dict[PriceClient, None] = {}
        self._inbox = _Inbox()
        self._changes = Changes(view)
        self._status: dict[str, Any] = {}
        self._status_told_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def n_clients(self) -> int:
        return len(self._clients)

    def put(self, message: Message) -> None:
        """Send a message to every browser with the next beat."""
        self._inbox.put(message)
        self._bell.ring()

    def ring(self) -> None:
        self._bell.ring()

    def join(self, client: PriceClient) -> None:
        """Serve a browser from now on: first the whole picture, then what changes."""
        if not self._clients:
            self._hub.join(self)
        self._clients[client] = None
        if self._task is None or self._task.done():
            self._status, self._status_told_at = status_message(self._view), time.monotonic()
            self._task = asyncio.ensure_future(self._run())
        self._bell.ring()

    def leave(self, client: PriceClient) -> None:
        """Serve a browser no more. May be called twice."""
        if client not in self._clients:
            return
        del self._clients[client]
        if not self._clients:
            self._hub.leave(self)
            self._inbox.take()
            self._bell.ring()

    async def _run(self) -> None:
        while self._clients:
            await self._bell.wait(IDLE_S)
            started = time.monotonic()
            try:
                await self._serve_all(self._next_beat())
            except Exception:
                log.exception("a beat of prices failed; its clients are cut off and come back")
                for client in list(self._clients):
                    await self._cut(client, FAILED)
            # From one start to the next: the time that writing takes is not added to the pace.
            await asyncio.sleep(max(0.0, started + FRAME_GAP_S - time.monotonic()))

    def _next_beat(self) -> Beat:
        messages, n_lost = self._inbox.take()
        status, self._status = self._status, status_message(self._view)
        if status != self._status or time.monotonic() - self._status_told_at >= HEARTBEAT_S:
            self._status_told_at = time.monotonic()
            messages.append({"type": "status", "ts": stamp(self._view), **self._status})
        return Beat(self._view, self._changes, self._status, [frame_of(message) for message in messages], n_lost)

    async def _serve_all(self, beat: Beat) -> None:
        for number, client in enumerate(list(self._clients), start=1):
            if client in self._clients:
                await self._serve(client, beat)
            if number % BREATH == 0:
                await asyncio.sleep(0)
        self._view.feed.count_conflated(beat.n_conflated)

    async def _serve(self, client: PriceClient, beat: Beat) -> None:
        """Bring one browser up to date; whatever goes wrong with it concerns no other."""
        try:
            code = await beat.write_to(client)
        except Disconnected:
            log.debug("a price client has left")  # the transport knows before the consumer is told
            self.leave(client)
            return
        except Exception:
            log.exception("a price client is cut off")
            code = FAILED
        if code is not None:
            await self._cut(client, code)

    async def _cut(self, client: PriceClient, code: int) -> None:
        self.leave(client)
        with suppress(Disconnected):
            await client.close(code)


class _Inbox:
    """Messages that wait for the next beat, from any thread. When far too many pile up the oldest are lost, counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: deque[Message] = deque()
        self._n_lost = 0

    def put(self, message: Message) -> None:
        with self._lock:
            if len(self._messages) >= INBOX_LIMIT:
                self._messages.popleft()
                self._n_lost += 1
            self._messages.append(message)

    def take(self) -> tuple[list[Message], int]:
        """The messages in order, and how many were lost before them."""
        with self._lock:
            taken, n_lost = list(self._messages), self._n_lost
            self._messages.clear()
            self._n_lost = 0
        return taken, n_lost


def fanout_of(view: MarketView) -> Fanout:
    """The fan-out of the running event loop; a new one, of this view, when nobody watches there yet."""
    loop = asyncio.get_running_loop()
    for outlet in process_hub.outlets:
        if isinstance(outlet, Fanout) and outlet.loop is loop:
            return outlet
    return Fanout(view)
