"""What is still to fill, as guards count it: open orders at full size, an OCO by its largest leg."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings

from apps.engine.errors import IntegrityBreach
from apps.engine.order_types import BUY, SELL
from apps.engine.order_values import FeeAsset, OpenOrder, OrderTerms, Phase, locked_total, order_from_json
from apps.engine.values import Filters
from apps.execution import ready_sql
from apps.execution.models import Account, Order

PROTECTIVE = "protective"

# A sum, lest SQLite walk all orders there ever were by their number to save the sorting of those that are open.
_OPEN = (
    "SELECT symbol, state FROM execution_order WHERE account_id = %s AND is_open AND origin <> %s ORDER BY number + 0"
)


class OpenExposure(NamedTuple):
    """What a symbol's open orders may still do. Protective orders only shrink a position and count for nothing."""

    buy_lots: int
    sell_lots: int
    locked_cash_e8: int
    own_bid_ticks: int
    own_ask_ticks: int
    highest_ticks: int


NOTHING_OPEN = OpenExposure(0, 0, 0, 0, 0, 0)


def order_terms(rules: Filters, *, stale_after_ms: int) -> OrderTerms:
    """The units and fees that open orders of a symbol fill under."""
    return OrderTerms(
        unit_e8=rules.unit_e8,
        step_e8=rules.step_e8,
        maker_bps=settings.FEE_BPS,
        taker_bps=settings.FEE_BPS,
        fee_asset=FeeAsset(settings.FEE_ASSET),
        stale_after_ms=stale_after_ms,
    )


def order_of(row: Order) -> OpenOrder:
    """The engine's value of an order that is or was open. Raises IntegrityBreach for a row without one."""
    if row.state is None:
        raise IntegrityBreach(f"order {row.order_id} has no state")
    return order_from_json(row.state)


def open_orders(*, account: Account, using: str) -> dict[str, list[OpenOrder]]:
    """The epoch's open orders by symbol, oldest first, protective ones left out."""
    found: dict[str, list[OpenOrder]] = {}
    for symbol, state in ready_sql.values(_OPEN, account.epoch, PROTECTIVE, using=using):
        found.setdefault(symbol, []).append(order_from_json(json.loads(state)))
    return found


def open_exposure(orders: Iterable[OpenOrder], terms: OrderTerms) -> OpenExposure:
    """Lots still to buy and to sell, cash they hold back, and our best prices that rest or travel."""
    orders = list(orders)
    if not orders:
        return NOTHING_OPEN
    priced = [order for order in orders if order.price_ticks > 0 and order.phase is not Phase.ARMED]
    bids = [order.price_ticks for order in priced if order.side == BUY]
    asks = [order.price_ticks for order in priced if order.side == SELL]
    return OpenExposure(
        buy_lots=_lots(orders, BUY),
        sell_lots=_lots(orders, SELL),
        locked_cash_e8=locked_total(orders, terms).quote_e8,
        own_bid_ticks=max(bids, default=0),
        own_ask_ticks=min(asks, default=0),
        highest_ticks=max((order.price_ticks or order.stop_ticks for order in orders), default=0),
    )


def _lots(orders: list[OpenOrder], side: int) -> int:
    """Open lots of a side; only one leg of a list can fill."""
    single = sum(order.open_lots for order in orders if order.side == side and not order.list_id)
    legs: dict[str, int] = {}
    for order in orders:
        if order.side == side and order.list_id:
            legs[order.list_id] = max(legs.get(order.list_id, 0), order.open_lots)
    return single + sum(legs.values())
