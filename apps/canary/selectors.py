"""Reading the canary ladder: the rung that holds, and how it came there."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS

from apps.canary.models import CanaryRevision
from apps.engine.canary import BPS, DISABLED
from apps.web.values import iso_ms

HISTORY_ROWS = 50


class CanaryState(NamedTuple):
    """The rung that holds; `weight_bps` is the share of each decision that is rehearsed."""

    state: str
    weight_bps: int


def canary_current(*, using: str = DEFAULT_DB_ALIAS) -> CanaryState:
    """The rung that holds. A ladder that was never seeded is disabled."""
    row = CanaryRevision.objects.using(using).first()
    return CanaryState(*DISABLED) if row is None else CanaryState(row.state, row.weight_bps)


def canary_state(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, Any]:
    """The rung, what the next one waits for, and the newest transitions first."""
    current = canary_current(using=using)
    rows = CanaryRevision.objects.using(using)[:HISTORY_ROWS]
    return {
        "state": current.state,
        "weight": current.weight_bps / BPS,
        "readiness": {"conditions": [], "ready": False},
        "history": [
            {
                "state": row.state,
                "weight": row.weight_bps / BPS,
                "previous_weight": row.previous_weight_bps / BPS,
                "actor": row.actor,
                "reason": row.reason,
                "ts": iso_ms(row.ts_ms),
            }
            for row in rows
        ],
    }
