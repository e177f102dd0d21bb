"""Changing risk: limits, trading states and the kill switch, each as a revision and an audit record in one transaction.

Every change holds the kill fence exclusively, so no decision commits on an older value.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS

from apps.audit.services import audit_append
from apps.engine.errors import InvalidInput
from apps.risk import fence
from apps.risk.limits import limit_get, loosened
from apps.risk.models import LimitRevision
from apps.risk.pushed import breaker_record, guard_event_record, usage_record
from apps.risk.seeding import seed_controls
from apps.risk.selectors import limits_current
from apps.risk.switch import kill_engage, kill_release, require_reason, trading_state_set
from apps.web.roles import Role

__all__ = [
    "breaker_record",
    "guard_event_record",
    "kill_engage",
    "kill_release",
    "limits_set",
    "seed_controls",
    "trading_state_set",
    "usage_record",
]


def limits_set(
    *,
    changes: Mapping[str, int],
    actor: str,
    reason: str,
    ts_ms: int,
    role: Role = Role.OPERATOR,
    using: str = DEFAULT_DB_ALIAS,
) -> dict[str, int]:
    """Change limits; all of them or none. Loosening one takes the owner. Returns all limits."""
    checked = {name: limit_get(name).check(value) for name, value in changes.items()}
    if not checked:
        raise InvalidInput("name at least one limit")
    require_reason(reason)
    with fence.exclusive(using=using):
        current = limits_current(using=using)
        changed = {name: value for name, value in checked.items() if value != current[name]}
        looser = loosened(changed, current)
        if looser and role is not Role.OWNER:
            raise PermissionDenied(f"only an owner may loosen {', '.join(looser)}")
        if changed:
            LimitRevision.objects.using(using).bulk_create(
                LimitRevision(
                    name=name,
                    value=value,
                    previous=current[name],
                    source=LimitRevision.PERSON,
                    actor=actor,
                    reason=reason,
                    ts_ms=ts_ms,
                )
                for name, value in changed.items()
            )
            audit_append(
                kind="risk.limits",
                actor=actor,
                ts_ms=ts_ms,
                body={"before": {name: current[name] for name in changed}, "after": changed, "reason": reason},
                controls={f"limit.{name}": value for name, value in changed.items()},
                using=using,
            )
    return {**current, **changed}
