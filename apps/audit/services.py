"""Writing the log: append a record under the head's lock, keep a snapshot, note a verified checkpoint."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.transaction import TransactionManagementError

from apps.audit import statements
from apps.audit.checkpoints import Checkpoint, checkpoint_append, checkpoints_read
from apps.audit.records import ID_PREFIX, SCHEMA, WRAPPER_KEYS, known_bytes, record_bytes, record_hash_of
from apps.audit.verify import VerifyResult, controls_digest
from apps.engine.codec import canonical_bytes, digest_id, sha256_hex
from apps.engine.errors import IntegrityBreach, InvalidInput

__all__ = [
    "AuditDraft",
    "AuditEntry",
    "audit_append",
    "audit_draft",
    "audit_write",
    "checkpoint_record",
    "snapshot_put",
]

# Snapshots are mostly digits: the fastest level keeps nearly all of the gain.
ZLIB_LEVEL = 1

_SELECT_HEAD = "SELECT sequence, record_hash FROM audit_audithead WHERE id = 1"
_SELECT_HEAD_LOCKED = _SELECT_HEAD + " FOR UPDATE"
_UPDATE_HEAD = "UPDATE audit_audithead SET sequence = %s, record_hash = %s WHERE id = 1"
_INSERT_RECORD = (
    "INSERT INTO audit_auditrecord (sequence, audit_id, kind, symbol, ts_ms, actor, body, inputs_hash, content_hash, "
    "previous_hash, record_hash) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_UPSERT_CONTROL = (
    "INSERT INTO audit_controlcurrent (key, value, sequence, ts_ms) VALUES (%s, %s, %s, %s) ON CONFLICT (key) "
    "DO UPDATE SET value = excluded.value, sequence = excluded.sequence, ts_ms = excluded.ts_ms"
)
_PUT_SNAPSHOT = (
    "INSERT INTO audit_snapshot (hash, body) SELECT %s, %s "
    "WHERE NOT EXISTS (SELECT 1 FROM audit_snapshot WHERE hash = %s) ON CONFLICT DO NOTHING"
)
_PUT_CHECKPOINT = (
    "INSERT INTO audit_verifiedcheckpoint (sequence, record_hash, controls) SELECT %s, %s, %s "
    "WHERE NOT EXISTS (SELECT 1 FROM audit_verifiedcheckpoint WHERE sequence = %s) ON CONFLICT DO NOTHING"
)


class AuditEntry(NamedTuple):
    """Where a record went and what it hashes to."""

    audit_id: str
    sequence: int
    content_hash: str
    record_hash: str


class AuditDraft(NamedTuple):
    """A record that is composed but not written; `entry` is what it will be."""

    entry: AuditEntry
    row: tuple[Any, ...]
    controls: dict[str, Any]
    using: str


def audit_append(
    *,
    kind: str,
    actor: str,
    ts_ms: int,
    body: Mapping[str, Any],
    controls: Mapping[str, Any] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> AuditEntry:
    """Append one record; call it inside `atomic`, as the last statement of the transaction.

    The head row is locked from here to COMMIT, so sequences have no gaps and follow the order of commits.
    Raises InvalidInput when the body holds a float or a name of the wrapper.
    """
    return audit_write(audit_draft(kind=kind, actor=actor, ts_ms=ts_ms, body=body, controls=controls, using=using))


def audit_draft(
    *,
    kind: str,
    actor: str,
    ts_ms: int,
    body: Mapping[str, Any],
    controls: Mapping[str, Any] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> AuditDraft:
    """Lock the head and compose the next record, for a transaction whose rows name it; `audit_write` must follow."""
    connection = connections[using]
    if not connection.in_atomic_block:
        raise TransactionManagementError("audit_append must run inside the transaction that it records")
    head_sequence, previous_hash = _lock_head(using, connection.vendor)
    sequence = head_sequence + 1
    content = _wrap(body, kind=kind, actor=actor, ts_ms=ts_ms, sequence=sequence, controls=controls)
    stored, inputs = record_bytes(content), content.get("inputs")
    inputs_hash = "" if inputs is None else sha256_hex(known_bytes(inputs))
    content_hash = sha256_hex(stored)
    record_hash = record_hash_of(previous_hash, content_hash)
    audit_id = digest_id(ID_PREFIX, content_hash)
    row = (sequence, audit_id, kind, content.get("symbol") or "", ts_ms, actor, stored)
    entry = AuditEntry(audit_id, sequence, content_hash, record_hash)
    return AuditDraft(entry, (*row, inputs_hash, content_hash, previous_hash, record_hash), dict(controls or {}), using)


def audit_write(draft: AuditDraft) -> AuditEntry:
    """Write a composed record: the last statements of its transaction."""
    entry, ts_ms = draft.entry, draft.row[4]
    statements.run(_INSERT_RECORD, draft.row, using=draft.using)
    statements.run(_UPDATE_HEAD, (entry.sequence, entry.record_hash), using=draft.using)
    for key, value in draft.controls.items():
        given = (key, canonical_bytes(value).decode(), entry.sequence, ts_ms)
        statements.run(_UPSERT_CONTROL, given, using=draft.using)
    return entry


def snapshot_put(*, body: bytes, using: str = DEFAULT_DB_ALIAS) -> str:
    """Keep a large input under its hash; the same bytes are stored once. Returns the hash."""
    digest = sha256_hex(body)
    if statements.first("SELECT 1 FROM audit_snapshot WHERE hash = %s", (digest,), using=using) is None:
        statements.run(_PUT_SNAPSHOT, (digest, zlib.compress(body, ZLIB_LEVEL), digest), using=using)
    return digest


def checkpoint_record(*, result: VerifyResult, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Note in the database and in the file outside it that the log is intact up to here; False when nothing is new."""
    if not result.intact:
        raise IntegrityBreach("a broken log gets no checkpoint")
    known = checkpoints_read()
    if result.head_sequence <= (known[-1].sequence if known else 0):
        return False
    text, digest = controls_digest(result.controls)
    given = (result.head_sequence, result.head_hash, text, result.head_sequence)
    statements.run(_PUT_CHECKPOINT, given, using=using)
    checkpoint_append(Checkpoint(result.head_sequence, result.head_hash, digest))
    return True


def _lock_head(using: str, vendor: str) -> tuple[int, str]:
    """The last sequence and hash. On SQLite the transaction is IMMEDIATE and holds the write lock already."""
    row = statements.first(_SELECT_HEAD_LOCKED if vendor == "postgresql" else _SELECT_HEAD, using=using)
    if row is None:
        raise IntegrityBreach("the head row of the audit log is gone")
    return row[0], row[1]


def _wrap(body: Mapping[str, Any], *, controls: Mapping[str, Any] | None, **wrapper: Any) -> dict[str, Any]:
    taken = WRAPPER_KEYS.intersection(body)
    if taken:
        raise InvalidInput(f"an audit body must not name {', '.join(sorted(taken))}: the wrapper does")
    if not isinstance(body.get("inputs", {}), dict):
        raise InvalidInput("the inputs of an audit body must be a dict", field="inputs")
    content = {"schema": SCHEMA, **body, "tsMs": wrapper.pop("ts_ms"), **wrapper}
    if controls:
        content["controls"] = dict(controls)
    return content
