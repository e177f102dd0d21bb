"""What becomes of open orders when the exchange changes a symbol's tick or step: converted exactly, or canceled."""

from __future__ import annotations

from collections.abc import Iterable

from apps.engine.order_values import OpenOrder
from apps.engine.values import Filters
from apps.execution.models import Order
from apps.execution.open_orders import order_of
from apps.marketdata import selectors as market

PRICES = ("price_ticks", "stop_ticks", "extreme_ticks")
SIZES = ("lots", "filled_lots")


def rules_before(row: Order, rules: Filters) -> Filters | None:
    """The rules an order's state counts in, where a tick or a step of them is another one now; None where none is."""
    if row.filter_revision == rules.revision:
        return None
    before = market.filters_at(row.symbol, row.filter_revision)
    return None if (before.tick_e8, before.step_e8) == (rules.tick_e8, rules.step_e8) else before


def split_by_units(rows: Iterable[Order], rules: Filters) -> tuple[list[Order], list[Order]]:
    """(orders in the units of these rules, orders that are not)."""
    rows = list(rows)
    other = [row for row in rows if rules_before(row, rules) is not None]
    return [row for row in rows if row not in other], other


def converted(row: Order, rules: Filters) -> OpenOrder | None:
    """The order in the units of these rules; None where it has no exact form in them. A queue is rounded up."""
    before, order = rules_before(row, rules), order_of(row)
    if before is None:
        return order
    values = {name: getattr(order, name) * before.tick_e8 for name in PRICES}
    sizes = {name: getattr(order, name) * before.step_e8 for name in SIZES}
    extreme_off = values["extreme_ticks"] % rules.tick_e8  # what a trailing stop has seen may be off the new grid
    if any(value % rules.tick_e8 for name, value in values.items() if name != "extreme_ticks"):
        return None
    if any(value % rules.step_e8 for value in sizes.values()):
        return None
    queue = order.queue_ahead_lots
    return order._replace(
        **{name: (value - (extreme_off if name == "extreme_ticks" else 0)) // rules.tick_e8
           for name, value in values.items()},
        **{name: value // rules.step_e8 for name, value in sizes.items()},
        queue_ahead_lots=None if queue is None else -(-queue * before.step_e8 // rules.step_e8),
    )  # fmt: skip
