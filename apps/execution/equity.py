"""The equity curve: one point per closed bar, beside what buying and holding would be worth."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import DEFAULT_DB_ALIAS, transaction

from apps.execution import ready_sql
from apps.execution.account import AccountState, account_state
from apps.execution.booking import exact_rules, holding_value_e8
from apps.execution.models import Benchmark, EquityPoint
from apps.execution.selectors import last_marks

_MARKED = "SELECT COUNT(*) FROM execution_equitypoint WHERE account_id = %s AND ts_ms >= %s"


@transaction.atomic
def equity_record(*, ts_ms: int, closes: Mapping[str, int]) -> EquityPoint | None:
    """Mark the account at the closes of the bars that ended at `ts_ms`; None when that moment has its point already."""
    state = account_state(using=DEFAULT_DB_ALIAS)
    if ready_sql.value(_MARKED, state.account.epoch, ts_ms, using=DEFAULT_DB_ALIAS):
        return None
    equity, exposure = _marked(state, closes)
    point = ready_sql.make(
        EquityPoint,
        account=state.account,
        ts_ms=ts_ms,
        equity_e8=equity,
        cash_e8=state.account.cash_e8,
        exposure_e8=exposure,
        buy_and_hold_e8=_buy_and_hold(state, closes),
    )
    ready_sql.insert(point, using=DEFAULT_DB_ALIAS)
    return point


def _marked(state: AccountState, closes: Mapping[str, int]) -> tuple[int, int]:
    """(equity, gross exposure) as a decision counts them. What left the watch list stands at its last price."""
    held = [symbol for symbol, row in state.positions.items() if row.quantity_e8 and symbol not in closes]
    marks = {**last_marks(held), **closes} if held else closes
    equity, exposure = state.account.cash_e8, 0
    for symbol, row in state.positions.items():
        if not row.quantity_e8:
            continue
        rules, mark = exact_rules(symbol), marks.get(symbol, 0)
        value = row.quantity_e8 * mark // 10**8 if rules is None else holding_value_e8(row.quantity_e8, mark, rules)
        equity += value
        exposure += abs(value)
    return equity, exposure


def _buy_and_hold(state: AccountState, closes: Mapping[str, int]) -> int:
    """The initial cash split equally over the watch list at each symbol's first mark of the epoch."""
    rows = ready_sql.found(Benchmark, "WHERE account_id = %s", state.account.epoch, using=DEFAULT_DB_ALIAS)
    held = {row.symbol: row for row in rows}
    if not held:
        share = state.account.initial_cash_e8 // len(closes)
        first = [
            Benchmark(account=state.account, symbol=symbol, price_e8=close, cash_e8=share)
            for symbol, close in closes.items()
        ]
        held = {row.symbol: row for row in Benchmark.objects.bulk_create(first)}
    return sum(row.cash_e8 * closes.get(symbol, row.price_e8) // row.price_e8 for symbol, row in held.items())
