"""Is the audit log there, and how far is it verified?"""

from __future__ import annotations

from typing import Any

from apps.audit.checkpoints import checkpoints_read
from apps.audit.selectors import audit_head
from apps.telemetry import health


def probe() -> dict[str, Any]:
    """The head, and the last checkpoint outside the database; a head behind it means that records are gone."""
    sequence, record_hash = audit_head()
    known = checkpoints_read()
    verified = known[-1].sequence if known else 0
    return {
        "status": "ok" if sequence >= verified else "down",
        "records": sequence,
        "head_hash": record_hash,
        "verified_to": verified,
    }


health.register("audit", probe, critical=True)
