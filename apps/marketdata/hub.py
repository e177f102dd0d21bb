"""Who is watching? The browsers of this process; one message from any thread reaches them all.

Browsers hang on outlets, one per event loop that serves any (`apps.marketdata.fanout`). The hub knows outlets alone, so
that a price costs the reader of the exchange one wake-up, however many browsers look at it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

Message = Mapping[str, Any]


class Outlet(Protocol):
    """Takes messages to the browsers of one event loop. Its methods may be called from any thread."""

    @property
    def n_clients(self) -> int: ...

    def put(self, message: Message) -> None:
        """Send this message to every browser."""

    def ring(self) -> None:
        """There are new prices."""


class Bell:
    """Wakes one task of the event loop it was made on. Rung from any thread, often, at the price of one flag."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._is_rung = False

    def ring(self) -> None:
        if not self._is_rung and not self._loop.is_closed():
            self._is_rung = True
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout_s: float) -> None:
        """Return when rung, or after the timeout; from here on it may ring anew."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()
            self._is_rung = False


class Hub:
    """The outlets of this process, and the way to the other processes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outlets: tuple[Outlet, ...] = ()
        self._relays: tuple[Callable[[Message], None], ...] = ()

    @property
    def n_clients(self) -> int:
        return sum(outlet.n_clients for outlet in self.outlets)

    def join(self, outlet: Outlet) -> None:
        with self._lock:
            self.outlets += (outlet,)

    def leave(self, outlet: Outlet) -> None:
        with self._lock:
            self.outlets = tuple(entry for entry in self.outlets if entry is not outlet)

    def relay_to(self, relay: Callable[[Message], None]) -> Callable[[], None]:
        """Hand every broadcast to `relay` too, which takes it to the other processes. Returns how to stop."""
        with self._lock:
            self._relays += (relay,)
        return lambda: self._forget(relay)

    def broadcast(self, message: Message) -> None:
        """Send a message such as {"type": "execution", …} to every browser, here and in the other processes.

        Keys go out as they are: the caller spells them for the wire. Returns at once.
        """
        self.deliver(message)
        for relay in self._relays:
            relay(message)

    def deliver(self, message: Message) -> None:
        """Send a message to the browsers of this process alone."""
        for outlet in self.outlets:
            outlet.put(message)

    def ring(self, symbol: str) -> None:
        """The price of a symbol changed. Called for every change, so it does next to nothing."""
        for outlet in self.outlets:
            outlet.ring()

    def _forget(self, relay: Callable[[Message], None]) -> None:
        with self._lock:
            self._relays = tuple(entry for entry in self._relays if entry is not relay)


hub = Hub()


def broadcast(message: Message) -> None:
    """`hub.broadcast` of this process's hub."""
    hub.broadcast(message)
