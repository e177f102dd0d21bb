"""Which process may act on its own: fold bars, decide on the grid, match resting orders? The one that holds the lease.

A row names the holder and until when. The holder renews it; when it stops, another process takes over once it has
expired, or at once when it can see that the holder is dead. A paused holder that wakes up still believes in its lease,
so every decision of the autopilot asks the row again in its own transaction (`require_lease`), after which a takeover
waits for its commit. The lease is kept in wall time: it is about processes, not about the market.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction

from apps.engine.errors import Conflict
from apps.execution.models import Lease

log = logging.getLogger(__name__)
AUTOPILOT_LEASE = "autopilot"
TTL_MS = 10_000
RENEW_S = 3.0
NOBODY = ""


class LeaseLost(Conflict):
    """Another process acts on its own now; this one must not."""


def process_name() -> str:
    """A name that no other process has, and by which one on this machine can see whether this one still lives."""
    return f"{socket.gethostname()}/{_pid_space()}/{os.getpid()}/{_started(os.getpid())}"


def lease_take(*, name: str, holder: str, ttl_ms: int = TTL_MS, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Take or renew the lease; False while another process holds it."""
    with transaction.atomic(using=using):
        Lease.objects.using(using).get_or_create(name=name, defaults={"holder": NOBODY, "expires_ms": 0})
        row = Lease.objects.using(using).select_for_update().get(name=name)
        now_ms = _clock_ms(using)  # read after the lock: waiting for it takes time
        is_free = row.holder in (NOBODY, holder) or row.expires_ms <= now_ms or _is_dead(row.holder, using)
        if not is_free:
            return False
        if row.holder != holder:
            log.info("lease %s: %s follows on %s", name, holder, row.holder or "nobody")
        row.holder, row.expires_ms = holder, now_ms + ttl_ms
        row.save(using=using)
        return True


def lease_release(*, name: str, holder: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """Let go, so that the next process need not wait; nothing happens when another one holds it."""
    Lease.objects.using(using).filter(name=name, holder=holder).update(holder=NOBODY, expires_ms=0)


def lease_holder(*, name: str = AUTOPILOT_LEASE, using: str = DEFAULT_DB_ALIAS) -> str:
    """Who holds the lease, expired or not; "" for nobody."""
    return Lease.objects.using(using).filter(name=name).values_list("holder", flat=True).first() or NOBODY


def require_lease(*, name: str = AUTOPILOT_LEASE, using: str = DEFAULT_DB_ALIAS) -> None:
    """Raise LeaseLost when another process has the lease. Inside a transaction nobody can take it over until the end.

    One that merely expired is still ours, and where no process ever asked for the lease there is none to lose.
    """
    row = Lease.objects.using(using).select_for_update().filter(name=name).first()
    if row is not None and row.holder not in (NOBODY, process_name()):
        raise LeaseLost(f"{row.holder} holds the lease {name}")


class LeaseKeeper:
    """Asks for the lease and renews it, on a thread of its own.

    `is_held` is judged by this process's own steady clock and ends before the row expires for others. A renewal that
    fails is tried again; until it works the lease runs out here first.
    """

    def __init__(self, *, name: str = AUTOPILOT_LEASE, ttl_ms: int = TTL_MS, renew_s: float = RENEW_S) -> None:
        self.name = name
        self.holder = process_name()
        self._ttl_ms, self._renew_s = ttl_ms, renew_s
        self._good_until = 0.0
        self._changed, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._good_until

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"lease {self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing and let go."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wait(self, is_stopped: Callable[[], bool], poll_s: float = 0.1) -> bool:
        """Wait until the lease is held; False when `is_stopped()` came first."""
        while not self.is_held:
            if is_stopped() or self._stop.is_set():
                return False
            self._changed.wait(poll_s)
        return True

    def renew(self) -> bool:
        """Take or renew once."""
        asked = time.monotonic()
        if lease_take(name=self.name, holder=self.holder, ttl_ms=self._ttl_ms):
            self._good_until = asked + self._ttl_ms / 1000 - self._renew_s / 2
            self._changed.set()
            return True
        self._good_until = 0.0
        self._changed.clear()
        return False

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._try_renew()
                self._stop.wait(self._renew_s)
            self._good_until = 0.0
            lease_release(name=self.name, holder=self.holder)
        except Error as error:
            # It expires by itself; whoever comes next waits for that.
            log.warning("lease %s: not released: %s", self.name, error)
        finally:
            connections.close_all()

    def _try_renew(self) -> None:
        try:
            self.renew()
        except Error as error:
            log.warning("lease %s: not renewed: %s", self.name, error)
            connections.close_all()


def _clock_ms(using: str) -> int:
    """The clock that all who ask share: the database server's, or this machine's where the database is a file."""
    if connections[using].vendor != "postgresql":
        return time.time_ns() // 1_000_000
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        return int(cursor.fetchone()[0])


def _is_dead(holder: str, using: str) -> bool:
    """Whether this machine can see that the holder has ended. Only where the database is a file of this machine."""
    if connections[using].vendor == "postgresql" or holder.count("/") != 3:
        return False
    host, space, pid, started = holder.split("/")
    is_visible = host == socket.gethostname() and space == _pid_space() and space != "?"
    return is_visible and pid.isdigit() and _started(int(pid)) != started


def _pid_space() -> str:
    """The process namespace, without which a number names no process; "?" where there is no such thing."""
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return "?"


def _started(pid: int) -> str:
    """When a process began, in ticks since boot; "" when there is none of that number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
