"""The equity curve: one point per closed bar, beside what buying and holding would be worth."""

from __future__ import annotations

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, transaction

from apps.execution.account import AccountState, account_state
from apps.execution.models import Benchmark, EquityPoint
from apps.marketdata import selectors as market


@transaction.atomic
def equity_record(*, ts_ms: int) -> EquityPoint | None:
    """Mark the account at the bars that closed at `ts_ms`; None when a symbol has no such bar."""
    marks = {symbol: _close_at(symbol, ts_ms) for symbol in settings.SYMBOLS}
    if any(mark is None for mark in marks.values()):
        return None
    closes = {symbol: mark for symbol, mark in marks.items() if mark is not None}
    state = account_state(using=DEFAULT_DB_ALIAS)
    equity, exposure = _marked(state, closes)
    point, _ = EquityPoint.objects.get_or_create(
        account=state.account,
        ts_ms=ts_ms,
        defaults={
            "equity_e8": equity,
            "cash_e8": state.account.cash_e8,
            "exposure_e8": exposure,
            "buy_and_hold_e8": _buy_and_hold(state, closes),
        },
    )
    return point


def _close_at(symbol: str, ts_ms: int) -> int | None:
    opened = ts_ms - settings.INTERVAL_MS
    block = market.bars_load(symbol, settings.INTERVAL, start_ms=opened, end_ms=opened + 1, folded_only=False)
    return int(block.close_e8[0]) if block.n else None


def _marked(state: AccountState, closes: dict[str, int]) -> tuple[int, int]:
    """(equity, gross exposure), floored to 1e-8 per position."""
    equity, exposure = state.account.cash_e8, 0
    for symbol, row in state.positions.items():
        value = row.quantity_e8 * closes.get(symbol, 0) // 10**8
        equity += value
        exposure += abs(value)
    return equity, exposure


def _buy_and_hold(state: AccountState, closes: dict[str, int]) -> int:
    """The initial cash split equally over the watch list at each symbol's first mark of the epoch."""
    held = {row.symbol: row for row in Benchmark.objects.filter(account=state.account)}
    if not held:
        share = state.account.initial_cash_e8 // len(closes)
        rows = [
            Benchmark(account=state.account, symbol=symbol, price_e8=close, cash_e8=share)
            for symbol, close in closes.items()
        ]
        held = {row.symbol: row for row in Benchmark.objects.bulk_create(rows)}
    return sum(row.cash_e8 * closes.get(symbol, row.price_e8) // row.price_e8 for symbol, row in held.items())
