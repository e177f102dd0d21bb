"""What do open orders hold back? Cash for buys, base for sales; never stored, always summed from the open orders."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.engine.order_values import OpenOrder, locked_total
from apps.execution.models import Account, Order
from apps.execution.open_orders import order_of, order_terms
from apps.marketdata import selectors as market


class Reserved(NamedTuple):
    """What one symbol's open orders hold back, and how many they are."""

    base_e8: int
    quote_e8: int
    n_orders: int


NOTHING = Reserved(0, 0, 0)


def reserved_by_symbol(account: Account | None) -> dict[str, Reserved]:
    """Of every symbol with open orders, protective ones among them: they hold what is theirs to sell."""
    waiting: dict[str, list[OpenOrder]] = {}
    for row in Order.objects.filter(account=account, is_open=True).order_by("number"):
        waiting.setdefault(row.symbol, []).append(order_of(row))
    return {symbol: _reserved(symbol, orders) for symbol, orders in waiting.items()}


def _reserved(symbol: str, orders: list[OpenOrder]) -> Reserved:
    terms = order_terms(market.filters_current(symbol), stale_after_ms=settings.STALE_AFTER_MS)
    total = locked_total(orders, terms)
    return Reserved(total.base_e8, total.quote_e8, len(orders))
