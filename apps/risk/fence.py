"""How does a kill wait for every writer, in every process, and no writer slip past it?

Writers hold the fence shared from the check of the kill switch through COMMIT; a kill holds it exclusively before it
answers, so everything that was under way has committed or given up by then. Both open the transaction themselves:
what runs inside is committed before the fence is let go.

SQLite: `flock` on a file, and a sentinel file that writers check first. Linux lets shared lockers starve an exclusive
one, so everybody passes a second file, the gate, which an exclusive locker keeps shut while it waits.
PostgreSQL: an advisory lock, which queues first come, first served; the kill switch is read from its row after it.
On both a writer first waits for its turn: the rows let only one write at a time, and those that wait for a row while
they hold the fence would all have to commit before a kill may answer.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction

from apps.audit import statements
from apps.audit.selectors import control_value
from apps.engine.errors import Conflict, Unavailable
from apps.engine.reasons import Reason
from apps.risk.sentinel import sentinel_reason

LOCK_FILE = "kill.lock"
GATE_FILE = "kill.gate"
TURN_FILE = "desk.turn"
ADVISORY_KEY = 0x6B69_6C6C
TURN_KEY = 0x7475_726E
TIMEOUT_S = 30.0
POLL_S = 0.001
TURN_POLL_S = 0.004  # many may wait for their turn: asking must cost less than the work of the one whose turn it is

_here = threading.local()


class Halted(Conflict):
    """The kill switch is engaged: nothing may commit but what was allowed to."""

    reason = Reason.KILL_SWITCH.code

    def __init__(self, why: str) -> None:
        super().__init__(f"The kill switch is engaged: {why}")
        self.why = why


class Passage(NamedTuple):
    """What a writer that holds the fence knows: why the kill switch is engaged, or None."""

    halted: str | None


@contextmanager
def shared(*, using: str = DEFAULT_DB_ALIAS, allow_halted: bool = False) -> Iterator[Passage]:
    """A transaction that no kill overtakes. Raises Halted when the kill switch is engaged, unless that is allowed."""
    if connections[using].vendor != "postgresql" and not allow_halted:
        _raise_if_halted(sentinel_reason())
    with _once_per_thread(using), _shared_lock(using) as passage:
        if not allow_halted:
            _raise_if_halted(passage.halted)
        yield passage


@contextmanager
def exclusive(*, using: str = DEFAULT_DB_ALIAS, after_commit: Callable[[], None] | None = None) -> Iterator[None]:
    """A transaction that runs while no writer holds the fence. `after_commit` runs before the fence is let go."""
    with _once_per_thread(using):
        if connections[using].vendor == "postgresql":
            with transaction.atomic(using=using):
                _advisory_exclusive(using)
                yield
            if after_commit:
                after_commit()
            return
        with _locked(GATE_FILE, fcntl.LOCK_EX), _locked(LOCK_FILE, fcntl.LOCK_EX):
            with transaction.atomic(using=using):
                yield
            if after_commit:
                after_commit()


def drain(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Return once every writer that held the fence when this was called has let go of it."""
    with exclusive(using=using):
        pass


def require_outside_transaction(using: str) -> None:
    """The fence comes before the transaction: inside one, a lock of the database may be what the fence waits for."""
    if connections[using].in_atomic_block:
        raise RuntimeError("the kill fence must be taken before the transaction is opened")


@contextmanager
def _shared_lock(using: str) -> Iterator[Passage]:
    if connections[using].vendor == "postgresql":
        with transaction.atomic(using=using):
            # One way to the server and back for all three; each of them sees what the one before it waited for.
            with statements.together(using=using):
                statements.run("SELECT pg_advisory_xact_lock(%s)", (TURN_KEY,), using=using)
                statements.run("SELECT pg_advisory_xact_lock_shared(%s)", (ADVISORY_KEY,), using=using)
                passage = Passage(_row_reason(using))
            yield passage
        return
    with _locked(TURN_FILE, fcntl.LOCK_EX, TURN_POLL_S):
        with _locked(GATE_FILE, fcntl.LOCK_SH):
            pass
        with _locked(LOCK_FILE, fcntl.LOCK_SH):
            passage = Passage(sentinel_reason())
            with transaction.atomic(using=using):
                yield passage


def _row_reason(using: str) -> str | None:
    """Why the kill switch is engaged by its row, read after the lock so that no older value is seen."""
    kill = control_value("kill", using=using)
    return str(kill.value["reason"]) if kill is not None and kill.value["engaged"] else None


def _raise_if_halted(reason: str | None) -> None:
    if reason is not None:
        raise Halted(reason)


@contextmanager
def _once_per_thread(using: str) -> Iterator[None]:
    """The fence is held once: taken twice by one thread it would wait for itself."""
    if getattr(_here, "is_held", False):
        raise RuntimeError("the kill fence is already held by this thread")
    require_outside_transaction(using)
    _here.is_held = True
    try:
        yield
    finally:
        _here.is_held = False


@contextmanager
def _locked(name: str, mode: int, poll_s: float = POLL_S) -> Iterator[None]:
    """`flock` belongs to the open file, so each holder opens its own: threads of one process exclude each other too."""
    descriptor = os.open(os.path.join(settings.VAR_DIR, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(descriptor, mode, poll_s)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, mode: int, poll_s: float) -> None:
    """Raises Unavailable when a holder does not let go, for instance a process that was stopped."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"the kill fence was not let go within {TIMEOUT_S:.0f} s") from error
            time.sleep(poll_s)


def _advisory_exclusive(using: str) -> None:
    try:
        with connections[using].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{TIMEOUT_S:.0f}s'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_KEY,))
            cursor.execute("SET LOCAL lock_timeout = 0")
    except OperationalError as error:
        raise Unavailable(f"the kill fence was not let go within {TIMEOUT_S:.0f} s") from error
