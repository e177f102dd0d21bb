"""Is the log what it was? Walks stored bytes in pages, takes no lock, and names the first thing that does not fit."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from apps.audit.checkpoints import Checkpoint, checkpoints_read
from apps.audit.records import COLUMNS, GENESIS_HASH, ControlValue, StoredRecord
from apps.audit.walk import Breach, Broken, Walk
from apps.engine.codec import canonical_bytes, sha256_hex
from apps.engine.errors import IntegrityBreach, InvalidInput

PAGE_ROWS = 1000


class VerifyResult(NamedTuple):
    """`intact`, or where it broke first; `records` were walked from `verified_from` on."""

    intact: bool
    records: int
    verified_from: int
    head_hash: str
    first_broken: Breach | None
    head_sequence: int
    controls: dict[str, ControlValue]


def verify_log(
    *,
    from_checkpoint: bool,
    using: str = DEFAULT_DB_ALIAS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> VerifyResult:
    """Walk the log. Records appended meanwhile are left to the next walk.

    From a checkpoint means from the last line of the checkpoint file; without one the whole log is walked.
    """
    log = _Log(using)
    head_sequence, head_hash = 0, GENESIS_HASH
    walk, start = Walk(), 1
    try:
        head_sequence, head_hash = log.head()
        anchors = _anchors(head_sequence)
        if from_checkpoint and anchors:
            walk = _walk_from(log, anchors[-1])
            start = walk.sequence + 1
        _walk_records(log, walk, anchors, head_sequence, progress)
        _check_head(log, walk, head_sequence, head_hash)
        _check_controls(log, walk, head_sequence)
    except Broken as broken:
        return VerifyResult(
            False, walk.sequence - start + 1, start, head_hash, broken.breach, head_sequence, walk.controls
        )
    return VerifyResult(True, walk.sequence - start + 1, start, head_hash, None, head_sequence, walk.controls)


class _Log:
    """Plain reads, each its own statement, so that a long walk holds no lock and no old snapshot."""

    def __init__(self, using: str) -> None:
        self._connection = connections[using]

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def head(self) -> tuple[int, str]:
        rows = self.rows("SELECT sequence, record_hash FROM audit_audithead")
        if len(rows) != 1:
            raise Broken(Breach(0, None, "head", f"the head has {len(rows)} rows instead of 1"))
        return rows[0][0], rows[0][1]

    def record(self, sequence: int) -> StoredRecord | None:
        rows = self.rows(f"SELECT {COLUMNS} FROM audit_auditrecord WHERE sequence = %s", sequence)
        return stored_record(rows[0]) if rows else None

    def records_after(self, sequence: int | None, last: int) -> Iterator[StoredRecord]:
        """Records up to `last` in order; None starts before anything, so that nothing below 1 hides."""
        page = f"SELECT {COLUMNS} FROM audit_auditrecord WHERE sequence > %s AND sequence <= %s ORDER BY sequence"
        after = -(2**63) if sequence is None else sequence
        while rows := self.rows(f"{page} LIMIT {PAGE_ROWS}", after, last):
            yield from map(stored_record, rows)
            after = rows[-1][0]


def stored_record(row: tuple[Any, ...]) -> StoredRecord:
    """A row of COLUMNS. Drivers give blobs as bytes or memoryview; SQLite would also hold a text there."""
    body = row[6].encode() if isinstance(row[6], str) else bytes(row[6])
    return StoredRecord._make((*row[:6], body, *row[7:]))


def controls_digest(controls: dict[str, ControlValue]) -> tuple[str, str]:
    """The canonical text of the controls and its hash."""
    body = canonical_bytes({key: list(control) for key, control in controls.items()})
    return body.decode(), sha256_hex(body)


def _anchors(head_sequence: int) -> list[Checkpoint]:
    try:
        anchors = checkpoints_read()
    except IntegrityBreach as error:
        raise Broken(Breach(0, None, "checkpoint", str(error))) from error
    for anchor in anchors:
        if anchor.sequence > head_sequence:
            detail = f"the log ends at {head_sequence}, but record {anchor.sequence} was verified before"
            raise Broken(Breach(head_sequence + 1, None, "checkpoint", detail))
    return anchors


def _walk_from(log: _Log, anchor: Checkpoint) -> Walk:
    """A walk that stands on the checkpoint, once the database agrees with the file; from the start if it forgot it."""
    record = log.record(anchor.sequence) if anchor.sequence else None
    stored_hash = record.record_hash if record else GENESIS_HASH
    if stored_hash != anchor.record_hash:
        detail = "is not the record that was verified before: the log was rewritten or rolled back"
        raise Broken(Breach(anchor.sequence, record.audit_id if record else None, "checkpoint", detail))
    rows = log.rows("SELECT controls FROM audit_verifiedcheckpoint WHERE sequence = %s", anchor.sequence)
    if not rows:
        return Walk()
    if sha256_hex(rows[0][0].encode()) != anchor.controls_hash:
        raise Broken(Breach(anchor.sequence, None, "checkpoint", "the controls kept with the checkpoint were changed"))
    controls = {key: ControlValue(*value) for key, value in json.loads(rows[0][0]).items()}
    return Walk(sequence=anchor.sequence, record_hash=anchor.record_hash, controls=controls)


def _walk_records(
    log: _Log, walk: Walk, anchors: list[Checkpoint], last: int, progress: Callable[[int, int], None]
) -> None:
    wanted = {anchor.sequence: anchor.record_hash for anchor in anchors}
    for row in log.records_after(walk.sequence or None, last):
        walk.step(row)
        if wanted.get(row.sequence, row.record_hash) != row.record_hash:
            detail = "is not the record that was verified before: the log was rewritten"
            raise Broken(Breach(row.sequence, row.audit_id, "checkpoint", detail))
        if row.sequence % PAGE_ROWS == 0:
            _check_snapshots(log, walk)
            progress(row.sequence, last)
    _check_snapshots(log, walk)


def _check_head(log: _Log, walk: Walk, head_sequence: int, head_hash: str) -> None:
    if walk.sequence < head_sequence:
        detail = f"record {walk.sequence + 1} is missing, although the head says {head_sequence}"
        raise Broken(Breach(walk.sequence + 1, None, "sequence", detail))
    if walk.record_hash != head_hash:
        raise Broken(Breach(head_sequence, None, "head", "the head's hash is not that of the last record"))
    (highest,) = log.rows("SELECT max(sequence) FROM audit_auditrecord")[0]
    (head_now, _) = log.head()
    if highest is not None and (not isinstance(highest, int) or highest > head_now):
        detail = f"record {highest!r} lies beyond the head, which says {head_now}"
        raise Broken(Breach(head_now + 1, None, "head", detail))


def _check_controls(log: _Log, walk: Walk, head_sequence: int) -> None:
    """control_current against what the records set. A control set after the walk began is judged by its own record."""
    rows = log.rows("SELECT key, value, sequence FROM audit_controlcurrent ORDER BY key")
    expected = dict(walk.controls)
    for key, text, sequence in rows:
        control = expected.pop(key, None)
        if sequence > head_sequence:
            control = _control_of_record(log.record(sequence), key)
        if control is None or control.sequence != sequence or canonical_bytes(control.value).decode() != text:
            said = f"record {control.sequence} set it to {control.value!r}" if control else "no record set it"
            raise Broken(Breach(sequence, None, "controls", f"control {key} holds {text}, but {said}"))
    for key, control in expected.items():
        raise Broken(Breach(control.sequence, None, "controls", f"control {key} is gone"))


def _control_of_record(record: StoredRecord | None, key: str) -> ControlValue | None:
    if record is None:
        return None
    try:
        controls = record.content.get("controls") or {}
    except InvalidInput:
        return None
    return ControlValue(controls[key], record.sequence) if key in controls else None


def _check_snapshots(log: _Log, walk: Walk) -> None:
    """Every snapshot that the records of the last page name; they are forgotten afterwards to keep memory constant."""
    for digest in sorted(walk.snapshots):
        rows = log.rows("SELECT body FROM audit_snapshot WHERE hash = %s", digest)
        where = Breach(walk.snapshots[digest], None, "snapshot", f"snapshot {digest}, named by this record, ")
        if not rows:
            raise Broken(where._replace(detail=where.detail + "is gone"))
        try:
            body = zlib.decompress(rows[0][0])
        except zlib.error as error:
            raise Broken(where._replace(detail=where.detail + f"cannot be read: {error}")) from error
        if sha256_hex(body) != digest:
            raise Broken(where._replace(detail=where.detail + "no longer has its hash"))
    walk.snapshots.clear()
