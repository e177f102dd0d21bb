"""What should the price stream do next? Feed it what the sockets did and the time, then ask it for actions and news.

It opens no socket, reads no clock and draws no chance of its own, so a day of faults passes in a second of a test.
`mono_ms` is this machine's monotonic time and rules connections; `ts_ms` is market time and rules data; 0: unknown.

    connect  opened  frame ...  (23 h)  connect  opened  frames of both  close the older
       1 ──────1───────1───────────────────2───────2──────── 1 2 ──────────── 1

At most two connections exist: the live one, and the next. The next becomes live when there is no other, or when it has
delivered beside the live one for a while; what both tell is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from apps.engine.stream_actions import Action, Close, Connect, Gapped, Pong, Recheck, Send, StreamLimits
from apps.engine.stream_events import (
    AggTradeEvent,
    BookTickerEvent,
    ControlEvent,
    DepthEvent,
    KlineEvent,
    ShutdownEvent,
    StreamEvent,
)
from apps.engine.stream_lanes import NEVER, Drained, Lane, Lanes
from apps.engine.stream_link import Link
from apps.engine.stream_pace import Backoff, ConnectBudget

__all__ = [
    "Action",
    "Close",
    "Connect",
    "Drained",
    "Gapped",
    "Pong",
    "Recheck",
    "Send",
    "StreamCore",
    "StreamLimits",
]


class StreamCore:
    """Keeps one live connection, for ever, and knows which of its events are news.

    The caller tells `opened`, `failed`, `closed`, `frame`, `pinged`, and `tick` every `limits.beat_ms`; after each of
    them it performs `actions()`, and as often as it likes it takes `drain()`. `uniform` draws from [0, 1).
    """

    def __init__(
        self,
        symbols: Sequence[str],
        stream_names: Iterable[str],
        interval_ms: int,
        limits: StreamLimits,
        uniform: Callable[[], float],
    ) -> None:
        self.limits = limits
        self.lanes = Lanes(symbols, interval_ms=interval_ms, backlog=limits.backlog, late_ms=limits.late_market_ms)
        self.frames = 0
        self.lost = 0  # live connections that ended before another had taken over
        self.rotations = 0
        self.refused = 0  # control messages that the server answered with an error
        self._symbols = tuple(symbols)
        self._names: dict[str, list[str]] = {}
        for name in stream_names:
            self._names.setdefault(name.partition("@")[0].upper(), []).append(name)
        self._uniform = uniform
        self._budget = ConnectBudget(limits.connects, limits.connects_window_ms)
        self._backoff = Backoff(limits.backoff_base_ms, limits.backoff_cap_ms, uniform)
        self._rotation_backoff = Backoff(limits.backoff_base_ms, limits.backoff_cap_ms, uniform)
        self._live: Link | None = None
        self._next: Link | None = None
        self._n_connections = 0
        self._healthy_since_ms: int | None = None
        self._actions: list[Action] = []
        self._resubscribed: dict[str, int] = {}  # symbol -> when, in this spell of its silence
        self._rests_until: dict[str, int] = {}
        self._takers: dict[type, Callable[..., None]] = {
            BookTickerEvent: self.lanes.quote,
            DepthEvent: self.lanes.book,
            AggTradeEvent: self.lanes.trade,
            KlineEvent: self.lanes.kline,
        }

    @property
    def is_connected(self) -> bool:
        return self._live is not None

    @property
    def backlog(self) -> int:
        return self.lanes.backlog

    def opened(self, conn: int, mono_ms: int) -> None:
        """A planned connection stands."""
        link = self._next
        if link is None or link.conn != conn or link.is_open:
            return
        jitter = self.limits.rotate_jitter_ms
        link.open(mono_ms, self.limits.rotate_after_ms + int((2 * self._uniform() - 1) * jitter))
        if self._live is None:
            self._go_live(link)

    def failed(self, conn: int, mono_ms: int, reason: str = "") -> None:
        """A planned connection could not be opened."""
        self.closed(conn, mono_ms, reason or "could not connect")

    def closed(self, conn: int, mono_ms: int, reason: str) -> None:
        """A connection ended. One that the core closed itself is known already."""
        if self._live is not None and self._live.conn == conn:
            self._lose_live(mono_ms, reason)
        elif self._next is not None and self._next.conn == conn:
            self._lose_next(mono_ms, reason)

    def frame(self, conn: int, event: StreamEvent, mono_ms: int, ts_ms: int) -> None:
        """An event arrived."""
        live = self._live
        if live is not None and live.conn == conn:
            take = self._takers.get(type(event))
            live.heard_ms = mono_ms
            self.frames += 1
            if take is not None:
                take(event, mono_ms, ts_ms)
            else:
                self._take_other(live, event, mono_ms)
        elif self._next is not None and self._next.conn == conn:
            self._take_beside(self._next, event, mono_ms, ts_ms)

    def pinged(self, conn: int, payload: bytes, mono_ms: int, *, is_answered: bool = False) -> None:
        """The server pinged. With `is_answered` the transport has sent the pong; it still counts."""
        for link in self._links():
            if link.conn == conn:
                link.pinged(payload, mono_ms, is_answered=is_answered)
                self._actions += link.outgoing(mono_ms)

    def tick(self, mono_ms: int, ts_ms: int) -> None:
        """Time passed."""
        if self._live is None and self._next is None:
            self._plan("start", mono_ms)
        self._judge_next(mono_ms)
        self._judge_live(mono_ms)
        if self._live is not None:
            self._note_health(mono_ms)
            self._judge_symbols(self._live, mono_ms)
            self._rotate(self._live, mono_ms)
        for link in self._links():
            self._actions += link.outgoing(mono_ms)

    def actions(self) -> list[Action]:
        """What to do now, in this order."""
        found, self._actions = self._actions, []
        found += self.lanes.take_gaps()
        return found

    def drain(self) -> Drained:
        """What to hand on now."""
        return self.lanes.drain()

    def is_stale(self, symbol: str, mono_ms: int, ts_ms: int) -> bool:
        """Whether this symbol's price may not be acted on: it came too long ago, or the exchange's time is another."""
        lane, limit = self.lanes[symbol], self.limits.stale_after_ms
        came_lately = mono_ms - lane.priced_mono_ms <= limit
        # A price that came in time over a late line is as old as what the line told just before it.
        was_new = lane.priced_after_ms == NEVER or ts_ms - lane.priced_after_ms <= limit
        return not (came_lately and was_new and abs(ts_ms - lane.event_ms) <= limit and self._live is not None)

    def _links(self) -> list[Link]:
        return [link for link in (self._live, self._next) if link is not None]

    def _plan(self, reason: str, at_mono_ms: int) -> None:
        self._n_connections += 1
        at = self._budget.book(at_mono_ms)
        self._next = Link(self._n_connections, at, reason, self.limits)
        self._actions.append(Connect(self._n_connections, at, reason))

    def _go_live(self, link: Link) -> None:
        """From now on this connection's events count. What it told beside the other follows, without repeats."""
        self.lanes.begin_anew(is_seamless=self._live is not None)
        self._live, self._next = link, None
        self._healthy_since_ms = None
        for event, mono_ms, ts_ms in link.take_held():
            self._takers[type(event)](event, mono_ms, ts_ms)
        self._actions.append(Recheck(self._symbols))

    def _lose_live(self, mono_ms: int, reason: str) -> None:
        self._live = None
        self.lost += 1
        if self._next is None:
            self._plan(reason, mono_ms + self._backoff.next_ms())
        elif self._next.is_open:
            self._go_live(self._next)

    def _lose_next(self, mono_ms: int, reason: str) -> None:
        self._next = None
        if self._live is None:
            self._plan(reason, mono_ms + self._backoff.next_ms())
        else:
            self._live.rotate_at_ms = mono_ms + self._rotation_backoff.next_ms()

    def _take_beside(self, link: Link, event: StreamEvent, mono_ms: int, ts_ms: int) -> None:
        """The next connection speaks. Quotes carry no time, so those of two lines, one of them late, never mix."""
        self.frames += 1
        if isinstance(event, (ShutdownEvent, ControlEvent)):
            link.heard_ms = mono_ms
            self._take_other(link, event, mono_ms)
        else:
            link.hold(event, mono_ms, ts_ms)

    def _take_other(self, link: Link, event: StreamEvent, mono_ms: int) -> None:
        if isinstance(event, ShutdownEvent):
            link.rotate_at_ms, link.rotate_reason = mono_ms, "the server is about to shut down"
        elif isinstance(event, ControlEvent) and event.error:
            self.refused += 1

    def _judge_next(self, mono_ms: int) -> None:
        link = self._next
        if link is None:
            return
        if not link.is_open and mono_ms - link.at_mono_ms > self.limits.connect_ms:
            self._drop(link, "no answer", mono_ms)
        elif link.is_open and mono_ms - link.heard_ms > self.limits.silence_ms:
            self._drop(link, "no frame", mono_ms)
        elif self._live is not None and self._delivers(link, mono_ms):
            old = self._live
            self._actions.append(Close(old.conn, f"rotated: {link.reason}"))
            self.rotations += 1
            self._go_live(link)

    def _delivers(self, link: Link, mono_ms: int) -> bool:
        """Whether the next connection tells of every symbol that the live one still tells of."""
        if link.first_heard_ms is None or mono_ms - link.first_heard_ms < self.limits.overlap_ms:
            return False
        if mono_ms - link.opened_ms >= self.limits.overlap_patience_ms:
            return True
        return all(lane.symbol in link.heard_symbols for lane in self.lanes if not self._is_quiet(lane, mono_ms))

    def _is_quiet(self, lane: Lane, mono_ms: int) -> bool:
        return mono_ms - max(lane.moved_mono_ms, lane.priced_mono_ms) > self.limits.stale_after_ms

    def _judge_live(self, mono_ms: int) -> None:
        link, limits = self._live, self.limits
        if link is None:
            return
        if mono_ms - link.heard_ms > limits.silence_ms:
            self._drop(link, f"no frame for {limits.silence_ms / 1000:g} s", mono_ms)
        elif mono_ms - max(self.lanes.moved_mono_ms, link.opened_ms) > limits.frozen_ms:
            self._drop(link, f"the exchange's time has stood still for {limits.frozen_ms / 1000:g} s", mono_ms)
        elif mono_ms - max(self.lanes.timely_mono_ms, link.opened_ms) > limits.frozen_ms:
            self._drop(link, f"everything has come late for {limits.frozen_ms / 1000:g} s", mono_ms)

    def _drop(self, link: Link, reason: str, mono_ms: int) -> None:
        self._actions.append(Close(link.conn, reason))
        self.closed(link.conn, mono_ms, reason)

    def _note_health(self, mono_ms: int) -> None:
        """After a minute in which data kept coming, earlier failures are forgiven."""
        if mono_ms - self.lanes.moved_mono_ms > self.limits.stale_after_ms:
            self._healthy_since_ms = None
        elif self._healthy_since_ms is None:
            self._healthy_since_ms = mono_ms
        elif mono_ms - self._healthy_since_ms >= self.limits.healthy_after_ms:
            self._backoff.reset()
            self._rotation_backoff.reset()

    def _judge_symbols(self, live: Link, mono_ms: int) -> None:
        """A symbol that alone fell silent is subscribed anew, and if that does not help, the connection is rotated."""
        limits, frozen = self.limits, []
        for lane in self.lanes:
            newest = max(min(lane.moved_mono_ms, lane.priced_mono_ms), live.opened_ms)
            if mono_ms - newest > limits.frozen_ms:
                frozen.append(lane)
            else:
                self._resubscribed.pop(lane.symbol, None)
        due = [lane for lane in frozen if mono_ms >= self._rests_until.get(lane.symbol, NEVER)]
        fresh = [lane for lane in due if lane.symbol not in self._resubscribed]
        if fresh:
            self._resubscribe(live, fresh, mono_ms)
        helpless = [one for one in due if mono_ms - self._resubscribed[one.symbol] > limits.frozen_ms]
        if helpless and self._next is None:
            live.rotate_at_ms, live.rotate_reason = mono_ms, f"{helpless[0].symbol} is silent"
            for lane in frozen:
                self._rests_until[lane.symbol] = mono_ms + limits.symbol_rest_ms
                self._resubscribed.pop(lane.symbol, None)

    def _resubscribe(self, live: Link, lanes: list[Lane], mono_ms: int) -> None:
        names = [name for lane in lanes for name in self._names.get(lane.symbol, [])]
        live.request("UNSUBSCRIBE", names)
        live.request("SUBSCRIBE", names)
        for lane in lanes:
            lane.forget_update_ids()
            self._resubscribed[lane.symbol] = mono_ms

    def _rotate(self, live: Link, mono_ms: int) -> None:
        """Open the next connection while the live one goes on."""
        if self._next is None and mono_ms >= live.rotate_at_ms:
            self._plan(live.rotate_reason, mono_ms + self._rotation_backoff.planned_ms())
