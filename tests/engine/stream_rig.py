"""A stream core with a virtual clock, the connections it asked for, and plain events to tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apps.engine.stream import Action, Close, Connect, StreamCore, StreamLimits
from apps.engine.stream_events import AggTradeEvent, BookTickerEvent, DepthEvent, KlineEvent

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_700_000_040_000 // MINUTE * MINUTE  # market time at monotonic 0
SYMBOLS = ("BTCUSDT", "ETHUSDT")
STEADY = StreamLimits(rotate_jitter_ms=0)


def quote(symbol: str, update_id: int, bid: int = 100) -> BookTickerEvent:
    return BookTickerEvent(symbol, update_id, bid, 1, bid + 1, 1)


def depth(symbol: str, update_id: int) -> DepthEvent:
    return DepthEvent(symbol, update_id, ((100, 1),), ((101, 1),))


def trade(symbol: str, trade_id: int, ts_ms: int) -> AggTradeEvent:
    return AggTradeEvent(symbol, ts_ms, trade_id, 100, 1, ts_ms, True)


def kline(symbol: str, opened: int, event_ms: int, *, closed: bool = False, close: int = 101) -> KlineEvent:
    return KlineEvent(symbol, event_ms, "1m", opened, opened + MINUTE - 1, 100, 105, 95, close, 7, 3, closed)


class Rig:
    """A core, its time, and the connections it asked for. `up` decides whether an attempt succeeds."""

    def __init__(
        self,
        limits: StreamLimits = STEADY,
        symbols: tuple[str, ...] = SYMBOLS,
        uniform: Callable[[], float] = lambda: 0.5,
    ) -> None:
        names = [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in ("kline_1m", "aggTrade")]
        self.core = StreamCore(symbols, names, MINUTE, limits, uniform)
        self.symbols = symbols
        self.now = 0
        self.up = True
        self.planned: dict[int, int] = {}
        self.open: list[int] = []
        self.log: list[tuple[int, Action]] = []

    @property
    def ts(self) -> int:
        return START + self.now

    def of(self, kind: type) -> list[Action]:
        return [action for _, action in self.log if isinstance(action, kind)]

    def perform(self) -> None:
        for action in self.core.actions():
            self.log.append((self.now, action))
            if isinstance(action, Connect):
                self.planned[action.conn] = action.at_mono_ms
            elif isinstance(action, Close):
                self.planned.pop(action.conn, None)
                self.open = [conn for conn in self.open if conn != action.conn]

    def step(self, ms: int = 1_000) -> None:
        """Let time pass, open what is due, tick."""
        self.now += ms
        for conn, at in sorted(self.planned.items()):
            if at <= self.now:
                del self.planned[conn]
                if self.up:
                    self.open.append(conn)
                    self.core.opened(conn, self.now)
                else:
                    self.core.failed(conn, self.now, "refused")
        self.core.tick(self.now, self.ts)
        self.perform()

    def tell(self, *events: object, conn: int | None = None) -> None:
        """The same frames on one connection, or on all that are open."""
        for one in self.open if conn is None else [conn]:
            for event in events:
                self.core.frame(one, event, self.now, self.ts)

    def chat(self, symbols: tuple[str, ...] | None = None) -> None:
        """News of each symbol: a quote, a book and a running bar."""
        opened = self.ts // MINUTE * MINUTE
        for symbol in symbols or self.symbols:
            self.tell(quote(symbol, self.now), depth(symbol, self.now), kline(symbol, opened, self.ts))

    def run(self, ms: int, *, every: int = 1_000, symbols: tuple[str, ...] | None = None) -> None:
        """A time in which everything, or only some symbols, goes on as usual."""
        until = self.now + ms
        while self.now < until:
            self.step(every)
            self.chat(symbols)
            self.core.drain()

    def cut(self, conn: int, reason: str = "cut") -> None:
        self.open.remove(conn)
        self.core.closed(conn, self.now, reason)
        self.perform()


def started(limits: StreamLimits = STEADY, **more: object) -> Rig:
    rig = Rig(limits, **more)  # type: ignore[arg-type]
    rig.step(0)
    rig.step(0)
    assert rig.open == [1]
    return rig


class Market:
    """What a full market says in each step of a virtual clock: every trade and every closed bar, by source order."""

    def __init__(self) -> None:
        self.trade_id = 0
        self.trades: list[int] = []
        self.bars: list[int] = []

    def step(self, before: int, now: int) -> Iterator[object]:
        for close in range(before // MINUTE * MINUTE + MINUTE, now + 1, MINUTE):
            self.bars.append(close - MINUTE)
            yield kline("BTCUSDT", close - MINUTE, now, closed=True)
        self.trade_id += 1
        self.trades.append(self.trade_id)
        yield trade("BTCUSDT", self.trade_id, now)
        yield kline("BTCUSDT", now // MINUTE * MINUTE, now)
        yield quote("BTCUSDT", now)
