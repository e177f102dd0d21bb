"""What execution pushes down in its own transaction, so that risk can show it without looking up."""

from __future__ import annotations

from enum import IntEnum

from django.db import DEFAULT_DB_ALIAS

from apps.audit import statements
from apps.engine.reasons import Reason, Verdict
from apps.risk.models import BreakerTrip, GuardEvent
from apps.risk.states import DESK

_UPSERT_USAGE = (
    "INSERT INTO risk_symbolusage (symbol, notional_e8, orders_last_minute, ts_ms) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (symbol) DO UPDATE SET notional_e8 = excluded.notional_e8, "
    "orders_last_minute = excluded.orders_last_minute, ts_ms = excluded.ts_ms"
)


def usage_record(
    *, symbol: str, notional_e8: int, ts_ms: int, orders_last_minute: int = 0, using: str = DEFAULT_DB_ALIAS
) -> None:
    """What a symbol uses of its limits from now on."""
    statements.run(_UPSERT_USAGE, (symbol, int(notional_e8), int(orders_last_minute), ts_ms), using=using)


def guard_event_record(
    *,
    symbol: str,
    guard: str,
    reason: Reason | str,
    verdict: Verdict | str,
    observed: int | None,
    limit: int | None,
    audit_sequence: int,
    ts_ms: int,
    using: str = DEFAULT_DB_ALIAS,
) -> None:
    """One guard did not allow one order; `observed` is None where it could not tell."""
    GuardEvent.objects.using(using).create(
        symbol=symbol,
        guard=guard,
        reason=reason.code if isinstance(reason, Reason) else reason,
        verdict=verdict.name if isinstance(verdict, IntEnum) else verdict,
        observed=observed,
        limit=limit,
        audit_sequence=audit_sequence,
        ts_ms=ts_ms,
    )


def breaker_record(
    *,
    kind: str,
    tripped_at_ms: int,
    observed: int,
    reason: str,
    audit_sequence: int,
    until_ms: int = 0,
    symbol: str = DESK,
    window_start_fill: int = 0,
    using: str = DEFAULT_DB_ALIAS,
) -> None:
    """A breaker tripped, or a guard latched; without `until_ms` until a person releases it."""
    BreakerTrip.objects.using(using).create(
        kind=kind,
        symbol=symbol,
        tripped_at_ms=tripped_at_ms,
        until_ms=until_ms,
        observed=observed,
        reason=reason,
        window_start_fill=window_start_fill,
        audit_sequence=audit_sequence,
    )
