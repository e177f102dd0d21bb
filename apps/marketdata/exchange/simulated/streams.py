"""Who listens to what, and what do they get as the market moves from one moment to the next?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from apps.marketdata.exchange.simulated.book import TICK_MS, Depth
from apps.marketdata.exchange.simulated.diffs import DIFF_LEVELS, BookDiffs
from apps.marketdata.exchange.simulated.intervals import INTERVALS_MS
from apps.marketdata.exchange.simulated.lies import HonestBars
from apps.marketdata.exchange.simulated.names import ALL_MINI_TICKERS, Plan, add_to
from apps.marketdata.exchange.simulated.payloads import (
    MICRO,
    MILLI,
    book_ticker_frame,
    depth_body,
    diff_frame,
    kline_frame,
    mini_ticker,
    single_trade_frame,
    trade_frame,
)
from apps.marketdata.exchange.simulated.rolling import RollingDays
from apps.marketdata.exchange.simulated.tape import Tape, singles_of

KLINE_MS = 2_000
MINI_TICKER_MS = 1_000
# After a pause of the machine nobody wants the trades and closes of hours.
_MOST_BEHIND_MS = 300_000

Build = Callable[[int], bytes]


class Listener(Protocol):
    """A connection that takes frames."""

    unit: int
    combined: bool

    def post(self, frame: bytes) -> None: ...


class Hub:
    """Subscriptions of all connections, and the frames each step of the market brings them.

    A payload is built once per step, wrapping and unit, whoever and however many listen.
    """

    def __init__(self, tape: Tape, bars: HonestBars) -> None:
        self._tape = tape
        self._bars = bars
        self._days = RollingDays(tape.market)
        self._diffs = BookDiffs()
        self._intervals = [interval for interval in INTERVALS_MS if tape.serves(interval)]
        self._names: dict[str, dict[Listener, None]] = {}
        self._plans: dict[str, Plan] = {}
        self._next_close: dict[str, int | None] = {}
        self._top: dict[str, tuple[object, object]] = {}
        self.has_kline_listener = False

    def subscribe(self, listener: Listener, names: Iterable[str]) -> None:
        """Names that mean nothing are kept and bring nothing, as the real exchange does."""
        for name in names:
            self._names.setdefault(name, {})[listener] = None
        self._replan()

    def unsubscribe(self, listener: Listener, names: Iterable[str]) -> None:
        for name in names:
            listeners = self._names.get(name, {})
            listeners.pop(listener, None)
            if not listeners:
                self._names.pop(name, None)
        self._replan()

    def advance(self, before_ms: int, now_ms: int) -> None:
        """Send everything that happened in (before, now]."""
        before_ms = max(before_ms, now_ms - _MOST_BEHIND_MS)
        closing = [symbol for symbol in self._plans if self._closes(symbol, before_ms, now_ms)]
        # Closing frames first: others wait for them.
        for symbol in closing:
            self._send_closed(symbol, before_ms, now_ms)
        for symbol, plan in self._plans.items():
            self._send_trades(symbol, plan, before_ms, now_ms)
            if self._is_live(symbol, now_ms):
                self._send_books(symbol, plan, before_ms, now_ms)
                if plan.klines and symbol not in closing and now_ms // KLINE_MS != before_ms // KLINE_MS:
                    self._send_running(symbol, plan, now_ms)
        if now_ms // MINI_TICKER_MS != before_ms // MINI_TICKER_MS:
            self._send_mini_tickers(now_ms)

    def _replan(self) -> None:
        self._plans = {}
        for name in self._names:
            add_to(self._plans, name, symbols=self._tape.market.specs, intervals=self._intervals)
        self._diffs.keep({name for plan in self._plans.values() for name in plan.diffs})
        self.has_kline_listener = any(plan.klines for plan in self._plans.values())

    def _closes(self, symbol: str, before_ms: int, now_ms: int) -> bool:
        """Whether a base bar ends in (before, now]."""
        upcoming = self._next_close.get(symbol)
        if upcoming is None or upcoming <= before_ms:
            upcoming = self._tape.market.next_close(symbol, before_ms)
            self._next_close[symbol] = upcoming
        return upcoming is not None and upcoming <= now_ms

    def _is_live(self, symbol: str, now_ms: int) -> bool:
        opened = self._tape.market.bar_open(symbol, now_ms)
        return opened is not None and self._tape.market.path(symbol, opened).close_ms >= now_ms

    def _send_closed(self, symbol: str, before_ms: int, now_ms: int) -> None:
        for name, interval in self._plans[symbol].klines.items():
            for kline in self._tape.closed(symbol, interval, before_ms, now_ms):
                told = self._bars.streamed(symbol, interval, kline)
                if told is not None:
                    self._deliver(name, partial(kline_frame, symbol, interval, told, now_ms, True))

    def _send_running(self, symbol: str, plan: Plan, now_ms: int) -> None:
        for name, interval in plan.klines.items():
            kline = self._tape.running(symbol, interval, now_ms)
            if kline is not None:
                self._deliver(name, partial(kline_frame, symbol, interval, kline, now_ms, False))

    def _send_trades(self, symbol: str, plan: Plan, before_ms: int, now_ms: int) -> None:
        together, single = plan.others.get("aggTrade"), plan.others.get("trade")
        for trade in self._tape.trades(symbol, before_ms, now_ms) if together or single else ():
            if together:
                self._deliver(together, partial(trade_frame, symbol, trade, now_ms))
            for one in singles_of(trade) if single else ():
                self._deliver(single or "", partial(single_trade_frame, symbol, one, now_ms))

    def _send_books(self, symbol: str, plan: Plan, before_ms: int, now_ms: int) -> None:
        ticker = plan.others.get("bookTicker")
        due = {name: levels for name, (levels, every) in plan.depths.items() if now_ms // every != before_ms // every}
        diffs = [name for name, every in plan.diffs.items() if now_ms // every != before_ms // every]
        if not (due or diffs or ticker) or now_ms // TICK_MS == before_ms // TICK_MS:
            return
        depth = self._tape.depth(symbol, DIFF_LEVELS if diffs else max(due.values(), default=1), now_ms)
        if depth is None:
            return
        for name, levels in due.items():
            self._deliver(name, partial(_timeless, partial(depth_body, depth, levels)))
        for name in diffs:
            diff = self._diffs.next(name, depth)
            if diff is not None:
                self._deliver(name, partial(diff_frame, symbol, diff, now_ms))
        if ticker:
            self._send_ticker(symbol, ticker, depth)

    def _send_ticker(self, symbol: str, name: str, depth: Depth) -> None:
        top = (depth.bids[0], depth.asks[0])
        if self._top.get(symbol) != top:
            self._top[symbol] = top
            self._deliver(name, partial(_timeless, partial(book_ticker_frame, symbol, depth)))

    def _send_mini_tickers(self, now_ms: int) -> None:
        """Each symbol that trades, on its own stream and in the stream of all."""
        every = ALL_MINI_TICKERS in self._names
        frames: list[Build] = []
        for symbol in self._tape.market.specs if every else self._plans:
            name = self._plans[symbol].others.get("miniTicker") if symbol in self._plans else None
            day = self._days.at(symbol, now_ms) if name or every else None
            if day is not None and self._is_live(symbol, now_ms):
                frames.append(partial(mini_ticker, symbol, day, now_ms))
                self._deliver(name or "", frames[-1])
        if frames and every:
            self._deliver(ALL_MINI_TICKERS, lambda unit: b"[%b]" % b",".join(frame(unit) for frame in frames))

    def _deliver(self, name: str, build: Build) -> None:
        built: dict[tuple[int, bool], bytes] = {}
        for listener in list(self._names.get(name, ())):
            variant = (listener.unit, listener.combined)
            if variant not in built:
                payload = build(MICRO if listener.unit == MICRO else MILLI)
                built[variant] = (
                    b'{"stream":"%b","data":%b}' % (name.encode(), payload) if listener.combined else payload
                )
            listener.post(built[variant])


def _timeless(build: Callable[[], bytes], unit: int) -> bytes:
    """A payload without times is the same in every unit."""
    return build()
