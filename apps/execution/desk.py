"""Prepare, wait, commit: how anything that trades is brought to the desk thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import orjson
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from apps.engine.decision import SOURCE_ROUTER
from apps.engine.errors import Unavailable
from apps.engine.values import Book
from apps.execution.desk_thread import LOST, desk_thread
from apps.execution.facts import live_facts
from apps.execution.requests import Answer, DecisionRequest, Prepared
from apps.execution.services import decide_and_record
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


def wait_for_arrival(prepared: Prepared) -> Book | None:
    """The first book at or after the order's arrival; None when none came within the wait."""
    due = prepared.t0_ms + settings.ENTRY_LATENCY_MS
    return market_view().wait_book(prepared.request.symbol, due, MAX_WAIT_S)


def commit(prepared: Prepared, arrival: Book | None) -> Answer:
    """Decide on the desk thread; blocks until the decision is committed.

    When the database is lost at COMMIT, what was committed is looked up under the request's key or bar. A request
    without either raises Unavailable, which says that nobody knows.
    """
    job = _decision(prepared, arrival)
    try:
        return _told(desk_thread().run(job, is_repeatable=prepared.request.is_repeatable))
    except LOST as error:
        raise Unavailable(NOBODY_KNOWS) from error


def _decision(prepared: Prepared, arrival: Book | None) -> Callable[[], Answer]:
    read_facts = partial(live_facts, prepared.request.symbol, seen=prepared.seen, arrival=arrival)
    return partial(decide_and_record, prepared=prepared, read_facts=read_facts, using=DEFAULT_DB_ALIAS)


def _told(answer: Answer) -> Answer:
    if not answer.is_repeat:
        broadcast({"type": "execution", **orjson.loads(answer.body)})
    return answer


def take(request: DecisionRequest) -> Answer:
    """One decision from request to committed answer, on the caller's thread up to the hand-over."""
    prepared = prepare(request)
    return commit(prepared, wait_for_arrival(prepared))


async def take_async(request: DecisionRequest, tell: Callable[[Answer], T]) -> T:
    """The same without a thread of its own; `tell` makes of the answer what the caller wants, on the desk thread.

    The newest view is read there too: the thread of a request would open a connection for it alone.
    """
    desk, market = desk_thread(), market_view()
    view = await desk.run_async(partial(view_latest, request.symbol)) if request.source == SOURCE_ROUTER else None
    prepared = Prepared(request, view, market.book(request.symbol), market.now_ms())
    due = prepared.t0_ms + settings.ENTRY_LATENCY_MS
    arrival = prepared.seen
    if arrival is None or arrival.ts_ms < due:
        arrival = await market.wait_book_async(request.symbol, due, MAX_WAIT_S)
    decide = _decision(prepared, arrival)

    def job() -> tuple[Answer, T]:
        answer = decide()
        return answer, tell(answer)

    try:
        answer, told = await desk.run_async(job, is_repeatable=request.is_repeatable)
    except LOST as error:
        raise Unavailable(NOBODY_KNOWS) from error
    _told(answer)
    return told
