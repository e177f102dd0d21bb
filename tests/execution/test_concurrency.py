"""Many at once in one process: no cap is passed by a unit, nobody sees a lock error, a kill is final.

Many processes, and PostgreSQL, are in test_crash_and_load.
"""

from __future__ import annotations

import fcntl
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from apps.audit.replaying import is_decision
from apps.audit.selectors import audit_after, audit_verify
from apps.engine.values import E8
from apps.execution import recording, services
from apps.execution.models import Execution, Order, Position
from apps.execution.reconciler import book_differences
from apps.risk import fence
from apps.risk import services as risk
from apps.web.roles import Role
from tests.support.live_desk import CLOSED_MS, LiveMarket, at_once, buy, set_limits

THREADS, ORDERS = 8, 20
CAP_E8 = 40_000 * E8


def require_cap_held(*, largest_e8: int) -> None:
    """By the record of every decision: what was sent stayed within the cap, what was refused would have passed it."""
    held_e8 = 0
    for record in audit_after(0, 100_000):
        if not is_decision(record):
            continue
        found = next(guard for guard in record.content["guards"] if guard["name"] == "symbol_cap")
        is_sent = record.content["orderId"] is not None
        assert is_sent == (int(found["observed"]) <= CAP_E8), record.content["outcome"]
        held_e8 = max(held_e8, int(found["observed"]) if is_sent else 0)
    assert CAP_E8 - largest_e8 < held_e8 <= CAP_E8, "the cap was never reached, so nothing was tried"


def test_threads_never_pass_the_cap(market: LiveMarket, local: Client) -> None:
    set_limits(symbol_notional_cap_e8=CAP_E8, orders_per_minute=60)

    def shop(seed: int) -> list[Any]:
        chance, client = random.Random(seed), Client(headers={"host": "localhost"})
        return [buy(client, f"0.{chance.randint(10, 50):03d}") for _ in range(ORDERS)]

    answers = [
        answer for batch in at_once([lambda seed=seed: shop(seed) for seed in range(THREADS)]) for answer in batch
    ]
    assert len(answers) == THREADS * ORDERS
    assert {answer.status_code for answer in answers} == {201, 422}
    assert {answer.json()["reason"] for answer in answers if answer.status_code == 422} == {"symbol_cap"}
    assert Order.objects.count() == sum(answer.status_code == 201 for answer in answers)
    require_cap_held(largest_e8=int(0.05 * market.prices["BTCUSDT"] * E8) + 10 * E8)
    assert book_differences() == [] and audit_verify().intact
    assert Execution.objects.count() == THREADS * ORDERS


def _is_sent(record: Any) -> bool:
    return record.content["orderId"] is not None


def test_after_a_kill_returned_no_order_commits(market: LiveMarket, local: Client) -> None:
    set_limits(symbol_notional_cap_e8=10**15, max_notional_e8=10**15, orders_per_minute=60)
    ended, late, kills = threading.Event(), [], 5

    def trade(seed: int) -> None:
        client = Client(headers={"host": "localhost"})
        while not ended.is_set():
            buy(client, "0.01", side=("BUY", "SELL")[seed % 2])
        connections.close_all()

    threads = [threading.Thread(target=trade, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(kills):
            before = Order.objects.count()
            wait_until(lambda before=before: Order.objects.count() >= before + 3)
            risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
            at_return = Order.objects.count()
            time.sleep(0.05)
            late.append(Order.objects.count() - at_return)
            market.later(61_000)
            risk.kill_release(
                actor="owner:test", reason="drill", confirmation="RELEASE", ts_ms=CLOSED_MS, role=Role.OWNER
            )
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert late == [0] * kills
    require_no_order_while_halted(kills)
    assert book_differences() == []


def require_no_order_while_halted(kills: int) -> None:
    is_halted, blocked, kinds = False, 0, []
    for record in audit_after(0, 1_000_000):
        kinds.append(record.kind)
        if is_decision(record):
            assert not (is_halted and _is_sent(record)), f"record {record.sequence} committed an order after the kill"
            blocked += record.content["outcome"]["reason"] == "trading_halted"
        is_halted = {"risk.kill": True, "risk.release": False}.get(record.kind, is_halted)
    assert kinds.count("risk.kill") == kinds.count("risk.release") == kills
    assert blocked > 0, "nobody traded against the kill"


def test_a_decision_holds_the_fence_to_its_last_statement(
    market: LiveMarket, local: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a kill that is called meanwhile returns after the COMMIT, and one that returned before is seen."""
    seen: list[str] = []

    def is_held() -> bool:
        with open(settings.VAR_DIR / fence.LOCK_FILE, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **given: (seen.append(f"{name} {is_held()}"), real(*args, **given))[1]

    monkeypatch.setattr(services, "account_state", watched("read", services.account_state))
    monkeypatch.setattr(recording.audit, "audit_write", watched("write", recording.audit.audit_write))
    assert buy(local).status_code == 201
    assert seen == ["read True", "write True"] and not is_held()


def test_one_symbols_position_is_what_its_fills_add_up_to(market: LiveMarket, local: Client) -> None:
    set_limits(symbol_notional_cap_e8=10**15, max_notional_e8=10**15, orders_per_minute=60)
    jobs = [lambda side=side: buy(Client(headers={"host": "localhost"}), "0.03", side=side) for side in ("BUY",) * 9]
    assert {answer.status_code for answer in at_once(jobs)} == {201}
    assert Position.objects.get(symbol="BTCUSDT").quantity_e8 == 9 * 3_000_000


def wait_until(is_done: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
