"""How does a record look to a reader? The contract's members, each present, `null` with a reason where it is absent.

Members of a body keep the names they were stored under (camelCase, or data such as symbols). Texts that
`codec.float_text` wrote become JSON numbers, unless the raw form is asked for.
"""

from __future__ import annotations

from typing import Any

from apps.audit.records import StoredRecord
from apps.engine.codec import float_from, is_float_text
from apps.engine.errors import InvalidInput
from apps.web.casing import DataMap
from apps.web.values import iso_ms

DECISION_MEMBERS = (
    *("context", "policy", "sizing", "guards", "order", "fills", "position", "rehearsal"),
    "versions",
)
_SHOWN_ELSEWHERE = frozenset({"tsMs", "nullReasons", "sequence", "kind"})


def record_document(record: StoredRecord, *, raw: bool = False) -> dict[str, Any]:
    """The document of one record. Raw: floats stay exact texts, and `body` holds the bytes that were hashed."""
    content, unreadable = _content_of(record)
    show = _as_stored if raw else _as_numbers
    document: dict[str, Any] = DataMap(auditId=record.audit_id, sequence=record.sequence, kind=record.kind)
    for name in DECISION_MEMBERS:
        document[name] = show(content.get(name))
    for name, value in content.items():
        if name not in document and name not in _SHOWN_ELSEWHERE:
            document[name] = show(value)
    document.update(
        inputsHash=record.inputs_hash or None,
        contentHash=record.content_hash,
        previousHash=record.previous_hash,
        recordHash=record.record_hash,
        ts=iso_ms(record.ts_ms),
        tsMs=record.ts_ms,
    )
    takes_none = f"a record of kind {record.kind} takes no decision"
    default = unreadable or ("not recorded" if record.inputs_hash else takes_none)
    document["nullReasons"] = _null_reasons(document, content.get("nullReasons", {}), default)
    if raw:
        document["body"] = record.body.decode(errors="replace")
    return document


def _content_of(record: StoredRecord) -> tuple[dict[str, Any], str]:
    """The body's value; of one that was tampered with nothing, and why, so that the rest of a list can be read."""
    try:
        return record.content, ""
    except InvalidInput as error:
        return {}, f"the stored bytes were changed: {error}"


def _null_reasons(document: dict[str, Any], given: dict[str, str], default: str) -> dict[str, str]:
    names = [name for name in (*DECISION_MEMBERS, "inputsHash") if document[name] is None]
    return DataMap((name, given.get(name, default)) for name in names)


def _as_stored(value: Any) -> Any:
    if isinstance(value, dict):
        return DataMap((key, _as_stored(member)) for key, member in value.items())
    return [_as_stored(member) for member in value] if isinstance(value, list) else value


def _as_numbers(value: Any) -> Any:
    if isinstance(value, str):
        return _number_of(value) if is_float_text(value) else value
    if isinstance(value, dict):
        return DataMap((key, _as_numbers(member)) for key, member in value.items())
    return [_as_numbers(member) for member in value] if isinstance(value, list) else value


def _number_of(text: str) -> float | str:
    try:
        return float_from(text)
    except InvalidInput:
        return text
