"""The stream core under thousands of random faults on a virtual clock: it never raises, gives up, lies or loses."""

from __future__ import annotations

import pytest

from tests.support.stream_world import FAULTS, LIMITS, SYMBOLS, World

STORM = 40


def storm(seed: int, n_faults: int) -> World:
    """Faults close upon each other, now and then a calm in which everything must be well again."""
    world = World(seed)
    world.recover()
    for number in range(n_faults):
        fault = world.rng.choice(FAULTS)
        try:
            world.suffer(fault)
            world.run(int(world.rng.choice((0, 250, 500, 1_000, 2_000, 8_000))))
            if number % STORM == STORM - 1:
                world.recover()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, fault {number} ({fault}): {error}") from error
    return world


def test_ten_thousand_faults() -> None:
    worlds = [storm(seed, 1_000) for seed in range(10)]
    trusted = sum(world.trusted for world in worlds)
    longest_s = max(world.longest_recovery_ms for world in worlds) / 1000
    print(f"10,000 faults: longest recovery {longest_s:g} s, {trusted} prices trusted, none of them old")
    assert trusted > 50_000
    assert max(world.most_backlog for world in worlds) <= 2 * LIMITS.backlog
    assert sum(world.core.rotations for world in worlds) > 10


@pytest.mark.soak
def test_a_hundred_thousand_faults() -> None:
    longest_s = max(storm(seed, 1_000).longest_recovery_ms for seed in range(1_000, 1_100)) / 1000
    print(f"100,000 faults: longest recovery {longest_s:g} s")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_alone_is_survived(fault: str) -> None:
    world = World(7)
    world.recover()
    for _ in range(3):
        world.suffer(fault)
        world.run(5_000)
    world.recover()
    assert world.core.is_connected


def test_a_line_that_is_late_for_good_is_replaced() -> None:
    world = World(5)
    world.recover()
    (line,) = world.lines.values()
    line.latency_ms = LIMITS.late_market_ms + 1_000
    world.run(10_000)
    assert all(world.core.is_stale(symbol, world.mono_ms, world.ts_ms) for symbol in SYMBOLS)
    world.run(LIMITS.frozen_ms)
    assert line.conn not in world.lines
    world.recover()


def test_the_budget_of_connections_holds_where_backoff_does_not() -> None:
    """Half an hour in which every connection dies within a second, and hardly any wait between two."""
    world = World(3, LIMITS._replace(backoff_cap_ms=500))
    n_connects = 0
    for _ in range(1_800):
        world.suffer("reset")
        world.run(1_000)
        n_connects = max(n_connects, len(world.connects))
    assert n_connects == LIMITS.connects
    world.run(LIMITS.connects_window_ms)
    world.recover()
