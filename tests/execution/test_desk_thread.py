"""The one thread that decides: how work is handed to it, and what it does with failures."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction

from apps.engine.errors import Unavailable
from apps.execution import desk_thread as module
from apps.execution.desk_thread import DeskThread


@pytest.fixture
def desk(desk_db: Path) -> Iterator[DeskThread]:
    thread = DeskThread()
    yield thread
    thread.stop()


@pytest.fixture
def blocked(desk: DeskThread) -> Iterator[threading.Event]:
    """The thread is busy until the event is set."""
    begun, release = threading.Event(), threading.Event()
    desk.submit(lambda: (begun.set(), release.wait(10)))
    assert begun.wait(5)
    yield release
    release.set()


def test_jobs_run_one_after_another_in_their_order(desk: DeskThread) -> None:
    seen: list[int] = []
    futures = [desk.submit(lambda number=number: seen.append(number)) for number in range(50)]
    for future in futures:
        future.result(5)
    assert seen == list(range(50)) and desk.n_done == 50


def test_all_jobs_run_on_one_thread_which_is_not_the_callers(desk: DeskThread) -> None:
    names = {desk.run(lambda: threading.current_thread().name) for _ in range(3)}
    assert names == {"desk"}


def test_handing_over_from_inside_a_transaction_raises(desk: DeskThread) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        desk.submit(lambda: None)
    assert desk.backlog == 0 and not desk.is_alive


def test_a_full_queue_is_unavailable(desk: DeskThread, blocked: threading.Event) -> None:
    futures = [desk.submit(lambda: 1) for _ in range(module.QUEUE_LIMIT)]
    with pytest.raises(Unavailable, match="busy"):
        desk.submit(lambda: 1)
    blocked.set()
    assert sum(future.result(5) for future in futures) == module.QUEUE_LIMIT


def test_an_exception_reaches_the_caller_and_the_thread_goes_on(desk: DeskThread) -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        desk.run(fail)
    assert desk.run(lambda: 7) == 7


def test_a_job_that_was_not_begun_in_time_never_runs(desk: DeskThread, blocked: threading.Event) -> None:
    ran: list[int] = []
    with pytest.raises(Unavailable, match="nothing was decided"):
        desk.run(lambda: ran.append(1), timeout_s=0.02)
    blocked.set()
    assert desk.run(lambda: 2) == 2 and ran == []


def test_a_job_that_is_under_way_is_said_to_be_unknown(desk: DeskThread) -> None:
    release = threading.Event()
    with pytest.raises(Unavailable, match="same Idempotency-Key"):
        desk.run(lambda: release.wait(10), timeout_s=0.05)
    release.set()


def test_a_coroutine_gets_the_result_or_the_exception(desk: DeskThread) -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    async def ask() -> tuple[list[str], str]:
        names = await asyncio.gather(*(desk.run_async(lambda: threading.current_thread().name) for _ in range(8)))
        with pytest.raises(LookupError, match="nothing there"):
            await desk.run_async(fail)
        return names, threading.current_thread().name

    names, own = asyncio.run(ask())
    assert set(names) == {"desk"} and own != "desk"


def test_a_coroutine_waits_only_so_long(desk: DeskThread, blocked: threading.Event) -> None:
    """What has not begun by then never runs; what is under way is not known."""
    ran: list[int] = []
    with pytest.raises(Unavailable, match="nothing was decided"):
        asyncio.run(desk.run_async(lambda: ran.append(1), timeout_s=0.02))
    blocked.set()
    assert desk.run(lambda: 2) == 2 and ran == []
    release = threading.Event()
    with pytest.raises(Unavailable, match="same Idempotency-Key"):
        asyncio.run(desk.run_async(lambda: release.wait(10), timeout_s=0.05))
    release.set()


def test_the_event_loop_goes_on_meanwhile(desk: DeskThread) -> None:
    release = threading.Event()

    async def ask() -> bool:
        asyncio.get_running_loop().call_later(0.01, release.set)
        return await desk.run_async(lambda: release.wait(10))

    started = time.monotonic()
    assert asyncio.run(ask()) and time.monotonic() - started < 5


def test_a_caller_that_leaves_takes_its_job_not_with_it(desk: DeskThread) -> None:
    """A client that hangs up cannot take back what is being decided, nor disturb who comes after it."""
    begun, release, ran = threading.Event(), threading.Event(), []

    async def leave() -> None:
        asked = asyncio.create_task(desk.run_async(lambda: (begun.set(), release.wait(10), ran.append(1))))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        release.set()
        assert await desk.run_async(lambda: 7) == 7

    asyncio.run(leave())
    assert ran == [1]


def test_a_job_that_outlives_its_event_loop_disturbs_nobody(desk: DeskThread, caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    with pytest.raises(Unavailable):
        asyncio.run(desk.run_async(lambda: release.wait(10), timeout_s=0.01))
    release.set()
    assert desk.run(lambda: 7) == 7 and caplog.records == []


def test_after_an_error_of_the_database_the_connection_is_a_new_one(desk: DeskThread) -> None:
    def identity() -> int:
        connection.ensure_connection()
        return id(connection.connection)

    def fail() -> None:
        raise OperationalError("disk I/O error")

    def connected() -> bool:
        return connections["default"].connection is not None

    first = desk.run(identity)
    assert desk.run(identity) == first and desk.run(connected)
    with pytest.raises(OperationalError):
        desk.run(fail)
    assert not desk.run(connected)
    desk.run(identity)
    assert desk.run(connected)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_repeatable_job_asks_once_more_when_the_database_was_lost(desk: DeskThread, error: type[Exception]) -> None:
    calls: list[bool] = []

    def lose(n: int) -> str:
        calls.append(connections["default"].connection is None)
        connection.ensure_connection()
        if len(calls) <= n:
            raise error("server closed the connection unexpectedly")
        return "the truth"

    assert desk.run(lambda: lose(1), is_repeatable=True) == "the truth"
    assert calls == [True, True], "on a new connection"
    calls.clear()
    with pytest.raises(error):
        desk.run(lambda: lose(1))
    assert len(calls) == 1
    calls.clear()
    with pytest.raises(error):
        desk.run(lambda: lose(2), is_repeatable=True)
    assert len(calls) == 2


def test_stopping_finishes_what_is_queued_and_a_later_job_starts_anew(desk: DeskThread) -> None:
    seen: list[int] = []
    for number in range(20):
        desk.submit(lambda number=number: seen.append(number))
    desk.stop()
    assert seen == list(range(20)) and not desk.is_alive
    desk.stop()
    assert desk.run(lambda: 3) == 3 and desk.is_alive


def test_a_job_handed_over_while_stopping_starts_no_second_thread(desk: DeskThread) -> None:
    begun, release, names = threading.Event(), threading.Event(), []
    desk.submit(lambda: (begun.set(), release.wait(10)))
    assert begun.wait(5)
    stopping = threading.Thread(target=desk.stop)
    stopping.start()
    while desk.backlog == 0:
        pass
    late = threading.Thread(target=lambda: names.append(desk.run(lambda: len(_desk_threads()))))
    late.start()
    release.set()
    stopping.join(5)
    late.join(5)
    assert names == [1] and _desk_threads() == [desk._thread]


def _desk_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "desk"]
