"""What every guard is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from numba import njit

from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.portfolio import MAX_NOTIONAL_E8, notional_nb
from apps.engine.reasons import Reason, Verdict
from apps.engine.registry import Registry

ALLOW = int(Verdict.ALLOW)
REDUCE = int(Verdict.REDUCE)
DENY = int(Verdict.DENY)
HALT = int(Verdict.HALT)


class Finding(NamedTuple):
    """What one guard says, and the value and limit it compared. `is_unknown` marks an input it could not read."""

    verdict: int
    observed: int
    limit: int
    is_unknown: int


class Guard(NamedTuple):
    """One rule. `check(desk, order, limits) -> Finding` is a compiled kernel; `unit` names observed and limit.

    `reason` is given when the order is refused; `reduce_reason` when only orders that lower risk would pass.
    """

    name: str
    reason: Reason
    unit: str
    check: Callable[[DeskRecord, OrderRecord, LimitRecord], Finding]
    summary: str
    reduce_reason: Reason = Reason.REDUCE_ONLY


GUARDS: Registry[Guard] = Registry("guard", lambda guard: guard.name)


@njit("(i8, i8, i8)", cache=True)
def finding_nb(verdict: int, observed: int, limit: int) -> Finding:
    return Finding(verdict, observed, limit, 0)


@njit(cache=True)
def cap_nb(order: OrderRecord, observed: int, limit: int) -> Finding:
    """Within a cap on notional, or lowering risk. What is too large to be counted is above every cap."""
    is_within = observed <= limit and observed < MAX_NOTIONAL_E8
    return Finding(ALLOW if order.reduces_risk == 1 or is_within else DENY, observed, limit, 0)


@njit(cache=True)
def worst_notional_nb(desk: DeskRecord, order: OrderRecord) -> int:
    """The largest |position| possible after the order, every open order of the symbol filled or not, at the worse of
    the mark and the price the order is judged at."""
    longest = desk.position_lots + desk.open_buy_lots + (order.lots if order.side > 0 else 0)
    shortest = desk.position_lots - desk.open_sell_lots - (order.lots if order.side < 0 else 0)
    lots = max(abs(longest), abs(shortest))
    return notional_nb(lots, max(order.price_ticks, desk.mark_ticks), order.unit_e8)


@njit(cache=True)
def unknown_nb(order: OrderRecord, limit: int) -> Finding:
    """An input is missing: new risk is denied, lowering risk stays possible."""
    return Finding(ALLOW if order.reduces_risk == 1 else DENY, 0, limit, 1)
