"""Does a decision follow from its own record? Recompute it from the recorded inputs and name every difference."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS

from apps.audit.records import StoredRecord
from apps.audit.selectors import snapshot_get
from apps.engine.codec import sha256_hex
from apps.engine.errors import Conflict, TradedeskError


class Differing(NamedTuple):
    """One member that came out otherwise."""

    path: str
    recorded: Any
    recomputed: Any


class ReplayResult(NamedTuple):
    """Whether the record's outputs are what its inputs give."""

    audit_id: str
    sequence: int
    matches: bool
    differences: list[Differing]


class NotADecision(Conflict):
    """The record holds no inputs, so there is nothing to recompute."""


def is_decision(record: StoredRecord) -> bool:
    """Whether there is anything to recompute: decisions carry the inputs they were taken on."""
    return record.inputs_hash != ""


def replay_record(record: StoredRecord, *, using: str = DEFAULT_DB_ALIAS) -> ReplayResult:
    """Recompute one decision. Raises NotADecision. Inputs that cannot be used are a difference, not an error."""
    if not is_decision(record):
        raise NotADecision(f"{record.audit_id} is not a decision: a record of kind {record.kind} has no inputs")
    differences = _differences(record, partial(snapshot_get, using=using))
    return ReplayResult(record.audit_id, record.sequence, not differences, differences)


def _differences(record: StoredRecord, load_snapshot: Callable[[str], bytes]) -> list[Differing]:
    digest = sha256_hex(record.body)
    if digest != record.content_hash:
        return [Differing("contentHash", record.content_hash, digest)]
    # Imported here: it brings the compiled engine, which reading and verifying the log do without.
    from apps.engine.record import replay

    try:
        found = replay(record.kind, record.content, load_snapshot)
    except (TradedeskError, KeyError, IndexError, TypeError, ValueError) as error:
        return [Differing("inputs", None, f"cannot be used: {type(error).__name__}: {error}")]
    except LookupError as error:
        raise NotADecision(f"{record.audit_id} is not a decision: {error}") from error
    return [Differing(difference.path, difference.recorded, difference.recomputed) for difference in found]
