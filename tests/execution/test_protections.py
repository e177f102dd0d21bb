"""The protections people know from freqtrade judge closed trades as freqtrade does."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.execution.account import ClosedTrades, closed_trades
from apps.execution.models import Account, ClosedTrade
from apps.risk.limits import limits_from_settings
from tests.support.bars import START_MS
from tests.support.desk import seed_desk

NOW_MS = START_MS + 100_000_000
HOUR_MS = 3_600_000
LIMITS = {
    **limits_from_settings(),
    **{"stop_guard_trades": 2, "stop_guard_window_ms": HOUR_MS},
    **{"low_profit_trades": 2, "low_profit_window_ms": 2 * HOUR_MS},
}


@pytest.fixture
def closed(desk_db: Path) -> Account:
    """Trades by age: (ms, profit in bps, whether a stop closed it)."""
    seed_desk(("BTCUSDT", "ETHUSDT"))
    account = Account.objects.get()
    for age_ms, profit, is_stop in [
        (2 * HOUR_MS, -9_000, True),
        (2 * HOUR_MS - 1, -500, False),
        (HOUR_MS, -100, True),
        (HOUR_MS - 1, -50, True),
        (10_000, 30, True),
        (5_000, -1, True),
        (1_000, 200, False),
    ]:
        ClosedTrade.objects.create(
            account=account, symbol="BTCUSDT", profit_bps=profit, is_stop=is_stop, ts_ms=NOW_MS - age_ms
        )
    return account


def judged(symbol: str = "BTCUSDT", **limits: int) -> ClosedTrades:
    return closed_trades(symbol=symbol, ts_ms=NOW_MS, limits={**LIMITS, **limits}, using="default")


def test_trades_inside_the_look_backs_count_and_only_losing_stops_are_stops(closed: Account) -> None:
    assert judged() == ClosedTrades(n=6, profit_bps=-421, stop_exits=2, since_stop_ms=5_000)


def test_another_symbol_is_judged_by_its_own_trades(closed: Account) -> None:
    assert judged("ETHUSDT") == ClosedTrades(0, 0, 0, -1)


def test_each_window_is_its_own(closed: Account) -> None:
    assert judged(stop_guard_window_ms=5_001).stop_exits == 1
    assert judged(stop_guard_window_ms=5_000) == ClosedTrades(6, -421, 0, -1)
    assert judged(low_profit_window_ms=5_001)[:2] == (2, 199)


def test_nothing_is_read_while_both_are_off(closed: Account, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert judged(stop_guard_trades=0, low_profit_trades=0) == ClosedTrades(0, 0, 0, -1)
