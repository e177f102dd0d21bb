"""One way for every decision, whether a thread waits or a coroutine: how often it asks the desk, and when it left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError

from apps.engine.decision import SOURCE_PERSON, SOURCE_ROUTER
from apps.engine.errors import Unavailable
from apps.execution import desk
from apps.execution.desk_thread import desk_thread
from apps.execution.models import Execution, Order
from apps.execution.requests import Answer, DecisionRequest, Idempotency
from apps.execution.services import KeyReused
from apps.marketdata.market import market_view
from tests.support.live_desk import LiveMarket

BTC = "BTCUSDT"
Take = Callable[[DecisionRequest], Answer]


def awaited(request: DecisionRequest) -> Answer:
    return asyncio.run(desk.take_async(request, lambda answer: answer))


@pytest.fixture(params=[desk.take, awaited], ids=["thread", "coroutine"])
def take(request: pytest.FixtureRequest, market: LiveMarket) -> Take:
    way: Take = request.param
    return way


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was broadcast."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(desk, "broadcast", messages.append)
    return messages


@pytest.fixture
def jobs(market: LiveMarket) -> Iterator[Callable[[], int]]:
    """How many jobs the desk thread has done since this was last asked."""
    last = [0]

    def since() -> int:
        before, done = last[0], desk_thread().run(lambda: desk_thread().n_done)
        last[0] = done + 1  # with the one that counted
        return done - before

    since()
    yield since


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every book that is seen is late enough for its order."""
    monkeypatch.setattr(desk, "due_ms", lambda _: 0)


def order(*, key: str | None = None, quantity_e8: int = 10**6) -> DecisionRequest:
    idempotency = Idempotency("paper-order", key, str(quantity_e8)) if key else None
    return DecisionRequest(
        symbol=BTC, source=SOURCE_PERSON, actor="test", side=1, quantity_e8=quantity_e8, idempotency=idempotency
    )


def routed() -> DecisionRequest:
    return DecisionRequest(symbol=BTC, source=SOURCE_ROUTER, actor="test")


@pytest.mark.parametrize("make", [order, routed])
def test_where_the_book_is_there_it_is_one_job(
    take: Take, jobs: Any, there: None, told: list[dict[str, Any]], make: Callable[[], DecisionRequest]
) -> None:
    answer = take(make())
    assert jobs() == 1
    assert answer.status == 200 and not answer.is_repeat
    assert bytes(Execution.objects.get().answer) == answer.body
    assert told == [{"type": "execution", **answer.record}]


@pytest.mark.parametrize(("make", "n_jobs"), [(lambda: order(), 1), (lambda: order(key="k"), 2), (routed, 2)])
def test_what_travels_waits_for_its_book_off_the_desk_thread(
    take: Take, jobs: Any, settings: Any, make: Callable[[], DecisionRequest], n_jobs: int
) -> None:
    """A key and a view are read before the wait, by a job of their own."""
    settings.ENTRY_LATENCY_MS = 40
    answer = take(make())
    assert jobs() == n_jobs and answer.status == 200
    for row in Order.objects.all():
        assert row.arrived_ts_ms - row.prepared_ts_ms >= 40, "it met no book older than its arrival"


def test_no_book_within_the_wait_is_no_new_risk(
    take: Take, market: LiveMarket, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENTRY_LATENCY_MS = 60_000
    monkeypatch.setattr(desk, "MAX_WAIT_S", 0.02)
    record = take(order()).record
    assert record["blocked"] and record["reason"] == "data_stale"


def test_a_key_that_was_answered_costs_one_job_and_tells_nobody(
    take: Take, jobs: Any, told: list[dict[str, Any]], settings: Any
) -> None:
    first = take(order(key="k"))
    settings.ENTRY_LATENCY_MS = 60_000  # it waits for nothing
    jobs()  # from here on
    again = take(order(key="k"))
    assert jobs() == 1 and again.is_repeat and again.body == first.body and len(told) == 1
    with pytest.raises(KeyReused):
        take(order(key="k", quantity_e8=2 * 10**6))
    assert Order.objects.count() == 1


def test_a_person_s_order_left_when_it_was_asked_for(take: Take, market: LiveMarket) -> None:
    """However long it stood in the desk's queue; the time of the answer is another."""
    begun, release = threading.Event(), threading.Event()
    desk_thread().submit(lambda: (begun.set(), release.wait(10)))
    assert begun.wait(5)
    asked_ms = market_view().now_ms()
    threading.Timer(0.15, release.set).start()
    take(order())
    row = Order.objects.get()
    assert row.prepared_ts_ms - asked_ms < 100 <= row.decided_ts_ms - row.prepared_ts_ms


def test_a_lost_database_says_that_nobody_knows(
    take: Take, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key the job is called again and finds the truth; without one nothing is tried twice."""
    decide, calls = desk.decide_and_record, []

    def lost(**given: Any) -> Answer:
        calls.append(1)
        answer = decide(**given)
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return answer

    monkeypatch.setattr(desk, "decide_and_record", lost)
    with pytest.raises(Unavailable, match="not known"):
        take(order())
    assert (len(calls), Order.objects.count(), told) == (1, 1, [])
    calls.clear()
    answer = take(order(key="k"))
    assert answer.is_repeat and Order.objects.count() == 2, "what the first call committed is found by its key"


def test_what_is_told_is_made_on_the_desk_thread(market: LiveMarket) -> None:
    def tell(answer: Answer) -> tuple[str, int]:
        return threading.current_thread().name, answer.status

    assert asyncio.run(desk.take_async(order(), tell)) == ("desk", 200)
