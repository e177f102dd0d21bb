"""The one thread of this process that decides and fills, on the one connection that writes decisions."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections

from apps.engine.errors import Unavailable
from apps.execution import failpoints

log = logging.getLogger(__name__)
T = TypeVar("T")
QUEUE_LIMIT = 256
LOST = (OperationalError, InterfaceError)  # the connection is gone, perhaps after the COMMIT went through


class _Job(NamedTuple):
    """What was handed over; `is_repeatable`: a second call finds what the first one committed."""

    call: Callable[[], Any]
    future: Future[Any]
    is_repeatable: bool


class DeskThread:
    """Runs jobs one after another. A full queue raises Unavailable; a stopped thread starts again at the next job.

    A repeatable job is called once more on a new connection when the database was lost under it: at COMMIT nobody else
    can tell whether it was committed.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.n_done = 0

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="desk", daemon=True)
                self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish what is queued and end."""
        # The lock is held throughout: a job handed over meanwhile must not start a second thread beside this one.
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                self._jobs.put(None)
                self._thread.join(timeout_s)

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def backlog(self) -> int:
        return self._jobs.qsize()

    def submit(self, job: Callable[[], T], *, is_repeatable: bool = False) -> Future[T]:
        """Hand over a job. Raises when called from inside a transaction: it would wait for a lock its caller holds."""
        if _is_inside_transaction():
            raise RuntimeError("a job was handed to the desk thread from inside a transaction")
        self.start()
        if self._jobs.qsize() >= QUEUE_LIMIT:
            raise Unavailable("the desk is busy: too many decisions are waiting")
        future: Future[T] = Future()
        self._jobs.put(_Job(job, future, is_repeatable))
        return future

    def run(self, job: Callable[[], T], timeout_s: float = 30.0, *, is_repeatable: bool = False) -> T:
        """Hand over a job and wait for its result; its exception is raised here.

        Raises Unavailable when the wait ends first: a job that has not begun by then never will.
        """
        future = self.submit(job, is_repeatable=is_repeatable)
        done, _ = wait([future], timeout_s)
        if done:
            return future.result()
        raise self._late(future)

    async def run_async(self, job: Callable[[], T], timeout_s: float = 30.0, *, is_repeatable: bool = False) -> T:
        """The same for a coroutine, which waits without a thread."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        future = self.submit(job, is_repeatable=is_repeatable)
        future.add_done_callback(partial(_wake_from_thread, loop, waiter))
        timer = loop.call_later(timeout_s, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
        if future.done():
            return future.result()
        raise self._late(future)

    def _late(self, future: Future[Any]) -> Unavailable:
        if future.cancel():
            return Unavailable("the desk is busy: nothing was decided")
        return Unavailable("the desk has not answered yet: ask again with the same Idempotency-Key")

    def _loop(self) -> None:
        failpoints.arm_from_environment(connections[DEFAULT_DB_ALIAS])
        while True:
            job = self._jobs.get()
            if job is None:
                break
            if job.future.set_running_or_notify_cancel():
                self._do(job)
            self.n_done += 1
        connections[DEFAULT_DB_ALIAS].close()

    def _do(self, job: _Job) -> None:
        try:
            job.future.set_result(self._call(job))
        except BaseException as error:
            if isinstance(error, Error):
                # A broken connection is given up here, so that the next job opens a fresh one.
                connections[DEFAULT_DB_ALIAS].close()
            job.future.set_exception(error)

    def _call(self, job: _Job) -> Any:
        try:
            return job.call()
        except LOST as error:
            if not job.is_repeatable:
                raise
            log.warning("the database was lost: %s; the job is called again", error)
            connections[DEFAULT_DB_ALIAS].close()
            return job.call()


def _is_inside_transaction() -> bool:
    """Whether the caller holds one; who has no connection yet is not given one to find out."""
    return any(
        connection.alias == DEFAULT_DB_ALIAS and connection.in_atomic_block
        for connection in connections.all(initialized_only=True)
    )


def _wake_from_thread(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], _: Future[Any]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    """Whoever waited may have been woken before, or have gone."""
    if not waiter.done():
        waiter.set_result(None)


_desk = DeskThread()


def desk_thread() -> DeskThread:
    """The desk thread of this process."""
    return _desk
