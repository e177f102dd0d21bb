"""How what is held and what is open comes to an end: by a flatten, with its epoch, off the watch list.

A symbol that has left the watch list while it was held stays marked and can be reduced or flattened, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from apps.engine.decision import SOURCE_FLATTEN
from apps.engine.errors import Conflict, UnknownName
from apps.engine.order_types import OrderReason
from apps.engine.reasons import TradingState
from apps.engine.values import Filters
from apps.execution.account import AccountState
from apps.execution.controls import Controls
from apps.execution.dust import is_dust
from apps.execution.matching_rows import orders_cancel
from apps.execution.models import Account, Order, Position
from apps.execution.requests import DecisionRequest
from apps.marketdata import selectors as market


class WrittenOff(NamedTuple):
    """What an epoch ended with and nobody could sell; quantity in base, cost in quote."""

    symbol: str
    quantity_e8: int
    cost_e8: int


def held_off_list(*, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Symbols that are held or have open orders although they have left the watch list. The market follows them on."""
    account = Account.objects.using(using).order_by("-epoch").first()
    if account is None:
        return []
    held = Position.objects.using(using).filter(account=account).exclude(quantity_e8=0)
    waiting = Order.objects.using(using).filter(account=account, is_open=True)
    names = {*held.values_list("symbol", flat=True), *waiting.values_list("symbol", flat=True)}
    return sorted(names - set(settings.SYMBOLS))


def tradable_symbol(symbol: str) -> str:
    """The symbol, when it is on the watch list or still held. Raises UnknownName."""
    if symbol not in settings.SYMBOLS and symbol not in held_off_list():
        raise UnknownName(f"unknown symbol; the watch list is {', '.join(settings.SYMBOLS)}", field="symbol")
    return symbol


def reduce_only_off_list(symbol: str, controls: Controls) -> Controls:
    """The controls, REDUCING for a symbol that has left the watch list."""
    if symbol in settings.SYMBOLS or controls.trading_state is None:
        return controls
    return replace(controls, trading_state=max(controls.trading_state, int(TradingState.REDUCING)))


def cancel_for_flatten(
    request: DecisionRequest, account: Account, rules: Filters, *, ts_ms: int, using: str
) -> list[str]:
    """A flatten first cancels what is open of its symbol, so that nothing opens again what it closes."""
    if request.source != SOURCE_FLATTEN:
        return []
    rows = Order.objects.using(using).filter(account=account, is_open=True, symbol=request.symbol).order_by("number")
    return orders_cancel(rows, reason=OrderReason.CANCELED, rules={request.symbol: rules}, ts_ms=ts_ms, using=using)


def epoch_close(
    state: AccountState, marks: Mapping[str, int], *, ts_ms: int, using: str
) -> tuple[list[str], list[WrittenOff]]:
    """Cancel what is open of an epoch and name what is written off with it. Raises Conflict for what could be sold."""
    held = {name: row for name, row in state.positions.items() if row.quantity_e8}
    rows = list(Order.objects.using(using).filter(account=state.account, is_open=True).order_by("number"))
    rules = _rules({*held, *(row.symbol for row in rows)})
    sellable = sorted(name for name, row in held.items() if _can_be_sold(row, rules[name], marks.get(name)))
    if sellable:
        raise Conflict(f"flatten {', '.join(sellable)} before the account is reset")
    canceled = orders_cancel(rows, reason=OrderReason.CANCELED, rules=rules, ts_ms=ts_ms, using=using)
    return canceled, [WrittenOff(name, row.quantity_e8, row.cost_e8) for name, row in sorted(held.items())]


def _can_be_sold(row: Position, rules: Filters, mark_e8: int | None) -> bool:
    """Not dust, and not without a market: a symbol off the watch list that has no price any more."""
    if mark_e8 is None and row.symbol not in settings.SYMBOLS:
        return False
    return not is_dust(row.quantity_e8, rules, mark_e8)


def _rules(symbols: Iterable[str]) -> dict[str, Filters]:
    return {symbol: market.filters_current(symbol) for symbol in sorted(symbols)}
