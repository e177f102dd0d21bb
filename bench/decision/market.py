"""A desk to decide on: folded bars, and books that are renewed ten times a second of a clock that ticks with them."""

from __future__ import annotations

import threading

import numpy as np
from django.conf import settings

from apps.engine.values import E8, Bars
from apps.execution.autopilot import Autopilot
from apps.marketdata.market import Quote, market_view
from tests.support.bars import walk_bars
from tests.support.desk import book_at, seed_desk, store

N_BARS = 400
N_ROUNDS = 400
TICK_MS = 100
BOOK_DEPTH = 50.0


class HeldClock:
    """Market time that moves with the books alone: a decision never waits for one that is yet to come."""

    is_set = True

    def __init__(self, ts_ms: int) -> None:
        self.ts_ms = ts_ms

    def now_ms(self) -> int:
        return self.ts_ms

    def observe(self, event_ms: int) -> None:
        """Messages of a stream do not move it."""


class BenchMarket:
    """One bar a round: `next_round` closes it, folds it and lets the minute that limits count in pass."""

    def __init__(self) -> None:
        self._blocks = {name: walk_bars(N_BARS + N_ROUNDS, seed=5 + n) for n, name in enumerate(settings.SYMBOLS)}
        self._n = N_BARS
        self._pilot = Autopilot()
        self._lock = threading.Lock()
        self._update_id = 0

    def start(self) -> None:
        seed_desk(settings.SYMBOLS)
        for symbol in settings.SYMBOLS:
            store(symbol, self._bars(symbol, 0, self._n))
        self._pilot.warm()
        view = market_view()
        view.clock = HeldClock(self._closed_ms() + 1_000)  # type: ignore[assignment]
        view.follow(settings.SYMBOLS)
        self._tick(0)
        threading.Thread(target=self._run, name="market", daemon=True).start()

    def next_round(self) -> None:
        with self._lock:
            for symbol in settings.SYMBOLS:
                store(symbol, self._bars(symbol, self._n, self._n + 1))
            self._n += 1
            market_view().clock.ts_ms = self._closed_ms() + 1_000  # type: ignore[attr-defined]
            self._tick(0)
            self._pilot.step()

    def _closed_ms(self) -> int:
        return int(self._blocks[settings.SYMBOLS[0]].open_time_ms[self._n - 1]) + 60_000

    def _bars(self, symbol: str, first: int, last: int) -> Bars:
        return Bars(*(np.ascontiguousarray(column[first:last]) for column in self._blocks[symbol]))

    def _tick(self, step_ms: int) -> None:
        view, clock = market_view(), market_view().clock
        now_ms = clock.now_ms() + step_ms
        self._update_id += 1
        for symbol in settings.SYMBOLS:
            price = float(self._blocks[symbol].close_e8[self._n - 1]) / E8
            book = book_at(symbol, price, now_ms, depth=BOOK_DEPTH)._replace(update_id=self._update_id)
            view.put_quote(Quote(symbol, book.bids[0][0], book.asks[0][0], int(price * E8), now_ms, now_ms))
            view.put_book(book)
        clock.ts_ms = now_ms  # type: ignore[attr-defined]

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(TICK_MS / 1000):
            with self._lock:
                self._tick(TICK_MS)
