"""What fills do to the round trip of a position, and what a trip that closes leaves behind."""

from __future__ import annotations

import numpy as np

from apps.engine.errors import UnknownName
from apps.engine.portfolio import dust_value_nb
from apps.engine.trips import OPEN, trip_nb
from apps.engine.values import Filters
from apps.execution import ready_sql
from apps.execution.models import ClosedTrade, Position
from apps.marketdata import selectors as market


def lots_held(quantity_e8: int, step_e8: int) -> int:
    """Whole lots of a holding, toward zero: dust below a lot, which base fees leave, cannot be traded."""
    whole = abs(quantity_e8) // step_e8
    return whole if quantity_e8 >= 0 else -whole


def exact_rules(symbol: str) -> Filters | None:
    """The rules of something held; None where it cannot be counted exactly."""
    try:
        rules = market.filters_current(symbol)
    except UnknownName:
        return None
    return rules if rules.is_exact() else None


def holding_value_e8(quantity_e8: int, mark_e8: int, rules: Filters) -> int:
    """What a holding adds to equity: whole lots at whole ticks, and its dust."""
    lots, lot_value_e8 = lots_held(quantity_e8, rules.step_e8), mark_e8 // rules.tick_e8 * rules.unit_e8
    dust = quantity_e8 - lots * rules.step_e8
    return lots * lot_value_e8 + int(dust_value_nb(dust, lot_value_e8, rules.step_e8))


def trip_settle(
    row: Position,
    *,
    before_lots: int,
    after_lots: int,
    flow_e8: int,
    notional_e8: int,
    is_stop: bool,
    ts_ms: int,
    using: str,
) -> None:
    """Carry fills into the round trip of a position's row; a trip that closes becomes a row of its own."""
    trip = np.array([row.trip_cash_e8, row.trip_entry_e8, row.trip_exit_ms], np.int64)
    profit = int(trip_nb(trip, before_lots, after_lots, flow_e8, notional_e8, ts_ms))
    row.trip_cash_e8, row.trip_entry_e8, row.trip_exit_ms = (int(value) for value in trip)
    if profit != OPEN:
        given = {"account": row.account, "symbol": row.symbol, "profit_bps": profit, "is_stop": is_stop, "ts_ms": ts_ms}
        ready_sql.insert(ready_sql.make(ClosedTrade, **given), using=using)
