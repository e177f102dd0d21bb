"""Who lets open orders fill? A thread of the lease holder: it follows books and trades and brings them to the desk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db import Error as DatabaseFault

from apps.engine.errors import TradedeskError, Unavailable
from apps.engine.stream_events import AggTradeEvent
from apps.execution import matching
from apps.execution.desk_thread import desk_thread
from apps.execution.facts import book_age_ms, last_trade
from apps.execution.marking import live_marks, marks_judge
from apps.execution.matching import Event, SeenBook
from apps.execution.matching_rows import open_symbols, trades_known
from apps.execution.trade_gaps import Hole, gap_record, holes
from apps.marketdata.market import MarketView

log = logging.getLogger(__name__)
KEPT_EVENTS = 2_000
IDLE_EVENTS = 1_000  # enough for an order that is found a moment after it was placed
PACE_S = 0.05  # between two passes
QUIET_S = 0.25  # queues and extremes are written at most so often
WATCH_S = 1.0  # the trading state is looked at so often though nothing happens
MARK_S = 0.25  # the breakers are judged at the marks so often
GIVE_UP_S = 10.0  # so long a gap in the trades holds a symbol up; then it is stated and left
RETRY_S = 0.5
FetchTrades = Callable[[str, int], Iterable[AggTradeEvent]]  # raises Unavailable where they cannot be had now


class _Lane:
    """What has come of one symbol and is not settled in rows; numbered, so that it can be let go of by number."""

    def __init__(self) -> None:
        self.events: deque[tuple[int, Event]] = deque()
        self.limit = KEPT_EVENTS
        self.book_id: tuple[int, int] | None = None
        self.trade_id = -1
        self.quiet_at = 0.0
        self.is_torn = False
        self.torn_at = self.asked_at = 0.0
        self._number = 0

    def tear(self) -> None:
        """Trades are missing: nothing more is met before they are fetched, or given up."""
        if not self.is_torn:
            self.is_torn, self.torn_at, self.asked_at = True, time.monotonic(), 0.0

    def put(self, event: Event) -> None:
        if len(self.events) >= self.limit:
            self.events.popleft()
            self.tear()
        self._number += 1
        self.events.append((self._number, event))

    def settle(self, number: int) -> None:
        while self.events and self.events[0][0] <= number:
            self.events.popleft()


class Matcher:
    """Books and trades come in from any thread; `run` belongs to a thread of its own.

    Rows and the events that are not settled in them are the truth: nothing else is kept from pass to pass.
    """

    def __init__(self, view: MarketView, *, may_act: Callable[[], bool] = lambda: True) -> None:
        self._view = view
        self._may_act = may_act
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()
        self._news, self._stop = threading.Event(), threading.Event()
        self._open: list[str] = []
        self._fetch: FetchTrades | None = None
        self._looked_at = self._watched_at = self._judged_at = 0.0

    def on_update(self, symbol: str) -> None:
        """The symbol's best prices changed (MarketView.on_update): its book may have too."""
        book = self._view.book(symbol)
        lane = self._lane(symbol)
        if book is None or lane.book_id == (book.ts_ms, book.update_id):
            return
        price_e8, trade_id = last_trade(self._view, symbol)
        age_ms = book_age_ms(self._view, symbol, book, book.ts_ms)
        with self._lock:
            lane.book_id = (book.ts_ms, book.update_id)
            lane.put(SeenBook(book, age_ms, price_e8, trade_id))
        self._news.set()

    def on_trades(self, symbol: str, trades: Sequence[AggTradeEvent]) -> None:
        """Trades in the order of their ids. One that came before is left out; ids that are left out are a gap."""
        lane = self._lane(symbol)
        with self._lock:
            for trade in trades:
                if trade.trade_id > lane.trade_id:
                    if 0 <= lane.trade_id < trade.trade_id - 1:
                        lane.tear()
                    lane.trade_id = trade.trade_id
                    lane.put(trade)
        self._news.set()

    def recover(self, fetch: FetchTrades, *, give_up_s: float = GIVE_UP_S) -> dict[str, int]:
        """Meet the trades that open orders missed, by id, before anything new is decided; how many there were.

        Trades that come from the stream meanwhile follow them. What nobody has is stated and left.
        """
        self._fetch, found = fetch, {}
        for symbol in desk_thread().run(partial(open_symbols, using=DEFAULT_DB_ALIAS)):
            lane = self._lane(symbol)
            lane.tear()
            while (n_missed := self._mend(symbol, lane, give_up_s=give_up_s)) is None and not self._stop.is_set():
                self._stop.wait(RETRY_S)
            found[symbol] = n_missed or 0
            self.match(symbol, is_final=True)
        return found

    def run(self) -> None:
        """Pass after pass until stopped. One that fails is logged and its events are met again."""
        while not self._stop.is_set():
            self._news.wait(WATCH_S)
            self._news.clear()
            if not self._stop.is_set() and self._may_act():
                try:
                    self.step()
                except (TradedeskError, DatabaseFault) as error:
                    log.warning("matcher: %s: %s", type(error).__name__, error)
            self._stop.wait(PACE_S)

    def stop(self) -> None:
        self._stop.set()
        self._news.set()

    def step(self) -> None:
        """One pass over the marks and the symbols with open orders."""
        now = time.monotonic()
        self._judge(now)
        if now - self._looked_at >= QUIET_S:
            self._open, self._looked_at = desk_thread().run(partial(open_symbols, using=DEFAULT_DB_ALIAS)), now
        is_watch_due = now - self._watched_at >= WATCH_S
        if is_watch_due:
            self._watched_at = now
        for symbol in self._lanes.keys() - set(self._open):
            self._idle(symbol)
        for symbol in self._open:
            if is_watch_due:
                desk_thread().run(partial(matching.watch, symbol, now_ms=self._view.now_ms()))
                self._tell_stale(symbol)
            self.match(symbol)

    def match(self, symbol: str, *, is_final: bool = False) -> int:
        """Bring what has come of a symbol to the desk; how many events did something. `is_final` writes quiet ones."""
        lane = self._lane(symbol)
        if lane.is_torn and self._mend(symbol, lane) is None:
            return 0
        with self._lock:
            waiting = list(lane.events)
        if not waiting:
            return 0
        may_wait = not is_final and time.monotonic() - lane.quiet_at < QUIET_S
        events = [event for _, event in waiting]
        now_ms, marks = self._view.now_ms(), live_marks(self._view)
        job = partial(matching.meet, symbol, events, now_ms=now_ms, may_wait=may_wait, marks=marks)
        progress = desk_thread().run(job)
        if not may_wait:
            lane.quiet_at = time.monotonic()
        if progress.n_settled:
            with self._lock:
                lane.settle(waiting[progress.n_settled - 1][0])
        return progress.n_written

    def _idle(self, symbol: str) -> None:
        """Nothing is open: only what an order placed just now may have missed is kept."""
        lane = self._lane(symbol)
        with self._lock:
            if len(lane.events) > IDLE_EVENTS:
                lane.settle(lane.events[-IDLE_EVENTS][0] - 1)
            lane.is_torn = False

    def _tell_stale(self, symbol: str) -> None:
        """Without a fresh book orders must still learn that the data is stale, and cancels must still arrive."""
        book, now_ms = self._view.book(symbol), self._view.now_ms()
        age_ms = book_age_ms(self._view, symbol, book, now_ms)
        if book is not None and not 0 <= age_ms <= settings.STALE_AFTER_MS:
            with self._lock:
                self._lane(symbol).put(SeenBook(book._replace(ts_ms=now_ms), age_ms, 0, -1))

    def _judge(self, now: float) -> None:
        """The breakers at the marks of now; after a trip open orders are looked at at once."""
        if settings.FILLS != "depth" or now - self._judged_at < MARK_S or not self._view.clock.is_set:
            return
        self._judged_at = now
        job = partial(marks_judge, live_marks(self._view), now_ms=self._view.now_ms())
        if desk_thread().run(job):
            self._looked_at = self._watched_at = 0.0

    def _mend(self, symbol: str, lane: _Lane, *, give_up_s: float = GIVE_UP_S) -> int | None:
        """Fetch what open orders have not met; how many trades that were, None while they cannot be had.

        What is still missing once they came, or after so long without, is stated: what traded then fills and triggers
        nothing, and queues stand where they stood.
        """
        now = time.monotonic()
        if now - lane.asked_at < RETRY_S:
            return None
        lane.asked_at = now
        known = desk_thread().run(partial(trades_known, symbol, using=DEFAULT_DB_ALIAS))
        try:
            missed = self._missed(symbol, known)
        except Unavailable as error:
            if now - lane.torn_at < give_up_s:
                return None
            log.warning("trades of %s after %d cannot be had: %s", symbol, known, error)
            missed = []
        gaps = self._put_before(lane, known, missed)
        if gaps:
            desk_thread().run(partial(gap_record, symbol, gaps, now_ms=self._view.now_ms()))
        lane.is_torn = False
        return len(missed)

    def _missed(self, symbol: str, known: int) -> list[AggTradeEvent]:
        if known < 0:
            return []
        if self._fetch is None:
            raise Unavailable("there is nobody to ask for trades")
        return [trade for trade in self._fetch(symbol, known + 1) if trade.trade_id > known]

    def _put_before(self, lane: _Lane, known: int, missed: Sequence[AggTradeEvent]) -> list[Hole]:
        """Missed trades go before what has come since; what is missing all the same. One there twice is met once:
        orders know what they met."""
        with self._lock:
            later = [event for _, event in lane.events]
            lane.events.clear()
            lane.limit = KEPT_EVENTS + len(missed)
            for event in (*missed, *later):
                lane.put(event)
            lane.trade_id = max(lane.trade_id, known, missed[-1].trade_id if missed else -1)
            return holes(known, [event.trade_id for event in (*missed, *later) if isinstance(event, AggTradeEvent)])

    def _lane(self, symbol: str) -> _Lane:
        return self._lanes.setdefault(symbol, _Lane())
