"""The account as a decision reads it: one epoch, its positions, its counters. All reads happen under the lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connections

from apps.engine.errors import IntegrityBreach
from apps.execution import ready_sql
from apps.execution.models import Account, ClosedTrade, Position
from apps.execution.open_orders import PROTECTIVE

RATE_WINDOW_MS = 60_000

_SENT = (
    "SELECT COUNT(*), "
    "COALESCE(SUM(CASE WHEN o.origin = 'router' AND o.side = 'BUY' AND e.audit_sequence > %s THEN 1 ELSE 0 END), 0), "
    "COALESCE(SUM(CASE WHEN o.origin = 'router' AND o.side = 'SELL' AND e.audit_sequence > %s THEN 1 ELSE 0 END), 0) "
    "FROM execution_order o JOIN execution_execution e ON e.execution_id = o.execution_id "
    "WHERE o.symbol = %s AND o.decided_ts_ms > %s AND o.origin <> %s"
)
_HIGHEST = (
    "SELECT MAX(recent.equity_after_e8) FROM (SELECT equity_after_e8 FROM execution_order "
    "WHERE account_id = %s AND filled_e8 > 0 AND number > %s ORDER BY number DESC LIMIT %s) recent"
)
_NEWEST_ATTEMPT = "SELECT MAX(attempt) FROM execution_execution WHERE symbol = %s AND bar_open_ms = %s"
_NEWEST_ORDER = "SELECT MAX(number) FROM execution_order"


@dataclass(frozen=True)
class AccountState:
    """The current epoch with its positions by symbol."""

    account: Account
    positions: dict[str, Position]

    def position(self, symbol: str) -> Position:
        """The row of a symbol, unsaved and flat where none was written yet; the same one at each call."""
        row = self.positions.get(symbol)
        if row is None:
            row = self.positions[symbol] = Position(account=self.account, symbol=symbol)
        return row


def account_state(*, using: str) -> AccountState:
    """The newest epoch, its row locked where the database locks rows. Raises IntegrityBreach when none was opened."""
    lock = " FOR UPDATE" if connections[using].vendor == "postgresql" else ""
    accounts = ready_sql.found(Account, "ORDER BY epoch DESC LIMIT 1" + lock, using=using)
    if not accounts:
        raise IntegrityBreach("the paper account was never opened")
    account = accounts[0]
    rows = ready_sql.found(Position, "WHERE account_id = %s", account.epoch, using=using)
    for row in rows:
        ready_sql.relate(row, "account", account)
    return AccountState(account, {row.symbol: row for row in rows})


class RecentOrders(NamedTuple):
    """Orders of a symbol in the last 60 s: all of them, and those of the router by side."""

    n: int
    router_buys: int
    router_sells: int


def orders_since(*, symbol: str, ts_ms: int, using: str, released: int = 0) -> RecentOrders:
    """Orders decided after ts - 60 s, in any epoch: neither a reset nor a clock set back lifts the throttle.

    Those of the router count anew from `released`, the record that released its latch, or it would latch at once.
    """
    params = (released, released, symbol, ts_ms - RATE_WINDOW_MS, PROTECTIVE)
    return RecentOrders(*ready_sql.values(_SENT, *params, using=using)[0])


class ClosedTrades(NamedTuple):
    """Closed round trips of a symbol inside the look-backs; times since are -1 where there was none."""

    n: int
    profit_bps: int
    stop_exits: int
    since_stop_ms: int


def closed_trades(*, symbol: str, ts_ms: int, limits: Mapping[str, int], using: str) -> ClosedTrades:
    """What the protections judge a symbol by; of exits by a stop only losing ones. Reads nothing while both are off."""
    if not limits["low_profit_trades"] and not limits["stop_guard_trades"]:
        return ClosedTrades(0, 0, 0, -1)
    oldest = ts_ms - max(limits["low_profit_window_ms"], limits["stop_guard_window_ms"])
    rows = ClosedTrade.objects.using(using).filter(symbol=symbol, ts_ms__gt=oldest)
    found = list(rows.values_list("ts_ms", "profit_bps", "is_stop"))
    profits = [profit for at, profit, _ in found if at > ts_ms - limits["low_profit_window_ms"]]
    stops = [
        at for at, profit, is_stop in found if is_stop and profit < 0 and at > ts_ms - limits["stop_guard_window_ms"]
    ]
    return ClosedTrades(len(profits), sum(profits), len(stops), ts_ms - max(stops) if stops else -1)


def high_water_e8(*, account: Account, equity_e8: int, window_trades: int, using: str) -> int:
    """The highest equity of the last trades since the breaker's window began, and of now."""
    params = (account.epoch, account.window_start_order, window_trades)
    highest: int | None = ready_sql.value(_HIGHEST, *params, using=using)
    return equity_e8 if highest is None else max(equity_e8, highest)


def next_attempt(*, symbol: str, bar_open_ms: int, using: str) -> int:
    """The number of a decision that is not the autopilot's: 1, 2, … per symbol and bar."""
    newest: int | None = ready_sql.value(_NEWEST_ATTEMPT, symbol, bar_open_ms, using=using)
    return max(newest or 0, 0) + 1


def next_order_number(*, using: str) -> int:
    newest: int | None = ready_sql.value(_NEWEST_ORDER, using=using)
    return (newest or 0) + 1
