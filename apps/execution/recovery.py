"""May this desk start trading? Recompute the book from fills and verify the audit log; halt it on any mismatch."""

from __future__ import annotations

from apps.audit import selectors as audit
from apps.audit import services as audit_services
from apps.execution.reconciler import Reconciler, halt_reason
from apps.risk import services as risk


def start_check(*, ts_ms: int) -> str | None:
    """Verify log and book; the reason why the desk was HALTED, None when all is well."""
    verified = audit.audit_verify()
    if not verified.intact:
        reason = f"the audit log is broken at record {verified.first_broken}"
        risk.kill_engage(actor="recovery", reason=reason, ts_ms=ts_ms)
        return reason
    audit_services.checkpoint_record(result=verified)
    checked = Reconciler().check(ts_ms=ts_ms)
    return halt_reason(checked.differences) if checked is not None and checked.differences else None
