"""The stream core: when it opens and leaves connections, over hours of a virtual clock."""

from __future__ import annotations

import json
import random
from collections import deque

from apps.engine.stream import Close, Connect, Pong, Send, StreamLimits
from apps.engine.stream_events import (
    ControlEvent,
)
from apps.engine.stream_pace import MESSAGE_WINDOW_MS, Backoff, ConnectBudget, MessageBudget
from tests.engine.stream_rig import (
    HOUR,
    MINUTE,
    START,
    Rig,
    kline,
    quote,
    started,
    trade,
)


def test_silence_leads_to_a_new_connection_although_pings_go_on() -> None:
    rig = started()
    rig.run(3_000)
    for _ in range(16):
        rig.core.pinged(1, b"1", rig.now)
        rig.step()
    assert rig.of(Close) == [Close(1, "no frame for 15 s")]
    assert rig.of(Connect)[1] == Connect(2, 19_000 + 250, "no frame for 15 s")
    assert rig.core.lost == 1


def test_frames_without_any_newer_time_lead_to_a_new_connection() -> None:
    rig = started()
    rig.run(3_000)
    at = rig.ts
    for n in range(31):
        rig.step()
        rig.tell(quote("BTCUSDT", 10**6 + n), kline("BTCUSDT", START, at), trade("ETHUSDT", 1, at))
    assert rig.of(Close) == [Close(1, "the exchange's time has stood still for 30 s")]


def test_a_silent_symbol_is_subscribed_anew_then_rotated_once_in_five_minutes() -> None:
    rig = started()
    rig.run(HOUR, symbols=("BTCUSDT",))
    sent = [(at, json.loads(action.text)) for at, action in rig.log if isinstance(action, Send)]
    assert [(at, message["method"]) for at, message in sent[:2]] == [(31_000, "UNSUBSCRIBE"), (31_000, "SUBSCRIBE")]
    assert sent[0][1] == {"method": "UNSUBSCRIBE", "params": ["ethusdt@kline_1m", "ethusdt@aggTrade"], "id": 1}
    rotations = [at for at, action in rig.log if isinstance(action, Connect)][1:]
    assert rotations[0] == 62_000
    assert all(later - earlier >= 5 * MINUTE for earlier, later in zip(rotations, rotations[1:], strict=False))
    assert len(rotations) == 11
    assert {action.reason for action in rig.of(Connect)[1:]} == {"ETHUSDT is silent"}
    assert rig.core.lost == 0 and rig.core.rotations == 11


def test_many_halted_symbols_share_their_reconnects() -> None:
    symbols = tuple(f"S{n}USDT" for n in range(100))
    rig = started(symbols=symbols)
    rig.run(10 * MINUTE, symbols=symbols[:1])
    assert len(rig.of(Connect)) == 3


def test_a_symbol_that_speaks_again_is_left_alone() -> None:
    rig = started()
    rig.run(50_000, symbols=("BTCUSDT",))
    rig.run(10 * MINUTE)
    assert len(rig.of(Send)) == 2 and len(rig.of(Connect)) == 1


def test_backoff_doubles_to_its_cap_with_full_jitter_and_never_gives_up() -> None:
    rig = Rig()
    rig.up = False
    for _ in range(24 * 3600):
        rig.step()
    asked = [(at, action) for at, action in rig.log if isinstance(action, Connect)]
    waits = [action.at_mono_ms - at for at, action in asked]
    assert waits[:9] == [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]
    assert set(waits[8:]) == {15_000}
    assert len(waits) > 5_000
    draws = iter([0.0, 0.999999])
    jittered = Backoff(500, 30_000, lambda: next(draws))
    jittered.failures = 40
    assert [jittered.next_ms(), jittered.next_ms()] == [0, 29_999]


def test_failures_are_forgiven_only_after_a_minute_of_data() -> None:
    rig = Rig()
    rig.up = False
    while len(rig.of(Connect)) < 8:
        rig.step()
    rig.up = True
    while not rig.open:
        rig.step()
    rig.run(59_000)
    rig.cut(rig.open[0])
    assert rig.of(Connect)[-1].at_mono_ms - rig.now == 15_000
    while not rig.open:
        rig.step()
    rig.run(62_000)
    rig.cut(rig.open[0])
    assert rig.of(Connect)[-1].at_mono_ms - rig.now == 250


def test_an_open_but_mute_connection_forgives_nothing() -> None:
    rig = Rig()
    for _ in range(600):
        rig.step()
    waits = [action.at_mono_ms - at for at, action in rig.log if isinstance(action, Connect)]
    assert waits[-1] == 15_000


def test_connections_keep_within_sixty_per_five_minutes() -> None:
    draw = random.Random(7)
    rig = Rig(uniform=lambda: draw.random() / 1_000)
    for _ in range(3_600):
        rig.step(100)
        while rig.open:
            rig.cut(rig.open[0])
    times = [action.at_mono_ms for action in rig.of(Connect)]
    assert len(times) >= 100
    assert all(late - early > 300_000 for early, late in zip(times, times[60:], strict=False))


def test_an_attempt_that_never_ends_is_given_up() -> None:
    rig = Rig()
    rig.core.tick(0, START)
    rig.core.tick(20_000, START)
    assert [type(action) for action in rig.core.actions()] == [Connect]
    rig.core.tick(20_001, START)
    assert rig.core.actions() == [Close(1, "no answer"), Connect(2, 20_251, "no answer")]


def test_a_ping_is_answered_with_its_payload() -> None:
    rig = started()
    rig.core.pinged(1, b"1700000000", 10)
    assert rig.core.actions() == [Pong(1, b"1700000000")]
    rig.core.pinged(99, b"x", 10)
    assert rig.core.actions() == []


def test_a_transport_that_answers_itself_is_not_asked_to() -> None:
    rig = started()
    rig.core.pinged(1, b"1", 10, is_answered=True)
    assert rig.core.actions() == []


def test_everything_said_counts_and_stays_below_five_in_any_second() -> None:
    draw = random.Random(11)
    rig = started()
    rig.run(40_000, symbols=("BTCUSDT",))
    sent: deque[int] = deque()
    for n in range(20_000):
        rig.now += draw.randrange(60)
        if draw.random() < 0.3:
            rig.core.pinged(1, str(n).encode(), rig.now)
        rig.core.tick(rig.now, rig.ts)
        rig.chat(("BTCUSDT",))
        for action in rig.core.actions():
            if isinstance(action, (Send, Pong)):
                sent.append(rig.now)
    assert len(sent) > 1_000
    assert all(late - early > MESSAGE_WINDOW_MS for early, late in zip(sent, list(sent)[4:], strict=False)), "seed 11"


def test_the_message_budget_leaves_one_place_for_a_pong() -> None:
    budget = MessageBudget(4)
    for _ in range(3):
        assert budget.allows(0)
        budget.spend(0)
    assert not budget.allows(MESSAGE_WINDOW_MS) and budget.allows(MESSAGE_WINDOW_MS, is_pong=True)
    budget.spend(MESSAGE_WINDOW_MS)
    assert not budget.allows(MESSAGE_WINDOW_MS, is_pong=True)
    assert budget.allows(MESSAGE_WINDOW_MS + 1)


def test_the_connect_budget_is_a_sliding_window() -> None:
    budget = ConnectBudget(3, 300_000)
    assert [budget.book(at) for at in (0, 10_000, 20_000)] == [0, 10_000, 20_000]
    assert budget.book(30_000) == 300_001
    assert budget.book(30_000) == 310_001


def test_late_frames_and_ends_of_a_closed_connection_change_nothing() -> None:
    rig = started()
    rig.run(5_000)
    rig.cut(1)
    n = len(rig.log)
    rig.core.frame(1, quote("BTCUSDT", 10**9), rig.now, rig.ts)
    rig.core.closed(1, rig.now, "again")
    rig.core.failed(1, rig.now)
    rig.perform()
    assert len(rig.log) == n and rig.core.drain() == ([], [], [])


def test_refused_control_messages_are_counted() -> None:
    rig = started()
    rig.tell(ControlEvent(1, ""), ControlEvent(2, "4: Too many subscriptions"))
    assert rig.core.refused == 1


def test_scaling_shortens_times_and_keeps_bounds() -> None:
    scaled = StreamLimits().scaled(1_000)
    assert (scaled.rotate_after_ms, scaled.backoff_cap_ms, scaled.backlog, scaled.connects) == (82_800, 30, 1_000, 60)
    assert min(value for name, value in scaled._asdict().items() if name.endswith("_ms")) >= 1
