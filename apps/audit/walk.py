"""Is this row of the log what its bytes, its hashes and the row before it say? Pure: rows in, first breach out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from apps.audit.records import (
    GENESIS_HASH,
    ID_PREFIX,
    REQUIRED_KEYS,
    ControlValue,
    StoredRecord,
    fast_canonical,
    record_hash_of,
)
from apps.engine.codec import digest_id, parse_canonical, require_canonical
from apps.engine.errors import InvalidInput


class Breach(NamedTuple):
    """The first thing that does not fit: at which record, in which class of field, and in words."""

    sequence: int
    audit_id: str | None
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.sequence}, {self.where}: {self.detail}"


class Broken(Exception):
    """Carries a Breach out of the walk."""

    def __init__(self, breach: Breach) -> None:
        super().__init__(breach.detail)
        self.breach = breach


@dataclass
class Walk:
    """The state of a walk over the log, oldest first: where it stands, and what the records have set so far.

    `snapshots` are the hashes that records named since it was last emptied, each with one record that names it.
    """

    sequence: int = 0
    record_hash: str = GENESIS_HASH
    controls: dict[str, ControlValue] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)

    def step(self, row: StoredRecord) -> None:
        """Take the next row. Raises Broken at the first thing that does not fit."""
        if row.sequence != self.sequence + 1:
            raise Broken(_order_breach(self.sequence + 1, row))
        content = _checked_content(row)
        if row.previous_hash != self.record_hash:
            raise _broken(row, "previous_hash", "does not continue the record before it")
        if _record_hash(row) != row.record_hash:
            raise _broken(row, "record_hash", "is not the hash of previous_hash and content_hash")
        _check_projection(row, content)
        self.sequence, self.record_hash = row.sequence, row.record_hash
        for key, value in content.get("controls", {}).items():
            self.controls[key] = ControlValue(value, row.sequence)
        snapshot = content.get("inputs", {}).get("snapshot")
        if snapshot:
            self.snapshots[str(snapshot)] = row.sequence


def _broken(row: StoredRecord, where: str, detail: str) -> Broken:
    return Broken(Breach(row.sequence, row.audit_id, where, f"{where} {detail}"))


def _order_breach(wanted: int, row: StoredRecord) -> Breach:
    if row.sequence > wanted:
        return Breach(wanted, None, "sequence", f"record {wanted} is missing; the next one is {row.sequence}")
    return Breach(row.sequence, row.audit_id, "sequence", f"sequence {row.sequence} comes where {wanted} belongs")


def _record_hash(row: StoredRecord) -> str:
    try:
        return record_hash_of(row.previous_hash, row.content_hash)
    except ValueError as error:
        raise _broken(row, "content_hash", "or previous_hash is not hexadecimal") from error


def _checked_content(row: StoredRecord) -> dict[str, Any]:
    """The body's value, once its bytes carry their hash and are canonical."""
    digest = hashlib.sha256(row.body).hexdigest()
    if digest != row.content_hash:
        is_body = row.audit_id == digest_id(ID_PREFIX, row.content_hash) or _record_hash(row) == row.record_hash
        if is_body:
            raise _broken(row, "body", "was changed: its bytes no longer have the hash in content_hash")
        raise _broken(row, "content_hash", "is not the hash of the stored bytes")
    try:
        content: dict[str, Any] = orjson.loads(row.body)
        require_canonical(content)
        if fast_canonical(content) != row.body:
            content = parse_canonical(row.body)
    except (ValueError, InvalidInput) as error:
        raise _broken(row, "body", f"is not canonical JSON ({error})") from error
    if not _has_shape(content):
        raise _broken(row, "body", "lacks the members that every record has")
    return content


def _has_shape(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and content.keys() >= REQUIRED_KEYS
        and isinstance(content.get("controls", {}), dict)
        and isinstance(content.get("inputs", {}), dict)
    )


def _check_projection(row: StoredRecord, content: dict[str, Any]) -> None:
    inputs = content.get("inputs")
    expected = {
        "sequence": content["sequence"],
        "audit_id": digest_id(ID_PREFIX, row.content_hash),
        "kind": content["kind"],
        "symbol": content.get("symbol") or "",
        "ts_ms": content["tsMs"],
        "actor": content["actor"],
        "inputs_hash": "" if inputs is None else hashlib.sha256(fast_canonical(inputs)).hexdigest(),
    }
    for column, value in expected.items():
        if getattr(row, column) != value:
            raise _broken(row, column, f"holds {getattr(row, column)!r} but the stored bytes say {value!r}")
