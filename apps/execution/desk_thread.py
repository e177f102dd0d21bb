"""The one thread of this process that decides and fills, on the one connection that writes decisions."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction

from apps.engine.errors import Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")
QUEUE_LIMIT = 256


class DeskThread:
    """Runs jobs one after another. A full queue raises Unavailable; a stopped thread starts again at the next job."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue(QUEUE_LIMIT)
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

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Hand over a job. Raises when called from inside a transaction: it would wait for a lock its caller holds."""
        if transaction.get_connection(DEFAULT_DB_ALIAS).in_atomic_block:
            raise RuntimeError("a job was handed to the desk thread from inside a transaction")
        self.start()
        future: Future[T] = Future()
        try:
            self._jobs.put_nowait((job, future))
        except queue.Full as error:
            raise Unavailable("the desk is busy: too many decisions are waiting") from error
        return future

    def run(self, job: Callable[[], T], timeout_s: float = 30.0) -> T:
        """Hand over a job and wait for its result; its exception is raised here.

        Raises Unavailable when the wait ends first: a job that has not begun by then never will.
        """
        future = self.submit(job)
        done, _ = wait([future], timeout_s)
        if done:
            return future.result()
        if future.cancel():
            raise Unavailable("the desk is busy: nothing was decided")
        raise Unavailable("the desk has not answered yet: ask again with the same Idempotency-Key")

    def _loop(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None:
                break
            job, future = item
            if future.set_running_or_notify_cancel():
                self._do(job, future)
            self.n_done += 1
        connections[DEFAULT_DB_ALIAS].close()

    def _do(self, job: Callable[[], Any], future: Future[Any]) -> None:
        try:
            future.set_result(job())
        except BaseException as error:
            if isinstance(error, Error):
                # A broken connection is given up here, so that the next job opens a fresh one.
                connections[DEFAULT_DB_ALIAS].close()
            future.set_exception(error)


_desk = DeskThread()


def desk_thread() -> DeskThread:
    """The desk thread of this process."""
    return _desk
