"""Many with one key at once: one order, and the same bytes for all."""

from __future__ import annotations

from functools import partial
from multiprocessing import get_context
from typing import Any

from django.db import connection

from apps.execution.models import Execution, IdempotencyKey, Order
from tests.support.fire.crashes import digest
from tests.support.fire.ground import NO_LIMIT, SYMBOLS, decide, in_processes, in_threads, limits, order


def keys(*, rounds: int, processes: int, threads: int) -> dict[str, Any]:
    limits(max_notional_e8=NO_LIMIT, symbol_notional_cap_e8=NO_LIMIT)
    before = Order.objects.count(), Execution.objects.count()
    answers, errors, repeats, stored = 0, [], 0, 0
    for number in range(rounds):
        barrier = get_context("fork").Barrier(processes * threads)
        told = [entry for part in in_processes([partial(ask, barrier, number, threads)] * processes) for entry in part]
        errors += [entry for entry in told if isinstance(entry, str)]
        found = [entry for entry in told if not isinstance(entry, str)]
        answers = max(answers, len({body for body, _ in found}))
        repeats += sum(is_repeat for _, is_repeat in found)
        stored += IdempotencyKey.objects.filter(key=f"one-{number}").count()
    return {
        "requests": rounds * processes * threads,
        "errors": errors,
        "different_answers": answers,
        "repeats": repeats,
        "orders": Order.objects.count() - before[0],
        "decisions": Execution.objects.count() - before[1],
        "keys": stored,
    }


def ask(barrier: Any, number: int, threads: int) -> list[Any]:
    return in_threads([partial(ask_once, barrier, number)] * threads)


def ask_once(barrier: Any, number: int) -> tuple[str, bool]:
    connection.ensure_connection()
    barrier.wait(60)
    answer = decide(order(SYMBOLS[number % len(SYMBOLS)], lots=1, key=f"one-{number}"))
    return digest(answer), answer.is_repeat
