"""The account as a decision reads it: one epoch, its positions, its counters. All reads happen under the lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Max

from apps.engine.errors import IntegrityBreach
from apps.execution.models import Account, ClosedTrade, Execution, Order, Position
from apps.execution.open_orders import PROTECTIVE

RATE_WINDOW_MS = 60_000


@dataclass(frozen=True)
class AccountState:
    """The current epoch with its positions by symbol."""

    account: Account
    positions: dict[str, Position]

    def position(self, symbol: str) -> Position:
        """The row of a symbol, unsaved and flat where none was written yet; the same one at each call."""
        return self.positions.setdefault(symbol, Position(account=self.account, symbol=symbol))


def account_state(*, using: str) -> AccountState:
    """The newest epoch, its row locked where the database locks rows. Raises IntegrityBreach when none was opened."""
    account = Account.objects.using(using).select_for_update().order_by("-epoch").first()
    if account is None:
        raise IntegrityBreach("the paper account was never opened")
    rows = Position.objects.using(using).filter(account=account)
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
    rows = Order.objects.using(using).filter(symbol=symbol, decided_ts_ms__gt=ts_ms - RATE_WINDOW_MS)
    counted = list(rows.exclude(origin=PROTECTIVE).values_list("side", "origin", "execution__audit_sequence"))
    router = Counter(side for side, origin, sequence in counted if origin == "router" and sequence > released)
    return RecentOrders(len(counted), router["BUY"], router["SELL"])


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
    rows = Order.objects.using(using).filter(account=account, filled_e8__gt=0, number__gt=account.window_start_order)
    recent = rows.order_by("-number").values_list("equity_after_e8", flat=True)[:window_trades]
    return max([equity_e8, *recent])


def next_attempt(*, symbol: str, bar_open_ms: int, using: str) -> int:
    """The number of a decision that is not the autopilot's: 1, 2, … per symbol and bar."""
    rows = Execution.objects.using(using).filter(symbol=symbol, bar_open_ms=bar_open_ms)
    newest = rows.aggregate(newest=Max("attempt"))["newest"]
    return max(newest or 0, 0) + 1


def next_order_number(*, using: str) -> int:
    newest = Order.objects.using(using).aggregate(newest=Max("number"))["newest"]
    return (newest or 0) + 1
