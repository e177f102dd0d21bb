"""After a kill returned nothing commits, whoever hammers; and the fence starves nobody."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection, transaction

from apps.audit.selectors import audit_after, audit_head, audit_verify
from apps.audit.services import audit_append
from apps.engine.errors import Unavailable
from apps.risk import fence, services
from apps.risk.sentinel import sentinel_path
from apps.web.roles import Role

WRITER = Path(__file__).with_name("fence_writer.py")
ROOT = Path(__file__).resolve().parents[2]
TS_MS = 1_767_225_600_000
KILLS = 20


@contextmanager
def writers(count: int, folder: Path, *arguments: str, **environment: str) -> Iterator[None]:
    """Processes that commit under the shared fence as fast as they can."""
    stop = folder / "stop"
    env = {**os.environ, "TRADEDESK_VAR": str(folder), "PYTHONPATH": str(ROOT), **environment}
    env["DJANGO_SETTINGS_MODULE"] = "tradedesk.settings"
    ready = [folder / f"ready-{number}" for number in range(count)]
    processes = [
        subprocess.Popen([sys.executable, str(WRITER), str(stop), str(path), *arguments], env=env) for path in ready
    ]
    try:
        wait_until(lambda: all(path.exists() for path in ready))
        yield
    finally:
        stop.touch()
        codes = [process.wait(timeout=30) for process in processes]
    assert codes == [0] * count


def wait_until(is_done: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def kill_and_release(kills: int) -> tuple[list[float], int]:
    """How long each kill took in ms, and how many records appeared after one had returned."""
    latencies, late = [], 0
    for _ in range(kills):
        before = audit_head()[0]
        wait_until(lambda before=before: audit_head()[0] > before + 2)
        started = time.monotonic()
        services.kill_engage(actor="test", reason="drill", ts_ms=TS_MS)
        latencies.append((time.monotonic() - started) * 1000)
        returned_at = audit_head()[0]
        time.sleep(0.03)
        late += audit_head()[0] - returned_at
        services.kill_release(actor="owner:test", reason="drill", confirmation="RELEASE", ts_ms=TS_MS, role=Role.OWNER)
    return sorted(latencies), late


def test_no_record_commits_between_a_kill_and_its_release(seeded: Path, tmp_path: Path) -> None:
    with writers(3, tmp_path, str(seeded)):
        latencies, late = kill_and_release(KILLS)
    print(f"\nkill on SQLite, 3 writers: median {latencies[KILLS // 2]:.0f} ms, max {latencies[-1]:.0f} ms")
    assert late == 0
    is_halted, kinds = False, []
    for record in audit_after(0, 1_000_000):
        kinds.append(record.kind)
        assert not (is_halted and record.kind == "probe"), f"record {record.sequence} committed after the kill"
        is_halted = {"risk.kill": True, "risk.release": False}.get(record.kind, is_halted)
    assert kinds.count("risk.kill") == kinds.count("risk.release") == KILLS
    assert kinds.count("probe") > KILLS
    assert audit_verify().intact


def test_an_exclusive_locker_is_not_starved_by_shared_ones(seeded: Path) -> None:
    stop, count = threading.Event(), [0, 0, 0]

    def hammer(number: int) -> None:
        while not stop.is_set():
            with fence.shared():
                audit_append(kind="probe", actor="writer", ts_ms=1, body={})
            count[number] += 1
        connection.close()

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    waits = []
    try:
        for number in range(10):
            seen = sum(count)
            wait_until(lambda seen=seen: sum(count) > seen)
            started = time.monotonic()
            services.limits_set(changes={"stale_after_ms": 4000 - number}, actor="a", reason="r", ts_ms=TS_MS)
            waits.append(time.monotonic() - started)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert max(waits) < 5


def test_threads_of_one_process_exclude_each_other(seeded: Path) -> None:
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with fence.shared():
            inside.set()
            leave.wait(10)
            order.append("writer committed")
        connection.close()

    def kill() -> None:
        services.kill_engage(actor="a", reason="r", ts_ms=TS_MS)
        order.append("kill returned")
        connection.close()

    writer, killer = threading.Thread(target=write), threading.Thread(target=kill)
    writer.start()
    assert inside.wait(10)
    killer.start()
    wait_until(sentinel_path().exists)
    with pytest.raises(fence.Halted), fence.shared():
        pytest.fail("a writer passed while the kill was waiting")
    assert order == []
    leave.set()
    writer.join()
    killer.join()
    assert order == ["writer committed", "kill returned"]


def test_a_kill_waits_for_one_writer_and_not_for_those_that_queue(seeded: Path) -> None:
    """Without turns the ones that queue would hold the fence meanwhile, and all of them would commit first."""
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def write(name: str) -> None:
        try:
            with fence.shared():
                inside.set()
                leave.wait(10)
                order.append(name)
        except fence.Halted:
            order.append("halted")
        connection.close()

    def kill() -> None:
        services.kill_engage(actor="a", reason="r", ts_ms=TS_MS)
        order.append("kill returned")
        connection.close()

    first = threading.Thread(target=write, args=("first",))
    first.start()
    assert inside.wait(10)
    others = [threading.Thread(target=write, args=(f"other {number}",)) for number in range(4)]
    for other in others:
        other.start()
    time.sleep(0.1)  # they have read the sentinel by now, which is not there yet
    killer = threading.Thread(target=kill)
    killer.start()
    wait_until(sentinel_path().exists)
    leave.set()
    for thread in (first, *others, killer):
        thread.join()
    assert order[0] == "first" and sorted(order[1:]) == ["halted"] * 4 + ["kill returned"]


def test_a_release_and_a_kill_at_once_leave_the_sentinel_of_the_kill(
    seeded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.kill_engage(actor="a", reason="first", ts_ms=TS_MS)
    killer = threading.Thread(
        target=lambda: (services.kill_engage(actor="b", reason="second", ts_ms=TS_MS), connection.close())
    )

    def clear_slowly() -> None:
        killer.start()
        time.sleep(0.1)
        sentinel_path().unlink()

    monkeypatch.setattr("apps.risk.switch.sentinel_clear", clear_slowly)
    services.kill_release(actor="o", reason="r", confirmation="RELEASE", ts_ms=TS_MS, role=Role.OWNER)
    killer.join()
    assert sentinel_path().read_text() == "b: second"
    with pytest.raises(fence.Halted), fence.shared():
        pytest.fail("a writer passed")


def test_a_killed_process_lets_go(seeded: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    code = (
        f"import fcntl, os, time; d = os.open({str(tmp_path / fence.LOCK_FILE)!r}, os.O_RDWR | os.O_CREAT); "
        f"fcntl.flock(d, fcntl.LOCK_SH); open({str(held)!r}, 'w').close(); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code])
    wait_until(held.exists)
    threading.Timer(0.2, holder.send_signal, (signal.SIGKILL,)).start()
    started = time.monotonic()
    fence.drain()
    assert time.monotonic() - started > 0.1
    assert holder.wait() == -signal.SIGKILL


def test_a_holder_that_never_lets_go_is_reported(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "TIMEOUT_S", 0.05)
    with fence._locked(fence.LOCK_FILE, fcntl.LOCK_SH), pytest.raises(Unavailable, match="not let go"):
        services.kill_engage(actor="a", reason="r", ts_ms=TS_MS)
    with pytest.raises(fence.Halted), fence.shared():
        pytest.fail("a writer passed")


def test_the_fence_comes_before_the_transaction_and_once(seeded: Path) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="before the transaction"), fence.shared():
        pytest.fail("taken inside a transaction")
    with fence.shared(), pytest.raises(RuntimeError, match="already held"), fence.exclusive():
        pytest.fail("taken twice")
    with fence.exclusive():
        assert connection.in_atomic_block
    with fence.shared():
        assert connection.in_atomic_block
