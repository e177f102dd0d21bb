"""The kill switch while sixteen write: does anything commit after the call has returned, and how long does it take?"""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

from django.db import connection

from apps.audit.replaying import is_decision
from apps.audit.selectors import audit_after, audit_head
from apps.execution.models import Order
from apps.risk.services import kill_engage, kill_release
from apps.web.roles import Role
from tests.support.fire.ground import (
    NO_LIMIT,
    SYMBOLS,
    Shared,
    clock,
    collect,
    decide,
    fork,
    in_threads,
    limits,
    order,
)

SETTLE_S = 0.03


def kills(*, kills: int, processes: int, threads: int, seed: int) -> dict[str, Any]:
    limits(max_notional_e8=NO_LIMIT, symbol_notional_cap_e8=NO_LIMIT)
    stop, head = Shared(0), audit_head()[0]
    writers = [fork(partial(write, stop, number, threads, seed)) for number in range(processes)]
    took, late = [], 0
    try:
        for _ in range(kills):
            wait_for_orders(3)
            begun = time.monotonic()
            kill_engage(actor="test", reason="drill", ts_ms=clock[0])
            took.append((time.monotonic() - begun) * 1_000)
            at_return = Order.objects.count()
            time.sleep(SETTLE_S)
            late += Order.objects.count() - at_return
            kill_release(actor="owner:test", reason="drill", confirmation="RELEASE", ts_ms=clock[0], role=Role.OWNER)
    finally:
        stop[0] = 1
        told = [line for writer in writers for line in collect(writer)[0]]
    took.sort()
    return {
        "kills": kills,
        "late": late,
        "errors": [entry for line in told for entry in line.get("result", [line]) if entry is not None],
        "p50_ms": round(took[len(took) // 2], 1),
        "p99_ms": round(took[min(len(took) - 1, len(took) * 99 // 100)], 1),
        "max_ms": round(took[-1], 1),
        **by_record(head),
    }


def write(stop: Shared, process: int, threads: int, seed: int) -> list[str | None]:
    return in_threads([partial(trade, stop, seed * 1_000 + process * threads + number) for number in range(threads)])


def trade(stop: Shared, seed: int) -> None:
    chance = random.Random(seed)
    while not stop[0]:
        decide(order(chance.choice(SYMBOLS), lots=1))
        if connection.vendor == "sqlite":
            time.sleep(chance.random() * 0.005)


def wait_for_orders(count: int, timeout_s: float = 60.0) -> None:
    enough, deadline = Order.objects.count() + count, time.monotonic() + timeout_s
    while Order.objects.count() < enough:
        if time.monotonic() > deadline:
            raise TimeoutError("nobody trades")
        time.sleep(0.002)


def by_record(head: int) -> dict[str, Any]:
    """What the log says: orders between a kill and its release, and refusals, without which nobody pressed."""
    is_halted, halted_orders, refused = False, 0, 0
    for record in audit_after(head, 10_000_000):
        if is_decision(record):
            halted_orders += is_halted and record.content["orderId"] is not None
            refused += record.content["outcome"]["reason"] == "trading_halted"
        is_halted = {"risk.kill": True, "risk.release": False}.get(record.kind, is_halted)
    return {"halted_orders": halted_orders, "refused": refused}
