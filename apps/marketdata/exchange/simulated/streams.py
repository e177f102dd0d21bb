"""Who listens to what, and what do they get as the market moves from one moment to the next?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from apps.marketdata.exchange.simulated.book import TICK_MS, Depth
from apps.marketdata.exchange.simulated.payloads import (
    MICRO,
    MILLI,
    book_ticker_frame,
    depth_body,
    kline_frame,
    trade_frame,
)
from apps.marketdata.exchange.simulated.tape import Tape

KLINE_MS = 2_000
SLOW_DEPTH_MS = 1_000
# After a pause of the machine nobody wants the trades and closes of hours.
_MOST_BEHIND_MS = 300_000
_NAME = re.compile(r"([a-z0-9\-_.]{1,20})@(kline_(\w+)|aggTrade|bookTicker|depth(5|10|20)(@100ms|@1000ms)?)", re.ASCII)

Build = Callable[[int], bytes]


class Listener(Protocol):
    """A connection that takes frames."""

    unit: int
    combined: bool

    def post(self, frame: bytes) -> None: ...


@dataclass
class Plan:
    """The streams of one symbol that somebody listens to."""

    klines: dict[str, str] = field(default_factory=dict)
    depths: dict[str, tuple[int, int]] = field(default_factory=dict)
    trades: str | None = None
    ticker: str | None = None


class Hub:
    """Subscriptions of all connections, and the frames each step of the market brings them.

    A payload is built once per step, wrapping and unit, whoever and however many listen.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
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
            if plan.trades:
                self._send_trades(symbol, plan.trades, before_ms, now_ms)
            if self._is_live(symbol, now_ms):
                self._send_books(symbol, plan, before_ms, now_ms)
                if plan.klines and symbol not in closing and now_ms // KLINE_MS != before_ms // KLINE_MS:
                    self._send_running(symbol, plan, now_ms)

    def _replan(self) -> None:
        self._plans = {}
        for name in self._names:
            match = _NAME.fullmatch(name)
            symbol = match.group(1).upper() if match else ""
            if match is None or symbol not in self._tape.market.specs or match.group(1) != symbol.lower():
                continue
            plan = self._plans.setdefault(symbol, Plan())
            kind, interval, levels = match.group(2), match.group(3), match.group(4)
            if interval and self._tape.serves(interval):
                plan.klines[name] = interval
            elif levels:
                plan.depths[name] = (int(levels), TICK_MS if match.group(5) == "@100ms" else SLOW_DEPTH_MS)
            elif kind == "aggTrade":
                plan.trades = name
            elif kind == "bookTicker":
                plan.ticker = name
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
                self._deliver(name, partial(kline_frame, symbol, interval, kline, now_ms, True))

    def _send_running(self, symbol: str, plan: Plan, now_ms: int) -> None:
        for name, interval in plan.klines.items():
            kline = self._tape.running(symbol, interval, now_ms)
            if kline is not None:
                self._deliver(name, partial(kline_frame, symbol, interval, kline, now_ms, False))

    def _send_trades(self, symbol: str, name: str, before_ms: int, now_ms: int) -> None:
        for trade in self._tape.trades(symbol, before_ms, now_ms):
            self._deliver(name, partial(trade_frame, symbol, trade, now_ms))

    def _send_books(self, symbol: str, plan: Plan, before_ms: int, now_ms: int) -> None:
        due = {name: levels for name, (levels, every) in plan.depths.items() if now_ms // every != before_ms // every}
        if not (due or plan.ticker) or now_ms // TICK_MS == before_ms // TICK_MS:
            return
        depth = self._tape.depth(symbol, max(due.values(), default=1), now_ms)
        if depth is None:
            return
        for name, levels in due.items():
            self._deliver(name, partial(_timeless, partial(depth_body, depth, levels)))
        if plan.ticker:
            self._send_ticker(symbol, plan.ticker, depth)

    def _send_ticker(self, symbol: str, name: str, depth: Depth) -> None:
        top = (depth.bids[0], depth.asks[0])
        if self._top.get(symbol) != top:
            self._top[symbol] = top
            self._deliver(name, partial(_timeless, partial(book_ticker_frame, symbol, depth)))

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
