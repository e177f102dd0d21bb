"""The page of one audit record: a decision explained from end to end, or what else the record holds."""

from __future__ import annotations

from typing import Any

from apps.audit.records import StoredRecord
from apps.audit.rendering import record_document
from apps.audit.selectors import snapshot_get
from apps.dashboard import formats
from apps.dashboard.detail import Cell, Section
from apps.engine.errors import IntegrityBreach, UnknownName
from apps.engine.record import inputs_whole
from apps.execution.answers import numbers
from apps.execution.explanation.choice import arms_section, context_section, sizing_section
from apps.execution.explanation.outcome import summary_section, title, verdict
from apps.execution.explanation.proof import proof_section, record_section, replay_section
from apps.execution.explanation.trade import guards_section, order_section, position_section, rehearsal_section


def explanation(record: StoredRecord, *, asset: str, address: str) -> dict[str, Any]:
    """What `detail_response` shows of a record. `address` is that of this desk, for the line that replays."""
    document = record_document(record)
    if document.get("outcome") is None:
        return _other(record, document)
    try:
        document = whole_document(record)
    except (UnknownName, IntegrityBreach) as error:
        return _other(record, document, trouble=str(error))
    sections = [
        summary_section(document, asset),
        context_section(document),
        arms_section(document, record.content),
        sizing_section(document, asset),
        guards_section(document, asset),
        order_section(document, asset),
        position_section(document, asset),
        rehearsal_section(document, asset),
        proof_section(document),
        replay_section(record.audit_id, address),
        record_section(document),
    ]
    return {
        "title": title(document),
        "subtitle": f"Decision on {record.symbol}, {formats.date_time(record.ts_ms)} UTC, record {record.sequence}",
        "verdict": verdict(document, asset),
        "sections": [section for section in sections if section is not None],
        "links": _links(record),
    }


def whole_document(record: StoredRecord) -> dict[str, Any]:
    """A decision's record with every input by name: records leave out zeros and name their settings by hash.

    Raises UnknownName or IntegrityBreach when the settings are not in the store any more.
    """
    inputs = numbers(inputs_whole(record.content["inputs"], snapshot_get))
    return {**record_document(record), "inputs": inputs}


def _other(record: StoredRecord, document: dict[str, Any], trouble: str = "") -> dict[str, Any]:
    """A change of a control, or a record whose bytes can no longer be read."""
    if record.kind.startswith("execution.decision"):
        trouble = trouble or document["nullReasons"].get("context", "")
    return {
        "title": f"{record.kind}, record {record.sequence}",
        "subtitle": f"{formats.date_time(record.ts_ms)} UTC, by {record.actor}",
        "verdict": Cell(f"This record cannot be believed: {trouble}.", "bad")
        if trouble
        else Cell("A change of the desk, not a decision."),
        "sections": [
            *([Section("Why", note=document["reason"])] if document.get("reason") else []),
            proof_section(document),
            Section("The record", json=formats.pretty_json(document)),
        ],
        "links": _links(record),
    }


def _links(record: StoredRecord) -> list[tuple[str, str]]:
    return [
        ("JSON", f"/api/audit/{record.audit_id}"),
        ("Exact texts and bytes", f"/api/audit/{record.audit_id}?raw=true"),
        ("All records", "/api/audit/latest"),
    ]
