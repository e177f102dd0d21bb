"""`kill -9` of a process that trades, at a named failpoint or at any moment: what it acknowledged is there after."""

from __future__ import annotations

import hashlib
import os
import random
import select
import signal
import time
from collections import Counter
from functools import partial
from typing import Any

from django.db import connections

from apps.engine.order_types import OrderRequest, OrderType, TimeInForce
from apps.engine.values import E8
from apps.execution import matching
from apps.execution.desk_thread import desk_thread
from apps.execution.failpoints import FAILPOINTS, VARIABLE
from apps.execution.matching import SeenBook
from apps.execution.models import Execution, IdempotencyKey
from apps.execution.requests import Answer, DecisionRequest
from tests.support.fire.ground import (
    LOT_E8,
    NO_LIMIT,
    PRICE_E8,
    SYMBOLS,
    book,
    clock,
    collect,
    decide,
    decide_on_desk,
    fork,
    limits,
    order,
    say,
    tick,
)

LONGEST_S = 0.12
REST_E8 = PRICE_E8 - 100 * E8
MOST_ORDERS = 40


def crashes(*, points: int, kills: int, seed: int) -> dict[str, Any]:
    """Every failpoint `points` times, then `kills` at random moments."""
    limits(max_notional_e8=NO_LIMIT, symbol_notional_cap_e8=NO_LIMIT)
    chance, told, before = random.Random(seed), Counter[str](), decisions_beyond_keys()
    for name in FAILPOINTS:
        told[f"at {name}"] = 0
        for number in range(points):
            found = one_crash(f"{seed}-{name}-{number}", chance, f"{name}:{chance.randint(1, 4)}")
            told[f"at {name}"] += found.pop("reached")
            told.update(found)
    for number in range(kills):
        told.update(one_crash(f"{seed}-{number}", chance, None))
    reached = [told.pop(f"at {name}") for name in FAILPOINTS]
    told.update(decided_twice=decisions_beyond_keys() - before)
    return {"failpoints": len(FAILPOINTS), "reached_least": min(reached), "killed": told.pop("reached"), **told}


def unsaid(*, rounds: int, seed: int) -> dict[str, Any]:
    """Die between COMMIT and answer, and ask again: the decision is there, once, in the same bytes."""
    limits(max_notional_e8=NO_LIMIT, symbol_notional_cap_e8=NO_LIMIT)
    chance, told, before = random.Random(seed), Counter[str](), decisions_beyond_keys()
    for number in range(rounds):
        told.update(one_crash(f"unsaid-{seed}-{number}", chance, "committed"))
    told.update(decided_twice=decisions_beyond_keys() - before)
    return {"rounds": rounds, **told}


def decisions_beyond_keys() -> int:
    """Here every request has a key, so that a decision beyond them was taken twice."""
    found = Execution.objects.count() - IdempotencyKey.objects.count()
    connections.close_all()
    return found


def one_crash(name: str, chance: random.Random, failpoint: str | None) -> dict[str, int]:
    """Fork a desk, let it die, and ask again what it was asked, from a process that knows nothing of it."""
    pid, pipe = fork(partial(trade, name, failpoint, chance.randrange(2**32)))
    if failpoint is None:
        select.select([pipe], [], [], 30)  # from its first order on, not while it connects
        time.sleep(chance.uniform(0, LONGEST_S))
        os.kill(pid, signal.SIGKILL)
    lines, status = collect((pid, pipe))
    errors = [line["error"] for line in lines if "error" in line]
    if errors:
        raise RuntimeError(errors[0])
    asked = {line["key"]: line["asked"] for line in lines if "asked" in line}
    answered = {line["key"]: line["digest"] for line in lines if "digest" in line}
    return {
        "reached": int(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL),
        "acknowledged": len(answered),
        **again(asked, answered),
    }


def again(asked: dict[str, list[int]], answered: dict[str, str]) -> dict[str, int]:
    """Repeat every request: what was acknowledged gives the same bytes, and so does the one in flight if it was
    committed. On PostgreSQL its COMMIT may still be under way: the first repeat waits for it."""
    told = Counter(lost=0, differing=0, committed_unsaid=0, not_committed=0)
    for key, request in asked.items():
        first, second = (decide(request_of(key, request)) for _ in range(2))
        stored = [bytes(answer) for answer in IdempotencyKey.objects.filter(key=key).values_list("answer", flat=True)]
        told["differing"] += not (second.is_repeat and stored == [first.body] and second.body == first.body)
        if key in answered:
            told["lost"] += not first.is_repeat
            told["differing"] += answered[key] != digest(first)
        else:
            told["committed_unsaid" if first.is_repeat else "not_committed"] += 1
    connections.close_all()
    return dict(told)


def trade(name: str, failpoint: str | None, seed: int) -> None:
    """In the process that dies: orders that fill, orders that rest and books that they meet, until it is gone."""
    if failpoint is not None:
        os.environ[VARIABLE] = failpoint
    chance = random.Random(seed)
    for number in range(MOST_ORDERS):
        key, symbol = f"{name}-{number}", chance.randrange(3)
        asked = [symbol, chance.choice([1, 1, -1]), chance.randint(1, 5), int(chance.random() < 0.4)]
        say({"key": key, "asked": asked})
        answer = decide_on_desk(request_of(key, asked))
        say({"key": key, "digest": digest(answer)})
        if number % 3 == 2:
            desk_thread().run(partial(meet, SYMBOLS[symbol]))


def meet(symbol: str) -> None:
    """A book that crosses what rests on the buying side; the matcher's own transaction."""
    seen = SeenBook(book(symbol, tick(), REST_E8 - E8), 0, 0, -1)
    matching.meet(symbol, [seen], now_ms=clock[0], may_wait=False)


def request_of(key: str, asked: list[int]) -> DecisionRequest:
    symbol, side, lots, is_resting = asked
    orders: tuple[OrderRequest, ...] = ()
    if is_resting:
        price = REST_E8 if side > 0 else 2 * PRICE_E8 - REST_E8
        orders = (OrderRequest(side, OrderType.LIMIT, lots * LOT_E8, price, None, None, TimeInForce.GTC),)
    return order(SYMBOLS[symbol], side=side, lots=lots, key=key, orders=orders)


def digest(answer: Answer) -> str:
    return hashlib.sha256(answer.body).hexdigest()
