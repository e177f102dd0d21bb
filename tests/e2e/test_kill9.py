"""kill -9 while it trades: nothing acknowledged is lost, the books balance, the chain holds, and it trades again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk_process import ROOT, DeskProcess, environment, is_running, prepared_var

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SIZES = {"BTCUSDT": "0.002", "ETHUSDT": "0.05", "SOLUSDT": "1"}
N_TRADERS = 4
SETTINGS = {"ORDERS_PER_MINUTE": "60", "MAX_DD": "0.5"}


class Traders:
    """Threads that post decisions and orders until the desk is gone, and keep what was acknowledged."""

    def __init__(self, desk: DeskProcess, seed: int) -> None:
        self.audit_ids: list[str] = []
        self.order_ids: list[str] = []
        self.statuses: set[int] = set()
        self.failures: list[Exception] = []  # the desk was alive and did not answer
        self._desk = desk
        self._threads = [threading.Thread(target=self._trade, args=(seed * 100 + n,)) for n in range(N_TRADERS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _trade(self, seed: int) -> None:
        chance = random.Random(seed)
        while True:
            symbol = chance.choice(SYMBOLS)
            try:
                if chance.random() < 0.5:
                    status, answer = self._desk.post("/api/exec/plan-and-execute", {"symbol": symbol})
                else:
                    order = {"side": chance.choice(["BUY", "SELL"]), "type": "MARKET", "quantity": SIZES[symbol]}
                    status, answer = self._desk.post("/api/trading/paper/order", {"symbol": symbol, **order})
            except (OSError, HTTPException, ValueError) as error:
                if not self._desk.is_gone(within_s=2.0):
                    self.failures.append(error)
                return
            self._acknowledged(status, answer)

    def _acknowledged(self, status: int, answer: dict[str, Any]) -> None:
        self.statuses.add(status)
        if "auditId" in answer:
            self.audit_ids.append(answer["auditId"])
        if answer.get("orderId"):
            self.order_ids.append(answer["orderId"])


def facts_of(var: Path) -> dict[str, Any]:
    command = [sys.executable, "tests/e2e/desk_facts.py"]
    env = environment(var, PYTHONPATH=str(ROOT), DJANGO_SETTINGS_MODULE="tradedesk.settings")
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def require_whole(var: Path, traders: Traders) -> None:
    """By a process that knows nothing but the rows."""
    facts = facts_of(var)
    assert facts["verify_audit"] == 0
    for name in ("book_differences", "executions_without_record", "records_without_execution", "orders_that_differ"):
        assert facts[name] == [], name
    assert facts["replay_differing"] == []
    assert set(traders.audit_ids) - set(facts["executions"]) == set(), "acknowledged decisions are lost"
    assert set(traders.order_ids) - set(facts["orders"]) == set(), "acknowledged orders are lost"


def require_trades_again(desk: DeskProcess) -> None:
    desk.wait_until_trading()
    assert any("audit log and book verified" in line for line in desk.lines)
    assert desk.get("/api/guards/state")[1]["tradingState"] == "ACTIVE"
    status, order = desk.post(
        "/api/trading/paper/order", {"symbol": "SOLUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    )
    assert status == 201 or order["reason"] == "order_rate", order


def kill_and_restart(var: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    desk = DeskProcess(var, **SETTINGS)
    try:
        for number in range(rounds):
            require_trades_again(desk)
            traders = Traders(desk, seed * 1_000 + number)
            time.sleep(chance.uniform(0.3, 1.5))
            children = desk.children()
            assert children, "the simulated exchange is a child of the desk"
            desk.kill()
            traders.join()
            assert traders.failures == []
            # 400 is a sale of more than is held.
            assert traders.audit_ids and traders.order_ids and traders.statuses <= {200, 201, 400, 422}
            assert not any(is_running(pid) for pid in children)
            desk = DeskProcess(var, **SETTINGS)
            require_whole(var, traders)
            print(f"round {number}: {len(traders.audit_ids)} decisions acknowledged, 0 lost")
        require_trades_again(desk)
        assert desk.stop() == 0
    finally:
        desk.stop()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_nothing_is_lost(compiled: None, db_template: Path, tmp_path: Path) -> None:
    kill_and_restart(prepared_var(tmp_path, db_template), rounds=2, seed=int(os.environ.get("KILL_SEED", "1")))


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_in_fifty_kills(compiled: None, db_template: Path, tmp_path: Path, seed: int) -> None:
    kill_and_restart(prepared_var(tmp_path, db_template), rounds=10, seed=10 + seed)
