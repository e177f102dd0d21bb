"""A world for the stream core: an exchange, a network that fails and a shell, all on one virtual clock.

The exchange tells its truth four times a second: quotes, books, trades and bars numbered without holes. Connections
carry it to the core with whatever faults they suffer. The shell does what the core asks. After each step the world
checks what must always hold, and after a calm while what must hold again.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque

from apps.engine.stream import Close, Connect, Gapped, Pong, Recheck, Send, StreamCore, StreamLimits
from apps.engine.stream_events import BookTickerEvent, DepthEvent, KlineEvent, MarketEvent, ShutdownEvent
from tests.support.stream_source import INTERVAL_MS, PING_MS, Line, Sent, Source

STEP_MS = 250
START_MONO_MS, START_TS_MS = 5_000_000, 1_767_225_600_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
PONG_MS, MESSAGES_PER_S = 60_000, 5
LIMITS = StreamLimits(rotate_after_ms=900_000, rotate_jitter_ms=120_000, backlog=50)
FAULTS = (
    *("reset", "stall", "half-open", "silence", "lose", "duplicate", "reorder", "latency", "huge", "swallow-pong"),
    *("outage", "hang", "shutdown", "mute", "freeze", "ping-flood", "sleepy-consumer", "pause", "future", "foreign"),
)


class World:
    """Everything, one seed. `step` moves the clock; `suffer` injects a fault; `recover` waits for calm and checks."""

    def __init__(self, seed: int, limits: StreamLimits = LIMITS) -> None:
        self.limits = limits
        self.rng = random.Random(seed)
        self.core = StreamCore(
            SYMBOLS,
            [f"{s.lower()}@{k}" for s in SYMBOLS for k in ("trade", "quote")],
            INTERVAL_MS,
            limits,
            self.rng.random,
        )
        self.mono_ms = START_MONO_MS
        self.n = 0
        self.sources = {symbol: Source(symbol) for symbol in SYMBOLS}
        self.lines: dict[int, Line] = {}
        self.planned: dict[int, int] = {}
        self.connects: deque[int] = deque()
        self.outage_until = self.hang_until = self.frozen_until = self.sleeps_until = 0
        self.drained_trades: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
        self.drained_bars: dict[str, set[int]] = {symbol: set() for symbol in SYMBOLS}
        self.gapped: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self.latest: dict[tuple[str, type], MarketEvent] = {}
        self.trusted = 0
        self.most_backlog = 0
        self.longest_recovery_ms = 0

    @property
    def ts_ms(self) -> int:
        return self.mono_ms - START_MONO_MS + START_TS_MS

    def step(self) -> None:
        """A quarter of a second passes."""
        self.mono_ms += STEP_MS
        self.n += 1
        told = [
            event
            for source in self.sources.values()
            for event in source.step(self.n, self.ts_ms, self.mono_ms < self.frozen_until)
        ]
        self._connect_planned()
        for line in list(self.lines.values()):
            self._carry(line, told)
        if self.n % 4 == 0:
            self.core.tick(self.mono_ms, self.ts_ms)
        self._perform()
        if self.mono_ms >= self.sleeps_until:
            self._drain()
        self._check()

    def run(self, ms: int) -> None:
        for _ in range(ms // STEP_MS):
            self.step()

    def recover(self) -> None:
        """Let calm return, and check that the core is well again in its own time and has lost nothing unmarked."""
        self.outage_until = self.hang_until = self.frozen_until = self.sleeps_until = 0
        for line in self.lines.values():
            if line.latency_ms <= self.limits.late_market_ms:  # harmless; a later line is the core's to replace
                line.latency_ms = 0
        began = self.mono_ms
        self._until_well()
        self.longest_recovery_ms = max(self.longest_recovery_ms, self.mono_ms - began)
        # A bar on both sides shows what is missing between; what still hangs over a line comes down meanwhile.
        self.run(2 * INTERVAL_MS + 1_000)
        self._until_well()
        self._check_latest()
        self._check_complete()

    def _until_well(self) -> None:
        """The longest wait: a line that turned bad, one more that does, the longest backoff after each."""
        longest_ms = 2 * (self.limits.frozen_ms + self.limits.backoff_cap_ms)
        began = self.mono_ms
        while not self._is_well():
            assert self.mono_ms - began <= longest_ms, f"not well again after {longest_ms} ms of calm"
            self.step()

    def suffer(self, fault: str) -> None:
        """One fault, to every line that is open and to what comes next."""
        spell_ms = int(self.rng.choice((200, 1_000, 4_000, 6_000, 12_000, 40_000, 70_000)) * self.rng.uniform(0.5, 1.5))
        act = getattr(self, "_fault_" + fault.replace("-", "_"), None)
        if act is not None:
            act(spell_ms)
        for line in list(self.lines.values()):
            self._suffer_line(line, fault, spell_ms)
        self._perform()

    def _suffer_line(self, line: Line, fault: str, spell_ms: int) -> None:
        if fault in ("reset", "huge"):
            self._cut(line, "reset" if fault == "reset" else "1009 message too big")
        elif fault == "stall":
            line.stalled_until = self.mono_ms + spell_ms
        elif fault == "half-open":
            line.is_half_open = True
        elif fault == "silence":
            line.is_silent = True
        elif fault == "latency":
            line.latency_ms = spell_ms if self.rng.random() < 0.7 else 0
        elif fault == "mute":
            line.muted.add(self.rng.choice(SYMBOLS))
        elif fault == "shutdown":
            line.queue.append(Sent(self.mono_ms, ShutdownEvent(self.ts_ms)))
            line.ends_ms = self.mono_ms + spell_ms
        elif fault == "ping-flood":
            for number in range(12):
                self.core.pinged(line.conn, b"flood%d" % number, self.mono_ms)
        elif fault in line.left:
            line.left[fault] += self.rng.randint(1, 20)
        elif fault in ("future", "foreign"):
            line.queue.append(Sent(self.mono_ms, self._lie(fault)))

    def _lie(self, fault: str) -> MarketEvent:
        """A running bar from another time, or a quote of a symbol that nobody asked for."""
        if fault == "foreign":
            return BookTickerEvent("DOGEUSDT", 1, 1, 1, 2, 1)
        ahead = self.rng.choice((-86_400_000, 100_000, 86_400_000, 10**12))
        return KlineEvent(SYMBOLS[0], self.ts_ms + ahead, "10s", self.ts_ms + ahead, 0, 1, 1, 1, 1, 1, 1, False)

    def _fault_outage(self, spell_ms: int) -> None:
        self.outage_until = self.mono_ms + spell_ms
        for line in list(self.lines.values()):
            self._cut(line, "outage")

    def _fault_hang(self, spell_ms: int) -> None:
        self.hang_until = self.mono_ms + spell_ms

    def _fault_freeze(self, spell_ms: int) -> None:
        self.frozen_until = self.mono_ms + spell_ms

    def _fault_sleepy_consumer(self, spell_ms: int) -> None:
        self.sleeps_until = self.mono_ms + spell_ms

    def _fault_pause(self, spell_ms: int) -> None:
        """The machine sleeps: the exchange goes on, nothing else does."""
        until = self.mono_ms + spell_ms * 5
        while self.mono_ms < until:
            self.mono_ms += STEP_MS
            self.n += 1
            for source in self.sources.values():
                events = source.step(self.n, self.ts_ms, False)
                for line in self.lines.values():
                    line.put(events, self.mono_ms)

    def _connect_planned(self) -> None:
        for conn, at in list(self.planned.items()):
            if at > self.mono_ms or self.mono_ms < self.hang_until:
                continue
            del self.planned[conn]
            self.connects.append(self.mono_ms)
            if self.mono_ms < self.outage_until:
                self.core.failed(conn, self.mono_ms)
            else:
                self.lines[conn] = Line(conn, self.mono_ms)
                self.core.opened(conn, self.mono_ms)

    def _carry(self, line: Line, told: list[MarketEvent]) -> None:
        """Move what is due from the exchange to the core, and ping."""
        now = self.mono_ms
        if line.is_half_open:
            return
        if now >= line.ends_ms:
            self._cut(line, "life over")
            return
        if not line.is_silent:
            line.put(told, now)
        if now >= line.stalled_until:
            queue, frame, ts_ms = line.queue, self.core.frame, self.ts_ms
            while queue and queue[0].due_ms <= now:
                frame(line.conn, queue.popleft().event, now, ts_ms)
            if now >= line.next_ping_ms:
                payload = str(now).encode()
                line.next_ping_ms, line.unanswered[payload] = now + PING_MS, now
                self.core.pinged(line.conn, payload, now)
        if line.unanswered and now - min(line.unanswered.values()) > PONG_MS:
            self._cut(line, "1008 Pong timeout")

    def _cut(self, line: Line, reason: str) -> None:
        if self.lines.pop(line.conn, None) is not None:
            self.core.closed(line.conn, self.mono_ms, reason)

    def _perform(self) -> None:
        for action in self.core.actions():
            if isinstance(action, Connect):
                self.planned[action.conn] = action.at_mono_ms
            elif isinstance(action, Close):
                self.planned.pop(action.conn, None)
                self.lines.pop(action.conn, None)
            elif isinstance(action, (Send, Pong)):
                self._hear(action)
            elif isinstance(action, Gapped):
                self.gapped.setdefault((action.symbol, action.kind), []).append((action.from_, action.until_))
            elif isinstance(action, Recheck):
                for symbol in action.symbols:  # everything that closed before is asked for over REST
                    self.drained_bars[symbol].update(self.sources[symbol].bars)

    def _hear(self, action: Send | Pong) -> None:
        """The exchange gets a message; more than its limit in any second would end the connection."""
        line = self.lines.get(action.conn)
        if line is None:
            return  # it was cut between the core's wish and its deed
        line.said_ms = [at for at in line.said_ms if self.mono_ms - at < 1_000] + [self.mono_ms]
        assert len(line.said_ms) < MESSAGES_PER_S, f"{len(line.said_ms)} messages within a second"
        if isinstance(action, Pong):
            if not line.spend("swallow-pong") and not line.is_half_open:
                line.unanswered.pop(action.payload, None)
                # Newer answers count for what was asked before.
                line.unanswered = {k: at for k, at in line.unanswered.items() if k > action.payload}
        elif '"SUBSCRIBE"' in action.text and not line.is_half_open:
            line.muted.clear()

    def _drain(self) -> None:
        drained = self.core.drain()
        for trade in drained.trades:
            self.drained_trades[trade.symbol].append(trade.trade_id)
        for bar in drained.bars:
            assert bar == self.sources[bar.symbol].bars.get(bar.open_time_ms)
            self.drained_bars[bar.symbol].add(bar.open_time_ms)
        for event in drained.latest:
            self.latest[event.symbol, type(event)] = event

    def _check(self) -> None:
        """What holds at any moment: budgets, bounds, and that nothing old is called fresh."""
        while self.connects and self.connects[0] <= self.mono_ms - 300_000:
            self.connects.popleft()
        assert len(self.connects) <= self.limits.connects
        self.most_backlog = max(self.most_backlog, self.core.backlog)
        assert self.core.backlog <= 2 * self.limits.backlog
        for symbol, source in self.sources.items():
            if not self.core.is_stale(symbol, self.mono_ms, self.ts_ms):
                self.trusted += 1
                age_ms = self.ts_ms - source.quoted_at[self._mark(symbol)]
                # A frame that changed places is a step older than its neighbors say.
                assert age_ms <= self.limits.stale_after_ms + STEP_MS, f"{symbol}: a quote {age_ms} ms old called fresh"

    def _mark(self, symbol: str) -> int:
        """The update id of the newest price that the core has handed on or holds ready."""
        lane = self.core.lanes[symbol]
        kinds = (BookTickerEvent, DepthEvent)
        prices = [lane.quote, lane.book, *(self.latest.get((symbol, kind)) for kind in kinds)]
        return max(price.update_id for price in prices if isinstance(price, kinds))

    def _is_well(self) -> bool:
        """Connected, trusted, and the line carries everything in time."""
        for symbol, source in self.sources.items():
            lane = self.core.lanes[symbol]
            if self.core.is_stale(symbol, self.mono_ms, self.ts_ms):
                return False
            if (lane.quote_id, lane.trade_id) != (source.update_id, source.trade_id):
                return False
        return True

    def _check_latest(self) -> None:
        for symbol, source in self.sources.items():
            quote = self.latest[symbol, BookTickerEvent]
            assert quote.update_id == source.update_id, f"{symbol}: the latest quote is not the source's"

    def _check_complete(self) -> None:
        """Every trade and bar was handed on or is marked; then the books are closed and counting begins anew."""
        for symbol, source in self.sources.items():
            trades = self.drained_trades[symbol]
            assert len(set(trades)) == len(trades), f"{symbol}: a trade was handed on twice"
            gaps = sorted(self.gapped.pop((symbol, "trades"), []))
            untold = set(range(trades[0], source.trade_id)) - set(trades)
            unmarked = [at for at in untold if not any(a <= at <= b for a, b in gaps)]
            assert not unmarked, f"{symbol}: trades {unmarked} are lost and not marked"
            # What is missing before a bar shows when that bar closes.
            opens = [at for at in source.bars if at <= self.core.lanes[symbol].closed_ms]
            missing = [at for at in opens if at not in self.drained_bars[symbol]]
            bar_gaps = self.gapped.pop((symbol, "bars"), [])
            lost = [at for at in missing if not any(a <= at <= b for a, b in bar_gaps)]
            assert not lost, f"{symbol}: bars {lost} are lost and not marked"
            self.drained_trades[symbol] = trades[-1:]
            source.bars = {at: bar for at, bar in source.bars.items() if at >= opens[-1]}
            newest = sorted(source.quoted_at)
            source.quoted_at = {at: source.quoted_at[at] for at in newest[bisect_left(newest, newest[-1] - 5_000) :]}
