"""The market clock: virtual time, live, dead, accelerated and disordered feeds."""

from __future__ import annotations

import threading

import pytest

from apps.engine.errors import Unavailable
from apps.marketdata.clock import DRIFT, MarketClock

START_MS = 1_600_000_000_000


class Wall:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def wall() -> Wall:
    return Wall()


def feed(clock: MarketClock, wall: Wall, *, seconds: float, step_s: float, speed: float, start_ms: float) -> float:
    """Messages every step_s of wall time from a market at `speed`; returns the market time reached."""
    market = start_ms
    for _ in range(round(seconds / step_s)):
        wall.s += step_s
        market += step_s * 1000 * speed
        clock.observe(int(market))
    return market


def test_it_does_not_guess_before_the_first_message(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    assert not clock.is_set
    with pytest.raises(Unavailable):
        clock.now_ms()


def test_a_live_market_runs_at_speed_one(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    reached = feed(clock, wall, seconds=5, step_s=0.1, speed=1, start_ms=START_MS)
    wall.s += 0.25
    assert clock.rate == 1.0
    assert clock.now_ms() == pytest.approx(reached + 250, abs=1)


def test_time_goes_on_when_the_feed_dies(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    wall.s += 60
    assert clock.now_ms() == START_MS + 60_000


def test_a_slow_message_does_not_slow_a_live_clock(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    wall.s += 1.0
    clock.observe(START_MS + 600)  # 400 ms under way
    assert clock.now_ms() == START_MS + 1_000


def test_a_clock_that_ran_ahead_holds_and_comes_back(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS + 3_000)  # three seconds too far
    wall.s += 0.1
    shown, last = [], START_MS
    for _ in range(90):
        wall.s += 0.1
        last += 100
        clock.observe(last)
        shown.append(clock.now_ms())
    assert shown == sorted(shown)
    assert shown[-1] == pytest.approx(last, abs=2)


def test_messages_out_of_order_change_nothing(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    reached = feed(clock, wall, seconds=1, step_s=0.05, speed=1, start_ms=START_MS)
    clock.observe(int(reached) - 14)
    assert clock.now_ms() == pytest.approx(reached, abs=1)


@pytest.mark.parametrize("speed", [10, 100, 1000])
def test_a_replayed_market_is_followed_between_its_messages(wall: Wall, speed: int) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    reached = feed(clock, wall, seconds=2, step_s=0.02, speed=speed, start_ms=START_MS)
    assert clock.rate == pytest.approx(speed, rel=0.05)
    wall.s += 0.01
    assert clock.now_ms() == pytest.approx(reached + 10 * speed, abs=speed)


def test_a_dead_replay_grows_old_at_its_own_speed(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    reached = feed(clock, wall, seconds=2, step_s=0.02, speed=50, start_ms=START_MS)
    wall.s += 0.2
    assert clock.now_ms() - reached >= 9_000


def test_after_a_fast_stretch_the_slow_one_is_told_apart_within_a_step(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    market = feed(clock, wall, seconds=2, step_s=0.02, speed=200, start_ms=START_MS)
    market = feed(clock, wall, seconds=0.04, step_s=0.02, speed=10, start_ms=market)
    assert clock.rate == pytest.approx(10, rel=0.05)
    market = feed(clock, wall, seconds=0.5, step_s=0.02, speed=10, start_ms=market)
    assert clock.now_ms() - market <= 100


def test_a_jump_of_the_market_does_not_make_the_clock_bolt(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    market = feed(clock, wall, seconds=0.5, step_s=0.02, speed=10, start_ms=START_MS)
    market += 58_000  # on to the next close
    market = feed(clock, wall, seconds=0.02, step_s=0.02, speed=10, start_ms=market)
    wall.s += 0.02
    assert clock.now_ms() == pytest.approx(market + 200, abs=30)


def test_a_burst_after_a_stall_is_not_taken_for_speed(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall)
    clock.observe(START_MS)
    market = feed(clock, wall, seconds=2, step_s=0.05, speed=1, start_ms=START_MS)
    wall.s += 2.0  # the process stood still; what the market sent meanwhile comes in 60 ms
    market = feed(clock, wall, seconds=0.06, step_s=0.012, speed=33, start_ms=market)
    assert clock.rate == 1.0
    assert clock.now_ms() - market <= 100


def test_a_market_known_to_be_live_has_no_other_speed(wall: Wall) -> None:
    clock = MarketClock(monotonic=wall, max_rate=1)
    clock.observe(START_MS)
    feed(clock, wall, seconds=1, step_s=0.02, speed=20, start_ms=START_MS)
    assert clock.rate == 1.0


@pytest.fixture
def live(wall: Wall) -> MarketClock:
    """A live market's clock after ten quiet seconds."""
    clock = MarketClock(monotonic=wall, max_rate=1)
    clock.observe_server(START_MS)
    feed(clock, wall, seconds=10, step_s=0.25, speed=1, start_ms=START_MS)
    return clock


def test_a_line_that_is_late_for_good_does_not_slow_a_live_clock(live: MarketClock, wall: Wall) -> None:
    feed(live, wall, seconds=60, step_s=0.25, speed=1, start_ms=START_MS + 2_000)  # each message is 8 s late
    assert START_MS + 70_000 - live.now_ms() == pytest.approx(0, abs=60_000 * DRIFT + 1)


def test_one_frame_from_the_future_does_not_move_a_live_clock(live: MarketClock, wall: Wall) -> None:
    live.observe(START_MS + 86_400_000)
    wall.s += 1.0
    assert live.now_ms() == START_MS + 11_000


def test_a_live_clock_that_is_ahead_drifts_back(live: MarketClock, wall: Wall) -> None:
    feed(live, wall, seconds=300, step_s=0.25, speed=1, start_ms=START_MS + 9_900)
    assert live.now_ms() == pytest.approx(START_MS + 309_900, abs=1)


def test_the_servers_word_sets_a_live_clock_whatever_it_showed(live: MarketClock, wall: Wall) -> None:
    live.observe_server(START_MS + 3_600_000)  # the machine slept for an hour
    assert live.now_ms() == START_MS + 3_600_000
    live.observe_server(START_MS + 3_590_000)
    wall.s += 12.0
    assert live.now_ms() == START_MS + 3_602_000


def test_threads_never_see_it_step_back() -> None:
    clock = MarketClock()
    clock.observe(START_MS)
    breaches: list[int] = []

    def read() -> None:
        last = 0
        for _ in range(3_000):
            now = clock.now_ms()
            if now < last:
                breaches.append(now)
            last = now

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for offset in range(3_000):
        clock.observe(START_MS + offset % 500)
    for thread in threads:
        thread.join()
    assert breaches == []
