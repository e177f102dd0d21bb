"""Who is watching? The WebSocket clients of this process; one message from any thread reaches them all."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

PENDING_LIMIT = 256

Message = Mapping[str, Any]


class HubClient:
    """One connection's mailbox: messages kept for it, and a bell that rings when there is something to send."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.symbols = frozenset(symbols)
        self.too_slow = False
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        self._rung = False
        self._pending: deque[Message] = deque()

    def put(self, message: Message) -> None:
        """Keep a message; a client that lets too many pile up is marked too slow."""
        if len(self._pending) >= PENDING_LIMIT:
            self.too_slow = True
        else:
            self._pending.append(message)
        self.ring()

    def ring(self) -> None:
        """Wake the sender, once however often it is called before the sender looks."""
        if not self._rung and not self._loop.is_closed():
            self._rung = True
            self._loop.call_soon_threadsafe(self._bell.set)

    async def wait(self, timeout_s: float) -> None:
        """Return when rung, or after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return

    def take(self) -> list[Message]:
        """The messages to send; the bell may ring anew."""
        self._bell.clear()
        self._rung = False
        return [self._pending.popleft() for _ in range(len(self._pending))]


class Hub:
    """The clients of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: frozenset[HubClient] = frozenset()
        self._relays: tuple[Callable[[Message], None], ...] = ()

    @property
    def n_clients(self) -> int:
        return len(self._clients)

    def join(self, client: HubClient) -> None:
        with self._lock:
            self._clients |= {client}

    def leave(self, client: HubClient) -> None:
        with self._lock:
            self._clients -= {client}

    def relay_to(self, relay: Callable[[Message], None]) -> Callable[[], None]:
        """Hand every broadcast to `relay` too, which takes it to the other processes. Returns how to stop."""
        with self._lock:
            self._relays += (relay,)
        return lambda: self._forget(relay)

    def broadcast(self, message: Message) -> None:
        """Send a message such as {"type": "execution", …} to every client, here and in the other processes.

        Keys go out as they are: the caller spells them for the wire. Returns at once.
        """
        self.deliver(message)
        for relay in self._relays:
            relay(message)

    def deliver(self, message: Message) -> None:
        """Send a message to the clients of this process alone."""
        for client in self._clients:
            client.put(message)

    def ring(self, symbol: str) -> None:
        """The price of a symbol changed."""
        for client in self._clients:
            if symbol in client.symbols:
                client.ring()

    def _forget(self, relay: Callable[[Message], None]) -> None:
        with self._lock:
            self._relays = tuple(entry for entry in self._relays if entry is not relay)


hub = Hub()


def broadcast(message: Message) -> None:
    """`hub.broadcast` of this process's hub."""
    hub.broadcast(message)
