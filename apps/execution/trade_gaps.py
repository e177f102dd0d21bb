"""Which trades did open orders never meet? Ids follow on one another, so a missing one is seen, and it is stated.

A lost trade may have served the queue before us, filled us or triggered a stop. Nothing of that is made up: the queue
keeps its length, no fill is booked, and a stop meets the first trade after the gap.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS

from apps.audit import services as audit
from apps.execution.account import account_state
from apps.execution.lease import require_lease
from apps.execution.models import Order
from apps.execution.open_orders import order_of
from apps.risk import fence

log = logging.getLogger(__name__)
GAP_KIND = "execution.gap"
ACTOR = "matcher"


class Hole(NamedTuple):
    """Trades from one id to another, both included."""

    first_id: int
    last_id: int


def holes(known_id: int, trade_ids: Iterable[int]) -> list[Hole]:
    """The ids that are missing after `known_id` up to the last one given; none where nothing is known."""
    found, last = [], known_id
    for trade_id in sorted(trade_ids):
        if 0 <= last < trade_id - 1:
            found.append(Hole(last + 1, trade_id - 1))
        last = max(last, trade_id)
    return found


def gap_record(symbol: str, gaps: Sequence[Hole], *, now_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """State the trades that nobody has, and the open orders that never met them; returns their ids."""
    with fence.shared(using=using, allow_halted=True):
        state = account_state(using=using)
        require_lease(using=using)
        rows = Order.objects.using(using).filter(account=state.account, symbol=symbol, is_open=True).order_by("number")
        touched = [row.order_id for row in rows if order_of(row).last_trade_id < gaps[-1].last_id]
        log.warning("%d trades of %s are lost to %d open orders", _count(gaps), symbol, len(touched))
        body = {
            "symbol": symbol,
            "orderIds": touched,
            "missing": [[str(gap.first_id), str(gap.last_id)] for gap in gaps],
            "trades": _count(gaps),
            "reason": "these trades could not be had; queues stand where they stood",
        }
        audit.audit_append(kind=GAP_KIND, actor=ACTOR, ts_ms=now_ms, body=body, using=using)
        return touched


def _count(gaps: Sequence[Hole]) -> int:
    return sum(gap.last_id - gap.first_id + 1 for gap in gaps)
