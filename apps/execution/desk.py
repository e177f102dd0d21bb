"""Prepare, wait, commit: how anything that trades is brought to the desk thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from apps.engine.decision import SOURCE_ROUTER
from apps.engine.errors import Unavailable
from apps.engine.values import Book
from apps.execution.desk_thread import LOST, desk_thread
from apps.execution.facts import live_facts
from apps.execution.requests import Answer, DecisionRequest, Prepared
from apps.execution.services import answer_of_key, decide_and_record
from apps.marketdata.hub import broadcast
from apps.marketdata.market import market_view
from apps.strategy.selectors import view_latest

T = TypeVar("T")
MAX_WAIT_S = 2.0
NOBODY_KNOWS = (
    "the database was lost: whether this was decided is not known; with an Idempotency-Key asking again tells"
)


def prepare(request: DecisionRequest) -> Prepared:
    """Freeze the view and the book as they are now; takes no lock."""
    market = market_view()
    view = view_latest(request.symbol) if request.source == SOURCE_ROUTER else None
    return Prepared(request, view, market.book(request.symbol), market.now_ms())


def due_ms(prepared: Prepared) -> int:
    """When the order arrives at the exchange."""
    return prepared.t0_ms + settings.ENTRY_LATENCY_MS


def wait_for_arrival(prepared: Prepared) -> Book | None:
    """The first book at or after the order's arrival; None when none came within the wait."""
    return market_view().wait_book(prepared.request.symbol, due_ms(prepared), MAX_WAIT_S)


def commit(prepared: Prepared, arrival: Book | None) -> Answer:
    """Decide on the desk thread; blocks until the decision is committed.

    When the database is lost at COMMIT, what was committed is looked up under the request's key or bar. A request
    without either raises Unavailable, which says that nobody knows.
    """
    with _told_when_lost():
        answer = desk_thread().run(partial(_decide, prepared, arrival), is_repeatable=prepared.request.is_repeatable)
    _broadcast(answer)
    return answer


def take(request: DecisionRequest) -> Answer:
    """One decision from request to committed answer; the caller's thread waits."""
    steps = _steps(request, _as_it_is)
    step, desk = next(steps), desk_thread()
    try:
        while True:
            if isinstance(step, Prepared):
                step = steps.send(wait_for_arrival(step))
                continue
            with _told_when_lost():
                result = desk.run(step, is_repeatable=request.is_repeatable)
            step = steps.send(result)
    except StopIteration as end:
        answer: Answer = end.value
        return answer


async def take_async(request: DecisionRequest, tell: Callable[[Answer], T]) -> T:
    """The same for a coroutine; `tell` makes of the answer what the caller wants, on the desk thread."""
    steps = _steps(request, tell)
    step, desk = next(steps), desk_thread()
    try:
        while True:
            if isinstance(step, Prepared):
                step = steps.send(await market_view().wait_book_async(request.symbol, due_ms(step), MAX_WAIT_S))
                continue
            with _told_when_lost():
                result = await desk.run_async(step, is_repeatable=request.is_repeatable)
            step = steps.send(result)
    except StopIteration as end:
        told: T = end.value
        return told


def _steps(request: DecisionRequest, tell: Callable[[Answer], T]) -> Generator[Prepared | Callable[[], Any], Any, T]:
    """The way of every request: jobs for the desk thread, and between them what waits for its book; each is sent back
    what came of it. How to wait is the caller's affair.

    Reading key and view is a job too: the thread of a request would open a connection for them alone.
    """
    # A person's order leaves now, however long the queue. The router's waits for its view: none may be newer than it.
    asked = None if request.source == SOURCE_ROUTER else prepare(request)
    outcome: Any = asked
    if asked is None or request.idempotency is not None:
        outcome = yield partial(_begin, request, asked, tell)
    if isinstance(outcome, Prepared):
        arrival = outcome.seen if _is_there(outcome) else (yield outcome)
        outcome = yield partial(_decide_and_tell, outcome, arrival, tell)
    answer, told = outcome
    _broadcast(answer)
    return told  # type: ignore[no-any-return]  # what `tell` gave


def _begin(
    request: DecisionRequest, asked: Prepared | None, tell: Callable[[Answer], T]
) -> Prepared | tuple[Answer, T]:
    """What was answered before, or the decision at once where its book is there already, or what it has to wait for."""
    stored = answer_of_key(request.idempotency) if request.idempotency is not None else None
    if stored is not None:
        return stored, tell(stored)
    prepared = asked or prepare(request)
    return _decide_and_tell(prepared, prepared.seen, tell) if _is_there(prepared) else prepared


def _is_there(prepared: Prepared) -> bool:
    """Whether the book that was seen is the one that the order meets."""
    return prepared.seen is not None and prepared.seen.ts_ms >= due_ms(prepared)


def _decide_and_tell(prepared: Prepared, arrival: Book | None, tell: Callable[[Answer], T]) -> tuple[Answer, T]:
    answer = _decide(prepared, arrival)
    return answer, tell(answer)


def _decide(prepared: Prepared, arrival: Book | None) -> Answer:
    read_facts = partial(live_facts, prepared.request.symbol, seen=prepared.seen, arrival=arrival)
    return decide_and_record(prepared=prepared, read_facts=read_facts, using=DEFAULT_DB_ALIAS)


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _broadcast(answer: Answer) -> None:
    if not answer.is_repeat:
        broadcast({"type": "execution", **answer.record})


@contextmanager
def _told_when_lost() -> Iterator[None]:
    try:
        yield
    except LOST as error:
        raise Unavailable(NOBODY_KNOWS) from error
