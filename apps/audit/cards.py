"""The audit card: how long the chain is, how far it was verified, and its newest links."""

from __future__ import annotations

from typing import Any

from apps.audit.records import StoredRecord
from apps.audit.selectors import audit_head, audit_latest, checkpoint_latest
from apps.dashboard import cards

SHOWN_RECORDS = 5


def audit_context() -> dict[str, Any]:
    """The head of the log, the last verified checkpoint, and the newest records."""
    sequence, record_hash = audit_head()
    checkpoint = checkpoint_latest()
    verified = checkpoint[0] if checkpoint else None
    return {
        "sequence": sequence,
        "record_hash": record_hash if sequence else None,
        "verified": verified,
        "since": None if verified is None else max(0, sequence - verified),
        "rows": [_row(record) for record in audit_latest(SHOWN_RECORDS)],
    }


def _row(record: StoredRecord) -> dict[str, Any]:
    return {
        "audit_id": record.audit_id,
        "sequence": record.sequence,
        "ts_ms": record.ts_ms,
        "kind": record.kind,
        "symbol": record.symbol,
        "actor": record.actor,
        "record_hash": record.record_hash,
    }


cards.register(
    cards.Card("audit", "Audit log", "audit/cards/audit.html", audit_context, order=80, span=4, query_budget=3)
)
