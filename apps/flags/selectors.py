"""What are the flags now, and who set them?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Max, Q

from apps.flags.definitions import FLAGS, FlagValue
from apps.flags.models import FlagRevision
from apps.flags.precedence import UNSET, Evaluation, evaluate


class Revision(NamedTuple):
    """The last change of one flag."""

    number: int
    value: FlagValue
    actor: str
    reason: str
    ts_ms: int


def flags_current(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, FlagValue]:
    """The value of every flag, read from the database each time."""
    return {name: evaluation.value for name, evaluation in evaluations(using=using).items()}


def flag_value(name: str, *, using: str = DEFAULT_DB_ALIAS) -> FlagValue:
    """The value of one flag. Raises UnknownName."""
    FLAGS.get(name)
    return flags_current(using=using)[name]


def environment() -> tuple[str | None, ...]:
    """What the environment says of every flag, in their order; None where it says nothing."""
    return tuple(os.environ.get(flag.env_name) for flag in FLAGS)


def flags_of_controls(controls: Mapping[str, Any], env: tuple[str | None, ...] | None = None) -> dict[str, FlagValue]:
    """The value of every flag, from values by control key (`flag.BOCPD`) that the caller has read already.

    A decision reads all controls in one SELECT; this combines them with the environment and asks the database nothing.
    """
    return {
        flag.name: evaluate(
            flag,
            env_text=env_text,
            db_value=_plain(controls[flag.control_key]) if flag.control_key in controls else UNSET,
        ).value
        for flag, env_text in zip(FLAGS, environment() if env is None else env, strict=True)
    }


def _plain(control: Any) -> Any:
    """The bare value of a control, which audit hands out together with its sequence."""
    return control.value if hasattr(control, "sequence") else control


def evaluations(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, Evaluation]:
    """Value and source of every flag."""
    latest = revisions_latest(using=using)
    return {
        flag.name: evaluate(
            flag,
            env_text=os.environ.get(flag.env_name),
            db_value=latest[flag.name].value if flag.name in latest else UNSET,
        )
        for flag in FLAGS
    }


def revisions_latest(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, Revision]:
    """The last revision of every flag that was ever changed."""
    newest = FlagRevision.objects.using(using).values("name").annotate(number=Max("number"))
    wanted = Q(pk__in=[])
    for row in newest:
        wanted |= Q(name=row["name"], number=row["number"])
    rows = FlagRevision.objects.using(using).filter(wanted)
    return {row.name: Revision(row.number, row.value, row.actor, row.reason, row.ts_ms) for row in rows}


def flags_detail(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, dict[str, Any]]:
    """Every flag with its source, its definition, and who changed it last and when."""
    latest = revisions_latest(using=using)
    found = evaluations(using=using)
    return {flag.name: _detail(flag, found[flag.name], latest.get(flag.name)) for flag in FLAGS}


def _detail(flag: Any, evaluation: Evaluation, revision: Revision | None) -> dict[str, Any]:
    return {
        "value": evaluation.value,
        "source": evaluation.source,
        "error": evaluation.error or None,
        "default": flag.default,
        "safe": flag.safe,
        "safety_critical": flag.safety_critical,
        "choices": list(flag.choices),
        "env_name": flag.env_name,
        "help": flag.help,
        "db_value": revision.value if revision else None,
        "changed_by": revision.actor if revision else None,
        "changed_at_ms": revision.ts_ms if revision else None,
        "reason": revision.reason if revision else None,
    }
