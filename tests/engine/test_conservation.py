"""Books that balance to the unit over very many orders: seeded steps of the same desk whose rules hypothesis explores.

`make test` places some thousands, `make soak` a hundred thousand; how many were really taken is counted, not assumed.
"""

from __future__ import annotations

import random

import pytest

from apps.engine.order_types import BUY, SELL, OrderType, TimeInForce
from tests.engine.test_matching_properties import BaseFeeDesk, Desk

STEPS = 60
INVARIANTS = (
    "a_restart_changes_nothing",
    "nothing_is_created_or_lost",
    "the_account_can_pay_what_is_open",
    "orders_fill_no_more_than_they_ask_and_add_up",
    "one_leg_of_a_list_fills_at_most",
)


def sizes(chance: random.Random) -> list[int]:
    return [chance.randint(0, 40) for _ in range(4)]


def step(desk: Desk, chance: random.Random) -> None:
    """One thing that happens: mostly an order, a trade or a book."""
    side, lots, ticks = chance.choice((BUY, SELL)), chance.randint(1, 60), desk.last_ticks
    what = chance.random()
    if what < 0.4:
        price, stop = ticks + chance.randint(-6, 6), ticks + chance.randint(-6, 6)
        desk.place(side, chance.choice(list(OrderType)), lots, price, stop, chance.choice(list(TimeInForce)))
    elif what < 0.45:
        desk.place_list(side, lots, chance.randint(1, 8), chance.randint(1, 8))
    elif what < 0.65:
        gaps, steps = (chance.randint(1, 3), chance.randint(1, 3)), [chance.randint(1, 4) for _ in range(3)]
        mid, age = ticks + chance.randint(-2, 2), chance.choice((0, 0, 0, 9_000))
        desk.show(mid, gaps, steps, sizes(chance), sizes(chance), chance.randint(0, 80), age)
    elif what < 0.9:
        distance = chance.choice((-6, -2, -1, 0, 0, 0, 1, 2, 6))
        desk.trade(distance, chance.randint(0, 50), chance.random() < 0.5, chance.randint(0, 40))
    elif what < 0.95 and desk.one.orders:
        desk.cancel(chance.randint(0, 99), chance.randint(0, 60))
    else:
        desk.restart()


def orders_taken(wanted: int, seed: int) -> tuple[int, int]:
    """Desk after desk until so many orders were taken; (orders, fills)."""
    chance, orders, fills = random.Random(seed), 0, 0
    while orders < wanted:
        desk = chance.choice((Desk, BaseFeeDesk))()
        for _ in range(STEPS):
            step(desk, chance)
            for name in INVARIANTS:
                getattr(desk, name)()
        orders, fills = orders + len(desk.one.asked), fills + len(desk.one.fills)
    return orders, fills


def test_thousands_of_orders_create_and_lose_nothing() -> None:
    orders, fills = orders_taken(3_000, seed=1)
    assert orders >= 3_000 and fills > orders // 4


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_hundred_thousand_orders_create_and_lose_nothing() -> None:
    orders, fills = orders_taken(100_000, seed=7)
    print(f"\n{orders:,} orders, {fills:,} fills")
    assert orders >= 100_000 and fills > orders // 4
