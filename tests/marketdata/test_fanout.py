"""The fan-out: encoded once, in order, at each one's pace, and nobody suffers from another."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from apps.marketdata import beat, fanout, price_client
from apps.marketdata.fanout import Fanout, fanout_of
from apps.marketdata.hub import Hub, hub
from apps.marketdata.market import MarketView, Quote
from apps.marketdata.price_client import PriceClient

T0 = 1_600_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Screen:
    """A browser that keeps what it is sent."""

    def __init__(self, symbols: tuple[str, ...] = SYMBOLS) -> None:
        self.frames: list[dict[str, Any]] = []
        self.code: int | None = None
        self.client = PriceClient(symbols, send=self.show, close=self.end, now_s=asyncio.get_running_loop().time())

    async def show(self, text: str) -> None:
        self.frames.append(json.loads(text))

    async def end(self, code: int) -> None:
        self.code = code

    @property
    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    def bids(self) -> dict[str, str]:
        """The latest bid of each symbol."""
        return {tick["symbol"]: tick["bid"] for frame in self.frames for tick in frame.get("ticks", ())}

    def acknowledge(self) -> None:
        assert self.client.acknowledge(self.frames[-1]["seq"], asyncio.get_running_loop().time())


class Stage:
    """A market and a fan-out of its own."""

    def __init__(self) -> None:
        self.view = MarketView(symbols=SYMBOLS)
        self.view.clock.observe(T0)
        self.hub = Hub()
        self.view.on_update(self.hub.ring)
        self.fanout = Fanout(self.view, hub=self.hub)
        self.screens: list[Screen] = []

    def seat(self, symbols: tuple[str, ...] = SYMBOLS) -> Screen:
        screen = Screen(symbols)
        self.screens.append(screen)
        self.fanout.join(screen.client)
        return screen

    def price(self, symbol: str, bid: int) -> None:
        self.view.put_quote(Quote(symbol, bid * 10**8, (bid + 1) * 10**8, bid * 10**8, T0, T0))

    async def beats(self, n_beats: int = 1) -> None:
        """Let so many beats pass. A beat comes at most every 10 ms here."""
        for _ in range(n_beats):
            self.fanout.ring()
            await asyncio.sleep(0.015)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(fanout, "FRAME_GAP_S", 0.01)
    monkeypatch.setattr(price_client, "ACKS_PER_S", 1_000)
    made: list[Stage] = []

    def make() -> Stage:
        made.append(Stage())
        return made[-1]

    yield make
    for stage in made:
        for screen in stage.screens:
            stage.fanout.leave(screen.client)
        assert (stage.hub.n_clients, stage.hub.outlets) == (0, ())


async def test_each_price_is_encoded_once_however_many_look(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()
    plain = beat.tick_of
    monkeypatch.setattr(beat, "tick_of", lambda view, symbol: made.update([symbol]) or plain(view, symbol))
    show = stage()
    show.price("BTCUSDT", 100)
    screens = [show.seat() for _ in range(40)] + [show.seat(("BTCUSDT",)) for _ in range(10)]
    await show.beats(2)
    made.clear()
    show.price("BTCUSDT", 101)
    await show.beats(2)
    assert made == {"BTCUSDT": 1}
    assert {screen.bids()["BTCUSDT"] for screen in screens} == {"101"}
    assert all(screen.kinds == ["snapshot", "ticks"] for screen in screens)


async def test_late_comers_get_the_whole_picture_and_numbers_of_their_own(stage: Any) -> None:
    show = stage()
    early = show.seat()
    for bid in range(1, 6):
        show.price("BTCUSDT", bid)
        await show.beats()
    late = show.seat(("ETHUSDT", "BTCUSDT"))
    await show.beats()
    show.price("ETHUSDT", 7)
    show.price("SOLUSDT", 9)
    await show.beats(2)
    assert [frame["seq"] for frame in early.frames] == list(range(1, len(early.frames) + 1))
    assert [frame["seq"] for frame in late.frames] == [1, 2]
    assert (late.kinds, late.bids()) == (["snapshot", "ticks"], {"BTCUSDT": "5", "ETHUSDT": "7"})
    assert early.bids() == {"BTCUSDT": "5", "ETHUSDT": "7", "SOLUSDT": "9"}


async def test_who_lags_costs_a_bounded_number_of_frames_and_then_gets_the_latest(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_client, "UNSEEN_FRAMES", 4)
    show = stage()
    slow, quick = show.seat(), show.seat()
    for bid in range(1, 21):
        show.price("BTCUSDT", bid)
        show.price("SOLUSDT", 1)
        await show.beats()
        quick.acknowledge()
    show.price("ETHUSDT", 5)
    await show.beats()
    assert len(slow.frames) == 4 and len(quick.frames) > 15
    slow.acknowledge()
    await show.beats(2)
    assert len(slow.frames) == 5
    assert slow.bids() == quick.bids() == {"BTCUSDT": "20", "ETHUSDT": "5", "SOLUSDT": "1"}
    assert show.view.feed.conflated > 10


async def test_prices_stop_at_half_of_the_bytes_and_leave_room_for_messages(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_client, "UNSEEN_BYTES", 2_000)
    show = stage()
    screen = show.seat()
    for bid in range(1, 20):
        show.price("BTCUSDT", bid)
        await show.beats()
    assert 1_000 <= sum(len(json.dumps(frame)) for frame in screen.frames) <= 1_500
    n_frames = len(screen.frames)
    screen.acknowledge()
    for bid in range(20, 40):
        show.price("BTCUSDT", bid)
        await show.beats()
    assert len(screen.frames) >= 2 * n_frames - 2  # what was seen makes room for as much again
    show.hub.broadcast({"type": "execution", "executionId": "e1"})
    await show.beats()
    assert screen.kinds[-1] == "execution" and screen.code is None
    for _ in range(10):
        show.hub.broadcast({"type": "execution", "note": "x" * 100})
    await show.beats()
    assert screen.code == price_client.TOO_SLOW
    assert show.fanout.n_clients == 0


async def test_a_browser_that_breaks_concerns_no_other(stage: Any) -> None:
    show = stage()
    screens = [show.seat() for _ in range(5)]
    await show.beats()

    async def broken(text: str) -> None:
        raise RuntimeError("a bug")

    screens[2].client._send = broken
    show.price("BTCUSDT", 3)
    await show.beats(2)
    assert [screen.code for screen in screens] == [None, None, price_client.FAILED, None, None]
    assert [screen.bids().get("BTCUSDT") for screen in screens] == ["3", "3", None, "3", "3"]


async def test_a_message_from_any_thread_comes_in_order(stage: Any) -> None:
    show = stage()
    screen = show.seat()
    await show.beats()

    def speak() -> None:
        for number in range(200):
            show.hub.broadcast({"type": "execution", "executionId": number})

    thread = threading.Thread(target=speak)
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.001)
    await show.beats(3)
    assert [frame["executionId"] for frame in screen.frames[1:]] == list(range(200))
    assert [frame["seq"] for frame in screen.frames] == list(range(1, 202))


async def test_what_was_lost_shows_as_a_gap_in_the_numbers(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "INBOX_LIMIT", 10)
    show = stage()
    screen = show.seat()
    await show.beats()
    for number in range(25):
        show.hub.broadcast({"type": "execution", "executionId": number})
    await show.beats()
    assert [frame["executionId"] for frame in screen.frames[1:]] == list(range(15, 25))
    assert [frame["seq"] for frame in screen.frames] == [1, *range(17, 27)]
    screen.acknowledge()
    assert not screen.client.is_behind


async def test_a_quiet_market_is_heard_all_the_same(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(fanout, "IDLE_S", 0.02)
    screen = stage().seat()
    await asyncio.sleep(0.45)
    assert screen.kinds[0] == "snapshot" and 3 <= len(screen.frames[1:]) <= 4
    assert set(screen.kinds[1:]) == {"status"}


async def test_the_time_that_writing_takes_is_not_added_to_the_pace(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "FRAME_GAP_S", 0.05)
    show = stage()
    screen = show.seat()
    plain = screen.show

    async def slow(text: str) -> None:
        await asyncio.sleep(0.04)
        await plain(text)

    screen.client._send = slow
    started = asyncio.get_running_loop().time()
    bid = 0
    while asyncio.get_running_loop().time() - started < 0.6:
        show.price("BTCUSDT", bid := bid + 1)
        await asyncio.sleep(0.005)
    assert 8 <= len(screen.frames) <= 13  # twelve at 50 ms; six if the 40 ms came on top


async def test_an_event_loop_has_one_fanout_and_none_when_nobody_watches() -> None:
    view = MarketView(symbols=SYMBOLS)
    one = fanout_of(view)
    screen = Screen()
    one.join(screen.client)
    assert fanout_of(view) is one
    one.leave(screen.client)
    assert fanout_of(view) is not one and hub.n_clients == 0


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_numbers_follow_and_the_last_word_is_the_markets(
    stage: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Changes, messages, lagging, leaving and coming in any order; then everybody catches up."""
    monkeypatch.setattr(price_client, "UNSEEN_FRAMES", 5)
    draw, show, told = random.Random(seed), stage(), 0
    screens = [show.seat(tuple(name for name in SYMBOLS if name in draw.sample(SYMBOLS, 2))) for _ in range(6)]
    for _ in range(60):
        action = draw.randrange(6)
        screen = draw.choice(screens)
        if action <= 2:
            show.price(draw.choice(SYMBOLS), draw.randrange(1, 1_000))
        elif action == 3 and told < 20:
            told += 1
            show.hub.broadcast({"type": "execution", "executionId": told})
        elif action == 4 and screen.frames:
            screen.acknowledge()
        elif action == 5:
            show.fanout.leave(screen.client)
            screens[screens.index(screen)] = show.seat(screen.client.symbols)
        if draw.random() < 0.5:
            await show.beats()
    await show.beats()
    for screen in screens:
        screen.acknowledge()
    await show.beats(2)
    truth = {name: str(quote.bid_e8 // 10**8) for name in SYMBOLS if (quote := show.view.quote(name)) is not None}
    for screen in screens:
        assert [frame["seq"] for frame in screen.frames] == list(range(1, len(screen.frames) + 1)), f"seed {seed}"
        shown = {name: bid for name, bid in truth.items() if name in screen.client.symbols}
        assert screen.bids() == shown, f"seed {seed}"
        ids = [frame["executionId"] for frame in screen.frames if frame["type"] == "execution"]
        assert ids == sorted(ids) and len(set(ids)) == len(ids), f"seed {seed}"
