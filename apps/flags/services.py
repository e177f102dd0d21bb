"""Flipping flags: all of a request or nothing, fenced when risk hangs on it, audited in the same commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction

from apps.audit.services import audit_append
from apps.engine.errors import InvalidInput, StaleState
from apps.flags.definitions import FLAGS, FlagValue
from apps.flags.metrics import FLAG_CHANGES
from apps.flags.models import FlagRevision
from apps.flags.selectors import revisions_latest

FenceFactory = Callable[[], AbstractContextManager[Any]]
_fence: FenceFactory = nullcontext


def register_fence(factory: FenceFactory) -> None:
    """Risk hands over its exclusive kill fence, so that no decision commits on an older value of a critical flag."""
    global _fence
    _fence = factory


def flags_set(
    *, changes: Mapping[str, Any], actor: str, reason: str, ts_ms: int, using: str = DEFAULT_DB_ALIAS
) -> dict[str, FlagValue]:
    """Write a revision for each flag whose database value differs, and return what changed.

    Raises UnknownName or InvalidInput before anything is written, StaleState when somebody else was faster.
    """
    checked = {name: FLAGS.get(name).check(value) for name, value in changes.items()}
    if not checked:
        raise InvalidInput("names no flag")
    is_critical = any(FLAGS.get(name).safety_critical for name in checked)
    try:
        with _fence() if is_critical else nullcontext(), transaction.atomic(using=using):
            changed = _write(checked, actor=actor, reason=reason, ts_ms=ts_ms, using=using)
    except IntegrityError as error:
        raise StaleState("somebody else changed a flag at the same time; read the flags and try again") from error
    for name in changed:
        FLAG_CHANGES.labels(name).inc()
    return changed


def _write(
    checked: Mapping[str, FlagValue], *, actor: str, reason: str, ts_ms: int, using: str
) -> dict[str, FlagValue]:
    latest = revisions_latest(using=using)
    changed = {name: value for name, value in checked.items() if name not in latest or latest[name].value != value}
    for name, value in changed.items():
        number = latest[name].number + 1 if name in latest else 1
        FlagRevision.objects.using(using).create(
            name=name, number=number, value=value, actor=actor, reason=reason, ts_ms=ts_ms
        )
    if changed:
        before = {name: latest[name].value if name in latest else None for name in changed}
        audit_append(
            kind="flags.set",
            actor=actor,
            ts_ms=ts_ms,
            body={"reason": reason, "before": before, "after": dict(changed)},
            controls={FLAGS.get(name).control_key: value for name, value in changed.items()},
            using=using,
        )
    return changed
