"""Reading the log: records, controls, snapshots, and whether all of it still fits together."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from apps.audit import statements
from apps.audit.records import COLUMNS, GENESIS_HASH, ControlValue, StoredRecord
from apps.audit.verify import VerifyResult, stored_record, verify_log
from apps.engine.codec import sha256_hex
from apps.engine.errors import IntegrityBreach, UnknownName

__all__ = [
    "ControlValue",
    "StoredRecord",
    "VerifyResult",
    "audit_after",
    "audit_get",
    "audit_head",
    "audit_latest",
    "audit_many",
    "audit_verify",
    "checkpoint_latest",
    "control_rows",
    "control_value",
    "controls_current",
    "controls_of",
    "snapshot_get",
]


ControlRows = tuple[tuple[str, str, int], ...]


def controls_current(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, ControlValue]:
    """Every control and the record that set it, in one SELECT."""
    return controls_of(control_rows(using=using))


def control_rows(*, using: str = DEFAULT_DB_ALIAS) -> ControlRows:
    """The same as it is stored: who reads it often can tell by it that nothing has changed."""
    return tuple(_rows("SELECT key, value, sequence FROM audit_controlcurrent", using=using))


def controls_of(rows: ControlRows) -> dict[str, ControlValue]:
    """What stored controls say."""
    return {key: ControlValue(_value_of(text), sequence) for key, text, sequence in rows}


def _value_of(text: str) -> Any:
    """What a control's text says. Only values that nobody can change are shared between callers."""
    return json.loads(text) if text.startswith(("{", "[")) else _plain_value_of(text)


@lru_cache(maxsize=1024)
def _plain_value_of(text: str) -> Any:
    return json.loads(text)


def control_value(key: str, *, using: str = DEFAULT_DB_ALIAS) -> ControlValue | None:
    """One control; None when nothing ever set it."""
    rows = _rows("SELECT value, sequence FROM audit_controlcurrent WHERE key = %s", key, using=using)
    return ControlValue(json.loads(rows[0][0]), rows[0][1]) if rows else None


def audit_head(*, using: str = DEFAULT_DB_ALIAS) -> tuple[int, str]:
    """The last sequence and its chained hash; 0 and the genesis hash for an empty log."""
    rows = _rows("SELECT sequence, record_hash FROM audit_audithead WHERE id = 1", using=using)
    return rows[0] if rows else (0, GENESIS_HASH)


def audit_latest(
    limit: int, kind: str | None = None, symbol: str | None = None, *, using: str = DEFAULT_DB_ALIAS
) -> list[StoredRecord]:
    """The newest records first, of one kind or symbol when given."""
    given = [(column, value) for column, value in (("kind", kind), ("symbol", symbol)) if value is not None]
    where = " AND ".join(f"{column} = %s" for column, _ in given) or "1 = 1"
    sql = f"SELECT {COLUMNS} FROM audit_auditrecord WHERE {where} ORDER BY sequence DESC LIMIT %s"
    return [stored_record(row) for row in _rows(sql, *(value for _, value in given), limit, using=using)]


def audit_after(sequence: int, limit: int, *, using: str = DEFAULT_DB_ALIAS) -> list[StoredRecord]:
    """Records that follow a sequence, oldest first."""
    sql = f"SELECT {COLUMNS} FROM audit_auditrecord WHERE sequence > %s ORDER BY sequence LIMIT %s"
    return [stored_record(row) for row in _rows(sql, sequence, limit, using=using)]


def audit_get(audit_id: str, *, using: str = DEFAULT_DB_ALIAS) -> StoredRecord:
    """One record. Raises UnknownName."""
    rows = _rows(f"SELECT {COLUMNS} FROM audit_auditrecord WHERE audit_id = %s", audit_id, using=using)
    if not rows:
        raise UnknownName(f"there is no audit record {audit_id[:32]!r}", field="audit_id")
    return stored_record(rows[0])


def audit_many(audit_ids: Sequence[str], *, using: str = DEFAULT_DB_ALIAS) -> dict[str, StoredRecord]:
    """The records of these ids, in one SELECT; an unknown id is left out."""
    if not audit_ids:
        return {}
    marks = ", ".join(["%s"] * len(audit_ids))
    sql = f"SELECT {COLUMNS} FROM audit_auditrecord WHERE audit_id IN ({marks})"
    records = [stored_record(row) for row in _rows(sql, *audit_ids, using=using)]
    return {record.audit_id: record for record in records}


def checkpoint_latest(*, using: str = DEFAULT_DB_ALIAS) -> tuple[int, str] | None:
    """Sequence and hash of the last record up to which the log was walked and found intact; None before the first."""
    rows = _rows(
        "SELECT sequence, record_hash FROM audit_verifiedcheckpoint ORDER BY sequence DESC LIMIT 1", using=using
    )
    return rows[0] if rows else None


def snapshot_get(digest: str, *, using: str = DEFAULT_DB_ALIAS) -> bytes:
    """The bytes behind a hash. Raises UnknownName, or IntegrityBreach when they no longer have that hash."""
    rows = _rows("SELECT body FROM audit_snapshot WHERE hash = %s", digest, using=using)
    if not rows:
        raise UnknownName(f"there is no snapshot {digest[:64]!r}", field="snapshot")
    try:
        body = zlib.decompress(rows[0][0])
    except zlib.error as error:
        raise IntegrityBreach(f"snapshot {digest} cannot be read: {error}") from error
    if sha256_hex(body) != digest:
        raise IntegrityBreach(f"snapshot {digest} no longer has its hash")
    return body


def audit_verify(
    from_checkpoint: bool = True,
    *,
    using: str = DEFAULT_DB_ALIAS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> VerifyResult:
    """Walk the log from the last verified checkpoint, or the whole of it, and say whether it is intact."""
    return verify_log(from_checkpoint=from_checkpoint, using=using, progress=progress)


def _rows(sql: str, *params: Any, using: str) -> list[tuple[Any, ...]]:
    return statements.rows(sql, params, using=using)
