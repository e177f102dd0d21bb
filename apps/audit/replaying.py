"""Does a decision follow from its own record? Recompute it from the recorded inputs and name every difference.

The same holds of what follows from a decision without another: fills of open orders, protective orders, breakers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS

from apps.audit.records import StoredRecord
from apps.audit.selectors import audit_after, snapshot_get
from apps.engine.codec import sha256_hex
from apps.engine.errors import Conflict, TradedeskError

DECISION_KIND = "execution.decision"
PAGE_ROWS = 500


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
    """Whether somebody or the router decided here; a fill, say, only follows from that."""
    return record.kind == DECISION_KIND


def has_inputs(record: StoredRecord) -> bool:
    """Whether there is anything to recompute."""
    return record.inputs_hash != ""


def records_all(*, using: str = DEFAULT_DB_ALIAS) -> Iterator[StoredRecord]:
    """Every record, oldest first, read page by page."""
    sequence = 0
    while page := audit_after(sequence, PAGE_ROWS, using=using):
        yield from page
        sequence = page[-1].sequence


def replays(records: Iterable[StoredRecord], *, using: str = DEFAULT_DB_ALIAS) -> Iterator[ReplayResult | NotADecision]:
    """Recompute one record after another; for each with nothing to recompute the error that says so."""
    for record in records:
        try:
            yield replay_record(record, using=using)
        except NotADecision as error:
            yield error


def replay_record(record: StoredRecord, *, using: str = DEFAULT_DB_ALIAS) -> ReplayResult:
    """Recompute one decision. Raises NotADecision. Inputs that cannot be used are a difference, not an error."""
    if not has_inputs(record):
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
