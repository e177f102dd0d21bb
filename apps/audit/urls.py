"""Routes of the audit log."""

from __future__ import annotations

from apps.audit.api import AuditLatestView, AuditRecordView, AuditReplayView, AuditVerifyView
from apps.web.routes import route

urlpatterns = [
    route("api/audit/latest", AuditLatestView, name="audit-latest"),
    route("api/audit/verify", AuditVerifyView, name="audit-verify"),
    route("api/audit/<audit_id>/replay", AuditReplayView, name="audit-replay"),
    route("api/audit/<audit_id>", AuditRecordView, name="audit-record"),
]
