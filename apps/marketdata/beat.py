"""What is there to say to the browsers at one moment? Each frame is encoded once, when the first one needs it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import orjson

from apps.marketdata.market import MarketView
from apps.marketdata.price_client import NEVER, NO_ACK, TOO_SLOW, PriceClient
from apps.marketdata.wire import Frame, frame_of, stamp, tick_of, ticks_message


class Changes:
    """Which beat saw the last change of each symbol."""

    def __init__(self, view: MarketView) -> None:
        self._view = view
        self.beat = 0
        self.versions: dict[str, int] = {}
        self.changed_at: dict[str, int] = {}

    def look(self) -> None:
        """Begin the next beat."""
        self.beat += 1
        for symbol in self._view.symbols():
            version = self._view.version(symbol)
            if version != self.versions.get(symbol):
                self.versions[symbol] = version
                self.changed_at[symbol] = self.beat


class _Prices(NamedTuple):
    """The frame for all who follow the same symbols and were last served at the same beat."""

    frame: Frame | None
    n_ticks: int
    n_changes: int


class Beat:
    """One turn of the fan-out: what changed, and what to write to whom."""

    def __init__(
        self, view: MarketView, changes: Changes, status: dict[str, Any], messages: list[Frame], n_lost: int
    ) -> None:
        changes.look()
        self.n_conflated = 0
        self._view = view
        self._changes = changes
        self._status = status
        self._messages = messages
        self._n_lost = n_lost
        self._now_s = time.monotonic()
        self._ts = stamp(view)
        self._encoded: dict[str, bytes | None] = {}
        self._frames: dict[tuple[tuple[str, ...], int], _Prices] = {}

    async def write_to(self, client: PriceClient) -> int | None:
        """Write to one browser what it can take. Returns the code to close it with, if it must be closed."""
        if client.is_silent(self._now_s):
            return NO_ACK
        if client.served_beat == NEVER:
            await self._write_prices(client)
        else:
            client.skip(self._n_lost)
        for message in self._messages:
            if not client.has_room(message):
                return TOO_SLOW
            await client.write(message)
        if client.served_beat != self._changes.beat and not client.is_behind:
            await self._write_prices(client)
        return None

    async def _write_prices(self, client: PriceClient) -> None:
        """Write what changed since this browser was last served; to a new one everything, though it be nothing."""
        since = client.served_beat
        prices = self._prices(client.symbols, since)
        if since != NEVER:
            self.n_conflated += max(0, prices.n_changes - client.changes_seen - prices.n_ticks)
        client.served_beat, client.changes_seen = self._changes.beat, prices.n_changes
        if prices.frame is not None:
            await client.write(prices.frame)

    def _prices(self, symbols: tuple[str, ...], since: int) -> _Prices:
        prices = self._frames.get((symbols, since))
        if prices is None:
            prices = self._frames[symbols, since] = self._encode(symbols, since)
        return prices

    def _encode(self, symbols: tuple[str, ...], since: int) -> _Prices:
        n_changes = sum(self._changes.versions.get(symbol, 0) for symbol in symbols)
        news = [self._tick(symbol) for symbol in symbols if self._changes.changed_at.get(symbol, NEVER) > since]
        ticks = [tick for tick in news if tick is not None]
        if since == NEVER:
            snapshot = ticks_message("snapshot", self._ts, ticks, status=self._status)
            return _Prices(frame_of(snapshot), len(ticks), n_changes)
        frame = frame_of(ticks_message("ticks", self._ts, ticks)) if ticks else None
        return _Prices(frame, len(ticks), n_changes)

    def _tick(self, symbol: str) -> bytes | None:
        if symbol not in self._encoded:
            tick = tick_of(self._view, symbol)
            self._encoded[symbol] = None if tick is None else orjson.dumps(tick)
        return self._encoded[symbol]
