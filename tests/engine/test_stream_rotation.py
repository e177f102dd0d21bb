"""The stream core: a second connection takes over from the first, and nothing is lost or told twice."""

from __future__ import annotations

import random
from collections import deque

import pytest

from apps.engine.stream import Close, Connect, Gapped, Recheck, StreamLimits
from apps.engine.stream_events import (
    ShutdownEvent,
)
from tests.engine.stream_rig import (
    HOUR,
    MINUTE,
    START,
    SYMBOLS,
    Market,
    Rig,
    kline,
    quote,
    started,
    trade,
)


def test_rotation_opens_the_second_before_it_closes_the_first() -> None:
    rig = started()
    rig.run(23 * HOUR - 4_000, every=2_000)
    assert rig.of(Connect) == [Connect(1, 0, "start")]
    rig.run(20_000)
    at = {type(action): when for when, action in rig.log[2:]}
    assert at[Connect] == 23 * HOUR and at[Close] - at[Connect] >= 2_000
    assert rig.of(Close) == [Close(1, "rotated: planned")]
    assert rig.open == [2] and (rig.core.rotations, rig.core.lost) == (1, 0)


def test_rotation_is_spread_by_half_an_hour() -> None:
    for draw, expected in ((0.0, 22.5), (0.75, 23.25)):
        rig = started(StreamLimits(), uniform=lambda draw=draw: draw)
        rig.run(24 * HOUR, every=4_000)
        at = [when for when, action in rig.log if isinstance(action, Connect)][1]
        assert 0 <= at - expected * HOUR <= 4_000


def test_the_first_stays_until_the_second_tells_of_every_symbol() -> None:
    rig = started()
    rig.run(10_000)
    rig.tell(ShutdownEvent(rig.ts))
    rig.step()
    rig.step()
    assert rig.open == [1, 2]
    for n in range(20):
        rig.step()
        rig.now += 1
        for symbol in SYMBOLS:
            rig.tell(quote(symbol, rig.now), kline(symbol, START, rig.ts), conn=1)
        rig.tell(quote("BTCUSDT", rig.now + n), conn=2)
    assert rig.of(Close) == []
    rig.tell(quote("ETHUSDT", rig.now + 1), conn=2)
    rig.step()
    assert rig.of(Close) == [Close(1, "rotated: the server is about to shut down")]


def test_a_second_that_stays_mute_is_closed_and_tried_again() -> None:
    rig = started()
    rig.run(10_000)
    rig.tell(ShutdownEvent(rig.ts))
    for _ in range(25):
        rig.step()
        for symbol in SYMBOLS:
            rig.tell(quote(symbol, rig.now), kline(symbol, START, rig.ts), conn=1)
    assert rig.of(Close)[0] == Close(2, "no frame")
    assert [action.conn for action in rig.of(Connect)] == [1, 2, 3]
    assert rig.core.lost == 0 and 1 in rig.open


def test_a_server_that_cuts_during_the_rotation_finds_the_second_ready() -> None:
    rig = started()
    rig.run(10_000)
    rig.tell(ShutdownEvent(rig.ts))
    rig.step()
    rig.step()
    assert rig.open == [1, 2]
    rig.cut(1)
    rig.run(5_000)
    assert rig.core.is_connected and rig.open == [2]
    assert len(rig.of(Connect)) == 2 and rig.of(Recheck) == [Recheck(SYMBOLS)] * 2


def test_failures_of_the_past_do_not_delay_leaving_a_server_that_shuts_down() -> None:
    rig = Rig()
    rig.up = False
    while len(rig.of(Connect)) < 8:
        rig.step()
    rig.up = True
    while not rig.open:
        rig.step()
    rig.run(3_000)
    rig.tell(ShutdownEvent(rig.ts))
    rig.step()
    assert rig.of(Connect)[-1] == Connect(9, rig.now, "the server is about to shut down")


def test_a_server_that_shuts_down_at_every_connection_is_not_stormed() -> None:
    rig = started(uniform=lambda: 0.999)
    for _ in range(600):
        rig.step()
        rig.tell(ShutdownEvent(rig.ts))
    assert len(rig.of(Connect)) < 40


def test_trades_of_both_connections_are_told_once_and_in_order() -> None:
    rig = started()
    rig.run(5_000)
    rig.tell(ShutdownEvent(rig.ts))
    rig.step()
    rig.step()
    rig.core.drain()
    told: list[int] = []
    for n in range(1, 200):
        rig.now += 20
        rig.tell(trade("BTCUSDT", n + 3, rig.ts), conn=2)  # the second is a little ahead
        if 1 in rig.open:
            rig.tell(trade("BTCUSDT", n, rig.ts - 60), conn=1)
        rig.chat()
        rig.core.tick(rig.now, rig.ts)
        rig.perform()
        told += [event.trade_id for event in rig.core.drain().trades]
    assert rig.open == [2]
    assert told == list(range(1, 203))
    assert rig.of(Gapped) == []


def test_what_the_second_tells_waits_until_it_takes_over() -> None:
    """A quote carries no time: beside a bar of the other line, one that was held up would look fresh."""
    rig = started()
    rig.run(5_000)
    rig.tell(ShutdownEvent(rig.ts))
    rig.step()
    rig.step()
    rig.core.drain()
    rig.tell(quote("BTCUSDT", 10**6, bid=500), kline("BTCUSDT", START, rig.ts), conn=2)
    assert rig.core.drain() == ([], [], [])
    rig.cut(1)
    assert rig.core.drain().latest == [kline("BTCUSDT", START, rig.ts), quote("BTCUSDT", 10**6, bid=500)]


def test_update_ids_may_begin_anew_on_a_new_connection() -> None:
    rig = started()
    rig.run(5_000)
    rig.cut(1)
    rig.step()
    rig.tell(quote("BTCUSDT", 3, bid=77))
    assert rig.core.drain().latest == [quote("BTCUSDT", 3, bid=77)]


def test_a_time_that_was_ahead_is_forgotten_with_its_connection() -> None:
    rig = started()
    rig.tell(kline("BTCUSDT", START, START + MINUTE))
    rig.cut(1)
    rig.step()
    rig.tell(quote("BTCUSDT", 3), kline("BTCUSDT", START, rig.ts))
    assert not rig.core.is_stale("BTCUSDT", rig.now, rig.ts)


@pytest.mark.parametrize("notice_ms", [10_000, 0])
def test_three_days_of_rotations_lose_no_bar_and_no_trade(notice_ms: int) -> None:
    """The server cuts each connection at 24 h, with and without a word; each one lags by its own delay."""
    seed = 3
    draw = random.Random(seed)
    rig = started(StreamLimits(), symbols=("BTCUSDT",), uniform=draw.random)
    market, born, told_trades, told_bars = Market(), {1: 0}, [], []
    in_flight: dict[int, deque[tuple[int, object]]] = {}
    while rig.now < 3 * 24 * HOUR:
        before = rig.ts
        rig.step(5_000)
        said = list(market.step(before, rig.ts))
        for conn in list(rig.open):
            born.setdefault(conn, rig.now)
            pipe = in_flight.setdefault(conn, deque())
            pipe.extend((rig.now + draw.randrange(1_500), event) for event in said)
            while pipe and pipe[0][0] <= rig.now:
                rig.tell(pipe.popleft()[1], conn=conn)
            age = rig.now - born[conn]
            if notice_ms and 24 * HOUR - notice_ms <= age < 24 * HOUR - notice_ms + 5_000:
                rig.tell(ShutdownEvent(rig.ts), conn=conn)
            if age >= 24 * HOUR:
                rig.cut(conn)
        drained = rig.core.drain()
        told_trades += [event.trade_id for event in drained.trades]
        told_bars += [event.open_time_ms for event in drained.bars]
    assert rig.core.rotations == 3 and rig.core.lost == 0, f"seed {seed}"
    assert rig.of(Gapped) == [], f"seed {seed}"
    assert told_bars == market.bars[: len(told_bars)] and len(market.bars) - len(told_bars) <= 1, f"seed {seed}"
    assert told_trades == market.trades[: len(told_trades)] and len(told_trades) > 51_000, f"seed {seed}"
