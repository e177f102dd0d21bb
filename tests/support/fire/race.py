"""Many at once against a cap: is it passed by one unit, does an exact fit get in, does anybody see an error?"""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from multiprocessing import get_context
from typing import Any

from django.db import connection

from apps.audit.replaying import is_decision
from apps.audit.selectors import audit_after, audit_head
from apps.execution.models import Position
from tests.support.fire.ground import (
    LOT_E8,
    LOT_NOTIONAL_E8,
    NO_LIMIT,
    SYMBOLS,
    decide,
    document,
    in_processes,
    in_threads,
    limits,
    order,
)

LARGEST_LOTS = 8


def race(*, runs: int, processes: int, threads: int, orders: int, seed: int) -> dict[str, Any]:
    """Odd runs press against the cap of all positions, even ones against that of each symbol."""
    told: Counter[str] = Counter()
    for run in range(runs):
        told.update(one_run(run, processes=processes, threads=threads, orders=orders, seed=seed * 1_000 + run))
    return {"requests": runs * processes * threads * orders, "runs": runs, **told}


def one_run(run: int, *, processes: int, threads: int, orders: int, seed: int) -> dict[str, int]:
    is_global = run % 2 == 1
    before, head = held_lots(), audit_head()[0]
    room = max(LARGEST_LOTS, processes * threads * orders // 2)
    cap_lots = sum(before.values()) + room if is_global else max(before.values(), default=0) + room // len(SYMBOLS) + 1
    name = "max_notional_e8" if is_global else "symbol_notional_cap_e8"
    limits(**{"max_notional_e8": NO_LIMIT, "symbol_notional_cap_e8": NO_LIMIT, name: cap_lots * LOT_NOTIONAL_E8})
    barrier = get_context("fork").Barrier(processes * threads)
    jobs = [partial(shop, barrier, number, threads, orders, seed) for number in range(processes)]
    told = [entry for process in in_processes(jobs) for entry in process]
    errors = [entry for entry in told if isinstance(entry, str)]
    actors = [record.actor for record in audit_after(head, 10_000_000) if is_decision(record)]
    found = Counter(outcome for entry in told if isinstance(entry, list) for outcome in entry)
    return {
        "errors": len(errors),
        "units_over": over_e8(before, head, cap_lots, is_global),
        "exact_fits": exact_fits(cap_lots, is_global, random.Random(seed)),
        "accepted": found["sent"],
        "capped": found["global_cap"] + found["symbol_cap"],
        "lost": processes * threads * orders - len(actors),
        "turns": sum(one != other for one, other in zip(actors, actors[1:], strict=False)),
    }


def shop(barrier: Any, process: int, threads: int, orders: int, seed: int) -> list[Any]:
    """The threads of one process; each tells how its orders ended, or the error it met."""
    return in_threads([partial(buy, barrier, process * threads + number, orders, seed) for number in range(threads)])


def buy(barrier: Any, number: int, orders: int, seed: int) -> list[str]:
    chance, outcomes = random.Random(seed * 1_000 + number), []
    connection.ensure_connection()
    barrier.wait(60)
    for _ in range(orders):
        side = 1 if chance.random() < 0.85 else -1
        lots = chance.randint(1, LARGEST_LOTS)
        request = order(chance.choice(SYMBOLS), side=side, lots=lots, actor=f"writer-{number}")
        answer = document(decide(request))
        if connection.vendor == "sqlite":
            # It hands its lock to whoever asks first: without a pause one process would be done before the next began.
            time.sleep(chance.random() * 0.02)
        outcomes.append("sent" if answer["orderId"] else str(answer["reason"]))
    return outcomes


def held_lots() -> dict[str, int]:
    rows = Position.objects.values_list("symbol", "quantity_e8")
    return {symbol: quantity // LOT_E8 for symbol, quantity in rows}


def over_e8(before: dict[str, int], head: int, cap_lots: int, is_global: bool) -> int:
    """By how much the cap was passed at worst: every fill folded in the order of commits, none of the guards asked."""
    held, worst = Counter(before), 0
    for record in audit_after(head, 10_000_000):
        if not is_decision(record) or record.content["orderId"] is None:
            continue
        symbol, fills = record.content["symbol"], record.content["fills"]
        lots = sum(round(float(fill["quantity"]) * 1e8) for fill in fills) // LOT_E8
        held[symbol] += lots if record.content["order"]["side"] == "BUY" else -lots
        used = sum(held.values()) if is_global else held[symbol]
        worst = max(worst, (used - cap_lots) * LOT_NOTIONAL_E8)
    assert held_lots() == {symbol: lots for symbol, lots in held.items() if symbol in held_lots()}
    return worst


def exact_fits(cap_lots: int, is_global: bool, chance: random.Random) -> int:
    """1 when an order of exactly the room that is left gets in, and after it not the smallest one."""
    symbol = chance.choice(SYMBOLS)
    held = held_lots()
    room = cap_lots - (sum(held.values()) if is_global else held.get(symbol, 0))
    is_in = room == 0 or document(decide(order(symbol, lots=room)))["orderId"] is not None
    answer = document(decide(order(symbol, lots=1)))
    is_out = answer["orderId"] is None and answer["reason"] == ("global_cap" if is_global else "symbol_cap")
    return int(is_in and is_out)
