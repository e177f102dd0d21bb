"""The desk that is fired at: twenty symbols at one price, a clock that all processes share, and processes to fork."""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.core.management import call_command
from django.db import connection, connections

from apps.engine.decision import SOURCE_PERSON
from apps.engine.order_types import OrderRequest
from apps.engine.values import E8, Book
from apps.execution.desk_thread import desk_thread
from apps.execution.facts import MarketFacts
from apps.execution.requests import Answer, DecisionRequest, Idempotency, Prepared
from apps.execution.services import decide_and_record
from apps.risk.services import limits_set
from apps.web.roles import Role
from tests.support.desk import seed_desk

SYMBOLS = tuple(f"C{number:02d}USDT" for number in range(20))
BASE_MS = 1_700_000_000_000
STEP_MS = 1_100  # so that no symbol has more than 60 orders in 60 seconds
PRICE_E8 = 50_000 * E8
LOT_E8 = 100_000
LOT_NOTIONAL_E8 = PRICE_E8 // E8 * LOT_E8
NO_LIMIT = 2**52
MARKS = dict.fromkeys(SYMBOLS, PRICE_E8)


class Shared:
    """Integers that forked processes share. Reading and adding are not one step: the desk's own lock must make them."""

    def __init__(self, *values: int) -> None:
        # Written whole by a memoryview; struct.pack_into writes zeros first, and others would read them.
        self._memory = memoryview(mmap.mmap(-1, 8 * len(values))).cast("q")
        for number, value in enumerate(values):
            self[number] = value

    def __getitem__(self, number: int) -> int:
        return self._memory[number]

    def __setitem__(self, number: int, value: int) -> None:
        self._memory[number] = value


clock = Shared(BASE_MS)
_pipe = -1  # in a forked process: where it tells what it does


def tick() -> int:
    """The market's time, one step on."""
    clock[0] = clock[0] + STEP_MS
    return clock[0]


def prepare() -> None:
    """Migrate and seed; every kernel that a decision calls is compiled, so that forked processes have it."""
    call_command("migrate", verbosity=0)
    seed_desk(SYMBOLS, ts_ms=BASE_MS)
    limits(max_notional_e8=NO_LIMIT, symbol_notional_cap_e8=NO_LIMIT, orders_per_minute=60, order_cap_e8=0)
    for side in (1, -1):
        decide(order(SYMBOLS[0], side=side, lots=1))
    connections.close_all()


def limits(**changes: int) -> None:
    limits_set(changes=changes, actor="test", reason="test", ts_ms=clock[0], role=Role.OWNER)


def order(
    symbol: str, *, side: int = 1, lots: int, key: str | None = None, actor: str = "test",
    orders: tuple[OrderRequest, ...] = (), fingerprint: str = "",
) -> DecisionRequest:  # fmt: skip
    idempotency = Idempotency("fire", key, fingerprint) if key else None
    return DecisionRequest(
        symbol, SOURCE_PERSON, actor, side=side, quantity_e8=lots * LOT_E8, orders=orders, idempotency=idempotency
    )


def book(symbol: str, ts_ms: int, price_e8: int = PRICE_E8) -> Book:
    """Both sides deep enough for everything, the ask at the price."""
    size = 20_000 * E8
    return Book(symbol, ts_ms, ts_ms, ((price_e8 - E8, size),), ((price_e8, size),))


def facts(symbol: str) -> MarketFacts:
    """Every mark is the price at which orders are judged, so that notionals add up to the unit."""
    arrival = book(symbol, tick())
    return MarketFacts(arrival.ts_ms, MARKS, 0, 0, arrival, arrival)


def decide(request: DecisionRequest) -> Answer:
    """One decision on this thread's own connection: what keeps it apart from others is the database alone."""
    prepared = Prepared(request, None, book(request.symbol, clock[0]), clock[0])
    return decide_and_record(prepared=prepared, read_facts=partial(facts, request.symbol))


def decide_on_desk(request: DecisionRequest) -> Answer:
    """The same on the desk thread of this process, as the API does."""
    answer: Answer = desk_thread().run(partial(decide, request), is_repeatable=request.idempotency is not None)
    return answer


def document(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)
    return found


def fork(job: Callable[[], Any]) -> tuple[int, int]:
    """Start a process that runs the job: its number and the end of a pipe on which it tells its result as JSON."""
    global _pipe
    connections.close_all()
    told, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        return pid, told
    try:
        os.close(told)
        _pipe = tell
        result = {"result": job()}
    except BaseException as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    say(result)
    os._exit(0)


def say(value: Any) -> None:
    """In a forked process: one line of JSON, whole even where a pipe takes less at a time."""
    data = json.dumps(value).encode() + b"\n"
    while data:
        data = data[os.write(_pipe, data) :]


def collect(process: tuple[int, int]) -> tuple[list[Any], int]:
    """Every line the process told, and its exit status once it has ended."""
    pid, told = process
    with os.fdopen(told) as pipe:
        lines = [json.loads(line) for line in pipe if line.endswith("\n")]
    return lines, os.waitpid(pid, 0)[1]


def in_processes(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of jobs that run side by side, each in a process of its own; raises what one of them raised."""
    lines = [line for process in [fork(job) for job in jobs] for line in collect(process)[0]]
    errors = [line["error"] for line in lines if "error" in line]
    if errors or len(lines) != len(jobs):
        raise RuntimeError(f"{len(jobs) - len(lines)} told nothing; {errors}")
    return [line["result"] for line in lines]


def in_threads(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """The same in threads of this process, each with a connection of its own; an error is its own result."""
    results: list[Any] = [None] * len(jobs)

    def run(number: int) -> None:
        try:
            results[number] = jobs[number]()
        except Exception as error:
            results[number] = f"{type(error).__name__}: {error}"
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"
