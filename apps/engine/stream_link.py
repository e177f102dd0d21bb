"""What is known of one connection, from the plan to open it to its end?"""

from __future__ import annotations

import json
from collections import deque
from typing import NamedTuple

from apps.engine.stream_actions import Pong, Send, StreamLimits
from apps.engine.stream_events import AggTradeEvent, KlineEvent, MarketEvent
from apps.engine.stream_pace import MessageBudget


class Held(NamedTuple):
    """An event that waits until its connection is the live one, and when it arrived."""

    event: MarketEvent
    mono_ms: int
    ts_ms: int


class Link:
    """A connection that is planned, open, or open beside the live one until it is seen to deliver."""

    def __init__(self, conn: int, at_mono_ms: int, reason: str, limits: StreamLimits) -> None:
        self.conn = conn
        self.reason = reason
        self.at_mono_ms = at_mono_ms
        self.is_open = False
        self.opened_ms = at_mono_ms
        self.heard_ms = at_mono_ms
        self.first_heard_ms: int | None = None
        self.heard_symbols: set[str] = set()
        self.rotate_at_ms = at_mono_ms
        self.rotate_reason = "planned"
        # What arrives beside the live connection waits here; a trade or bar that does not fit shows as a gap.
        self._ordered: deque[Held] = deque(maxlen=limits.backlog)
        self._latest: dict[tuple[type, str], Held] = {}
        self._budget = MessageBudget(limits.messages_per_s)
        self._texts: deque[str] = deque()
        self._ping: bytes | None = None
        self._n_requests = 0

    def open(self, mono_ms: int, rotate_after_ms: int) -> None:
        self.is_open = True
        self.opened_ms = self.heard_ms = mono_ms
        self.rotate_at_ms = mono_ms + rotate_after_ms

    def hold(self, event: MarketEvent, mono_ms: int, ts_ms: int) -> None:
        """Keep an event that arrived beside the live connection: trades and closed bars in order, else the newest."""
        self.heard_ms = mono_ms
        self.first_heard_ms = mono_ms if self.first_heard_ms is None else self.first_heard_ms
        self.heard_symbols.add(event.symbol)
        held = Held(event, mono_ms, ts_ms)
        if isinstance(event, AggTradeEvent) or (isinstance(event, KlineEvent) and event.closed):
            self._ordered.append(held)
        else:
            self._latest[type(event), event.symbol] = held

    def take_held(self) -> list[Held]:
        """What waited, to be taken in now."""
        held = [*self._ordered, *self._latest.values()]
        self._ordered.clear()
        self._latest.clear()
        return held

    def request(self, method: str, names: list[str]) -> None:
        """Put a control message in the queue."""
        self._n_requests += 1
        self._texts.append(json.dumps({"method": method, "params": names, "id": self._n_requests}))

    def pinged(self, payload: bytes, mono_ms: int, *, is_answered: bool) -> None:
        """A ping came; only the newest one needs its answer. `is_answered`: the transport has already sent it."""
        if is_answered:
            self._budget.spend(mono_ms)
        else:
            self._ping = payload

    def outgoing(self, mono_ms: int) -> list[Pong | Send]:
        """What may be said now without breaking the budget, a pong first."""
        found: list[Pong | Send] = []
        if self._ping is not None and self._budget.allows(mono_ms, is_pong=True):
            found.append(Pong(self.conn, self._ping))
            self._ping = None
            self._budget.spend(mono_ms)
        while self._texts and self._budget.allows(mono_ms):
            found.append(Send(self.conn, self._texts.popleft()))
            self._budget.spend(mono_ms)
        return found
