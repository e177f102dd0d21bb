"""The throttle's count from rows is the count of stamps, also when the clock steps back."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from apps.execution.account import RecentOrders, orders_since
from apps.execution.models import Account, Execution, Order
from tests.support.bars import START_MS
from tests.support.desk import seed_desk

LIMIT, WINDOW_MS = 6, 60_000


@pytest.fixture
def account(desk_db: Path) -> Account:
    seed_desk(("BTCUSDT",))
    return Account.objects.get()


def execution_of(account: Account, number: int) -> Execution:
    given: dict[str, Any] = {"account": account, "symbol": "BTCUSDT", "source": "router", "status": "filled"}
    return Execution.objects.create(
        execution_id=f"ex{number}", bar_open_ms=number, attempt=0, ts_ms=0, answer=b"", audit_id="x",
        audit_sequence=number, **given,
    )  # fmt: skip


def order_of(execution: Execution, ts_ms: int, **changes: Any) -> Order:
    number = execution.audit_sequence
    given = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "time_in_force": "IOC", "status": "FILLED"}
    return Order.objects.create(
        number=number, order_id=f"od{number}", client_order_id=f"od{number}", account=execution.account,
        execution=execution, quantity_e8=1, filled_e8=1, decided_ts_ms=ts_ms, arrived_ts_ms=ts_ms, equity_after_e8=0,
        **{**given, **changes},
    )  # fmt: skip


def test_rows_are_counted_as_the_limit_needs_them(account: Account) -> None:
    chance, now_ms = random.Random(8), START_MS
    sent: list[int] = []
    for number in range(1, 401):
        now_ms += chance.choice([100, 4_000, 15_000]) + (chance.randint(-5_000, 5_000) if number % 9 == 0 else 0)
        count = orders_since(symbol="BTCUSDT", ts_ms=now_ms, using="default").n
        assert count == sum(at > now_ms - WINDOW_MS for at in sent)
        if count < LIMIT:
            order_of(execution_of(account, number), now_ms)
            sent.append(now_ms)
    times = sorted(sent)
    assert len(sent) > 150
    assert all(later - earlier >= WINDOW_MS for earlier, later in zip(times, times[LIMIT:], strict=False))


def test_protective_orders_and_other_symbols_do_not_count(account: Account) -> None:
    origins = [("router", "BUY"), ("router", "SELL"), ("person", "BUY"), ("protective", "SELL"), ("router", "BUY")]
    for number, (origin, side) in enumerate(origins, start=1):
        order_of(execution_of(account, number), START_MS, origin=origin, side=side)
    order_of(execution_of(account, 9), START_MS, symbol="ETHUSDT")
    counted = {"symbol": "BTCUSDT", "ts_ms": START_MS, "using": "default"}
    assert orders_since(**counted) == RecentOrders(4, 2, 1)
    assert orders_since(**counted, released=1) == RecentOrders(4, 1, 1), "the limit does not forget, the latch does"
