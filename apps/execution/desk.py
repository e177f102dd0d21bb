"""Prepare, wait, commit: how anything that trades is brought to the desk thread."""

from __future__ import annotations

from functools import partial

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

MAX_WAIT_S = 2.0


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
    read_facts = partial(live_facts, prepared.request.symbol, seen=prepared.seen, arrival=arrival)
    job = partial(decide_and_record, prepared=prepared, read_facts=read_facts, using=DEFAULT_DB_ALIAS)
    request = prepared.request
    try:
        answer: Answer = desk_thread().run(job, is_repeatable=request.idempotency is not None or request.is_autopilot)
    except LOST as error:
        raise Unavailable(
            "the database was lost: whether this was decided is not known; with an Idempotency-Key asking again tells"
        ) from error
    if not answer.is_repeat:
        broadcast({"type": "execution", **orjson.loads(answer.body)})
    return answer


def take(request: DecisionRequest) -> Answer:
    """One decision from request to committed answer, on the caller's thread up to the hand-over."""
    prepared = prepare(request)
    return commit(prepared, wait_for_arrival(prepared))
