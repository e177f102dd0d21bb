"""Moving the canary ladder: each step a revision and an audit record in one transaction."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, transaction

from apps.audit.services import audit_append
from apps.canary.models import CanaryRevision
from apps.engine.canary import DISABLED

ACTOR = "environment"
FIRST_START = "first start"
CONTROL_KEY = "canary"


def seed_canary(*, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Call at every start: the first one puts the ladder at its lowest rung. Returns whether this was the first."""
    with transaction.atomic(using=using):
        if CanaryRevision.objects.using(using).exists():
            return False
        CanaryRevision.objects.using(using).create(
            state=DISABLED.state,
            weight_bps=DISABLED.weight_bps,
            previous_weight_bps=DISABLED.weight_bps,
            actor=ACTOR,
            reason=FIRST_START,
            ts_ms=ts_ms,
        )
        value = {"state": DISABLED.state, "weightBps": DISABLED.weight_bps}
        audit_append(
            kind="canary.seed",
            actor=ACTOR,
            ts_ms=ts_ms,
            body={"before": None, "after": value, "reason": FIRST_START},
            controls={CONTROL_KEY: value},
            using=using,
        )
    return True
