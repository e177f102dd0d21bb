"""Only one process acts on its own: taking, renewing, losing and letting go of the lease."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections

from apps.execution import lease as module
from apps.execution.lease import (
    AUTOPILOT_LEASE,
    LeaseKeeper,
    LeaseLost,
    lease_holder,
    lease_release,
    lease_take,
    process_name,
    require_lease,
)
from apps.execution.models import Lease
from tests.support.live_desk import at_once

OTHER = "elsewhere/1/2/3"


def take(holder: str, ttl_ms: int = 10_000) -> bool:
    return lease_take(name=AUTOPILOT_LEASE, holder=holder, ttl_ms=ttl_ms)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch, desk_db: Path) -> dict[str, int]:
    clock = {"ms": 1_000_000}
    monkeypatch.setattr(module, "_clock_ms", lambda using: clock["ms"])
    return clock


def test_the_first_one_gets_it_and_the_second_waits_for_its_end(now: dict[str, int]) -> None:
    assert take("a/1/1/1") and not take("b/1/1/1")
    now["ms"] += 9_999
    assert not take("b/1/1/1")
    now["ms"] += 1
    assert take("b/1/1/1") and lease_holder() == "b/1/1/1"
    assert not take("a/1/1/1"), "the old holder is late"


def test_renewing_keeps_it(now: dict[str, int]) -> None:
    take("a/1/1/1")
    for _ in range(5):
        now["ms"] += 9_000
        assert take("a/1/1/1") and not take("b/1/1/1")


def test_letting_go_frees_it_at_once_and_only_the_holder_can(now: dict[str, int]) -> None:
    take("a/1/1/1")
    lease_release(name=AUTOPILOT_LEASE, holder="b/1/1/1")
    assert not take("b/1/1/1")
    lease_release(name=AUTOPILOT_LEASE, holder="a/1/1/1")
    assert take("b/1/1/1")


def test_of_many_that_ask_at_once_one_gets_it(desk_db: Path) -> None:
    answers = at_once([lambda name=f"p{number}/1/1/1": take(name) for number in range(16)])
    assert sorted(answers) == [False] * 15 + [True]


def test_the_lease_of_a_dead_process_of_this_machine_is_free(desk_db: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host, space, *_ = process_name().split("/")
    assert take(f"{host}/{space}/{int(ended.stdout)}/12345")
    assert take("b/1/1/1")


@pytest.mark.parametrize(
    "stranger", ["elsewhere/{space}/1/0", "{host}/0/1/0", "{host}/?/1/0", "{host}", "{host}/{space}/x/0"]
)
def test_who_cannot_be_seen_is_not_called_dead(desk_db: Path, stranger: str) -> None:
    host, space, *_ = process_name().split("/")
    assert take(stranger.format(host=host, space=space)) and not take("b/1/1/1")


def test_a_living_process_of_this_machine_keeps_it(desk_db: Path) -> None:
    assert str(os.getpid()) in process_name().split("/")
    assert take(process_name()) and not take("b/1/1/1")


def test_a_decision_asks_again_and_only_a_successor_refuses_it(now: dict[str, int]) -> None:
    require_lease()
    take(process_name())
    now["ms"] += 60_000
    require_lease()
    take(OTHER)
    with pytest.raises(LeaseLost, match="elsewhere"):
        require_lease()


def test_a_keeper_holds_it_until_it_is_stopped(desk_db: Path) -> None:
    keeper = LeaseKeeper(ttl_ms=400, renew_s=0.05)
    keeper.start()
    assert keeper.wait(lambda: False)
    time.sleep(0.6)
    assert keeper.is_held and not take(OTHER)
    keeper.stop()
    assert not keeper.is_held and lease_holder() == "" and take(OTHER)


def test_a_keeper_that_was_overtaken_knows_it(desk_db: Path) -> None:
    keeper = LeaseKeeper()
    assert keeper.renew() and keeper.is_held
    Lease.objects.update(holder=OTHER)
    assert not keeper.renew() and not keeper.is_held
    assert not keeper.wait(lambda: True)


def test_without_renewals_it_ends_here_before_it_ends_for_others(
    desk_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = LeaseKeeper(ttl_ms=300, renew_s=0.2)
    keeper.renew()

    def broken(**given: Any) -> bool:
        raise OperationalError("the server is gone")

    monkeypatch.setattr(module, "lease_take", broken)
    keeper._try_renew()
    assert keeper.is_held
    time.sleep(0.21)
    assert not keeper.is_held and Lease.objects.get().expires_ms > time.time_ns() // 1_000_000
    connections.close_all()
