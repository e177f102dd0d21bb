"""What does the stream core ask of whoever holds the sockets, and by which limits does it judge them?"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias


class Connect(NamedTuple):
    """Open a connection under this number, not before `at_mono_ms`; then say opened or failed."""

    conn: int
    at_mono_ms: int
    reason: str


class Close(NamedTuple):
    """This connection is of no use any more; whatever it still says is ignored."""

    conn: int
    reason: str


class Send(NamedTuple):
    """Send a control message."""

    conn: int
    text: str


class Pong(NamedTuple):
    """Answer a ping with its own payload."""

    conn: int
    payload: bytes


class Gapped(NamedTuple):
    """Trades (by id) or closed bars (by open time) from `from_` to `until_`, both inclusive, did not get through."""

    symbol: str
    kind: Literal["trades", "bars"]
    from_: int
    until_: int


class Recheck(NamedTuple):
    """The line was new or changed: closed bars of these symbols may have been missed."""

    symbols: tuple[str, ...]


Action: TypeAlias = Connect | Close | Send | Pong | Gapped | Recheck


class StreamLimits(NamedTuple):
    """Durations in milliseconds, and bounds."""

    stale_after_ms: int = 5_000  # no new risk on a price older than this
    silence_ms: int = 15_000  # no frame at all on a connection
    frozen_ms: int = 30_000  # frames, but nothing newer in them, or nothing that is in time
    late_market_ms: int = 5_000  # an event that reaches us so long after its own time, in market time, is not in time
    symbol_rest_ms: int = 300_000  # between two reconnects for the sake of one symbol
    connect_ms: int = 20_000  # an attempt that neither succeeds nor fails
    backoff_base_ms: int = 500
    backoff_cap_ms: int = 30_000
    healthy_after_ms: int = 60_000
    connects: int = 60  # a fifth of what the exchange allows
    connects_window_ms: int = 300_000
    rotate_after_ms: int = 82_800_000  # the exchange cuts at 24 h
    rotate_jitter_ms: int = 1_800_000
    overlap_ms: int = 2_000  # both connections deliver for at least this long
    overlap_patience_ms: int = 30_000  # how long a rotation waits for symbols that stay silent on the new connection
    messages_per_s: int = 4  # the exchange cuts at 5
    backlog: int = 1_000
    beat_ms: int = 1_000  # how often `tick` is wanted

    def scaled(self, divisor: int) -> StreamLimits:
        """The same with every duration of this machine divided, for tests that cannot wait; the rest stays."""
        names = [name for name in self._fields if name.endswith("_ms") and name != "late_market_ms"]
        spans = {name: max(1, getattr(self, name) // divisor) for name in names}
        return self._replace(**spans)
