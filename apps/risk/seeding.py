"""What do limits and trading state start from, and what does a start find that must not be trusted?"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Max

from apps.audit.services import audit_append
from apps.engine.reasons import TradingState
from apps.risk import fence
from apps.risk.limits import LIMITS, limits_from_settings
from apps.risk.models import LimitRevision, TradingStateRevision
from apps.risk.selectors import limits_current, row_state
from apps.risk.sentinel import sentinel_reason, sentinel_set
from apps.risk.states import DESK, DESK_KEY, KILL_KEY
from apps.risk.switch import kill_engage

ACTOR = "environment"
FIRST_START = "first start"


def seed_controls(*, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> None:
    """Call at every start, before anything decides.

    The first start writes limits and state from the settings as one record. A later one writes a revision for each
    limit whose setting changed since. A kill switch that only the file or only the row knows is engaged in both, and
    KILL_SWITCH=true engages it.
    """
    wanted = limits_from_settings()
    with fence.exclusive(using=using):
        seen = _seen_in_settings(using)
        changed = {name: value for name, value in wanted.items() if seen.get(name) != value}
        is_first = not TradingStateRevision.objects.using(using).filter(scope=DESK).exists()
        if changed or is_first:
            _write(changed, is_first=is_first, ts_ms=ts_ms, using=using)
    _reconcile(ts_ms, using)
    if settings.KILL_SWITCH:
        kill_engage(actor=ACTOR, reason="KILL_SWITCH is set", ts_ms=ts_ms, using=using)


def _seen_in_settings(using: str) -> dict[str, int]:
    """What the settings said at the last start that saw them change."""
    rows = LimitRevision.objects.using(using).filter(source=LimitRevision.ENVIRONMENT, name__in=LIMITS)
    newest = rows.order_by().values("name").annotate(newest=Max("id")).values("newest")
    return dict(LimitRevision.objects.using(using).filter(id__in=newest).values_list("name", "value"))


def _write(changed: dict[str, int], *, is_first: bool, ts_ms: int, using: str) -> None:
    before = {} if is_first else limits_current(using=using)
    reason = FIRST_START if is_first else "the environment changed"
    given = {"source": LimitRevision.ENVIRONMENT, "actor": ACTOR, "reason": reason, "ts_ms": ts_ms}
    LimitRevision.objects.using(using).bulk_create(
        LimitRevision(name=name, value=value, previous=before.get(name), **given) for name, value in changed.items()
    )
    controls: dict[str, Any] = {f"limit.{name}": value for name, value in changed.items()}
    if is_first:
        active = TradingState.ACTIVE.name
        TradingStateRevision.objects.using(using).create(
            scope=DESK, state=active, previous=active, actor=ACTOR, reason=reason, ts_ms=ts_ms
        )
        controls[DESK_KEY] = active
        controls[KILL_KEY] = {"engaged": False, "actor": ACTOR, "reason": reason, "tsMs": ts_ms}
    audit_append(
        kind="risk.seed",
        actor=ACTOR,
        ts_ms=ts_ms,
        body={"before": {name: before.get(name) for name in changed}, "after": changed, "reason": reason},
        controls=controls,
        using=using,
    )


def _reconcile(ts_ms: int, using: str) -> None:
    """A crash between sentinel and row, or a file somebody removed: whichever says HALTED is believed."""
    if connections[using].vendor == "postgresql":
        return
    killed = sentinel_reason()
    row = row_state(DESK, using=using)
    if killed is not None and not row.is_halted:
        kill_engage(actor="startup", reason=f"a sentinel was found at start: {killed}"[:500], ts_ms=ts_ms, using=using)
    elif killed is None and row.is_halted:
        sentinel_set(f"{row.actor}: {row.reason}")
