"""A desk with folded bars and a market that moves on: fresh books every few milliseconds until they are paused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from apps.accounts.services import token_create, user_create
from apps.engine.values import E8
from apps.execution.autopilot import Autopilot
from apps.execution.desk_thread import desk_thread
from apps.marketdata.clock import MarketClock
from apps.marketdata.feed import FeedState
from apps.marketdata.market import MarketView, Quote, market_view
from apps.risk import services as risk
from apps.web.roles import Role
from tests.support.bars import walk_bars
from tests.support.desk import book_at, seed_desk, store

SYMBOLS = ("BTCUSDT", "ETHUSDT")
N_BARS = 400
TICK_S = 0.004
BLOCKS = {symbol: walk_bars(N_BARS, seed=5 + number, sigma=0.003) for number, symbol in enumerate(SYMBOLS)}
CLOSED_MS = int(BLOCKS["BTCUSDT"].open_time_ms[-1]) + 60_000


class LiveMarket:
    """Feeds this process's market view from a thread of its own; the market's clock runs at the speed of this one."""

    def __init__(self, view: MarketView) -> None:
        self.view = view
        self.prices = {symbol: float(bars.close_e8[-1]) / E8 for symbol, bars in BLOCKS.items()}
        self.depth = 5.0
        self._event_ms: int | None = None
        self._paused, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, now_ms: int) -> None:
        self.view.clock.observe_server(now_ms)
        self.tick()
        self._thread.start()

    def tick(self) -> None:
        now_ms = self.view.now_ms()
        for symbol, price in self.prices.items():
            book = book_at(symbol, price, now_ms, depth=self.depth)
            event_ms = now_ms if self._event_ms is None else self._event_ms
            self.view.put_quote(Quote(symbol, book.bids[0][0], book.asks[0][0], int(price * E8), now_ms, event_ms))
            self.view.put_book(book)

    def pause(self) -> None:
        """No news from here on; what is known grows old."""
        self._paused.set()
        time.sleep(3 * TICK_S)

    def freeze(self) -> None:
        """Books go on coming, and the exchange's own time stands still."""
        self._event_ms = self.view.now_ms()

    def resume(self) -> None:
        self._paused.clear()

    def later(self, milliseconds: int) -> None:
        """Let market time jump ahead."""
        self.view.clock.observe_server(self.view.now_ms() + milliseconds)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(TICK_S):
            if not self._paused.is_set():
                self.tick()


@contextmanager
def own_view(monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketView]:
    """The process's market view with a clock and lanes of its own: no test sees the prices of another."""
    view = market_view()
    with monkeypatch.context() as patch:
        patch.setattr(view, "clock", MarketClock(max_rate=1.0))
        patch.setattr(view, "feed", FeedState())
        patch.setattr(view, "_lanes", {})
        patch.setattr(view, "_bar_listeners", [])
        view.follow(SYMBOLS)
        yield view


@pytest.fixture
def quiet_desk(desk_db: Path, compiled: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketView]:
    """Two symbols with 400 bars each, none folded yet; the market's time is not known."""
    settings.SYMBOLS, settings.HORIZON_BARS, settings.ENTRY_LATENCY_MS = SYMBOLS, 5, 0
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    seed_desk(SYMBOLS)
    for symbol, bars in BLOCKS.items():
        store(symbol, bars)
    with own_view(monkeypatch) as view:
        yield view
        desk_thread().stop()


@pytest.fixture
def market(quiet_desk: MarketView) -> Iterator[LiveMarket]:
    """The same desk with every bar folded, one second after the last one closed, its prices fresh."""
    Autopilot().warm()
    live = LiveMarket(quiet_desk)
    live.start(CLOSED_MS + 1_000)
    yield live
    live.stop()


@pytest.fixture
def local(market: LiveMarket) -> Client:
    """A client of this machine without login."""
    return Client(headers={"host": "localhost"})


@pytest.fixture
def owner(market: LiveMarket) -> Client:
    return client_of(Role.OWNER)


def client_of(role: Role) -> Client:
    """A client with the token of a new user."""
    user_create(username=role.value, password="x", role=role, actor="test", ts_ms=1)
    token = token_create(username=role.value, actor="test", ts_ms=1)
    return Client(headers={"host": "localhost", "authorization": f"Bearer {token}"})


def set_limits(**changes: int) -> None:
    risk.limits_set(changes=changes, actor="test", reason="test", ts_ms=CLOSED_MS, role=Role.OWNER)


def buy(client: Client, quantity: str = "0.01", **members: Any) -> Any:
    """A person's market order; `side` and the rest may be given."""
    key = members.pop("key", None)
    body = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": quantity, **members}
    return post(client, "/api/trading/paper/order", body, key=key)


def post(client: Client, path: str, body: dict[str, Any], *, key: str | None = None) -> Any:
    headers = {"idempotency-key": key} if key is not None else {}
    return client.post(path, data=body, content_type="application/json", headers=headers)


def plan(client: Client, symbol: str = "BTCUSDT", *, key: str | None = None) -> Any:
    return post(client, "/api/exec/plan-and-execute", {"symbol": symbol}, key=key)


def plan_until_it_sends(client: Client, symbol: str = "BTCUSDT") -> dict[str, Any]:
    """Decide until a decision forms an order, sent or refused: each attempt draws anew."""
    for _ in range(80):
        record: dict[str, Any] = plan(client, symbol).json()
        if record["status"] != "no_trade":
            return record
    raise AssertionError("eighty decisions without an order")


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Run the jobs in threads that start together; their results in order."""
    barrier, results = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(number: int, job: Callable[[], Any]) -> None:
        try:
            barrier.wait()
            results[number] = job()
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=entry) for entry in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
