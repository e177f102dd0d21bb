"""The log in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.models import AuditHead, AuditRecord, ControlCurrent, Snapshot, VerifiedCheckpoint
from apps.audit.read_only import ReadOnlyAdmin


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    list_display = ("sequence", "kind", "symbol", "actor", "ts_ms", "audit_id")
    list_filter = ("kind", "symbol")
    search_fields = ("audit_id",)
    readonly_fields = ("body_text",)
    exclude = ("body",)
    show_full_result_count = False

    @admin.display(description="body")
    def body_text(self, record: AuditRecord) -> str:
        return bytes(record.body).decode()


@admin.register(ControlCurrent)
class ControlCurrentAdmin(ReadOnlyAdmin):
    list_display = ("key", "value", "sequence", "ts_ms")


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ("hash",)
    exclude = ("body",)
    show_full_result_count = False


@admin.register(AuditHead)
class AuditHeadAdmin(ReadOnlyAdmin):
    list_display = ("sequence", "record_hash")


@admin.register(VerifiedCheckpoint)
class VerifiedCheckpointAdmin(ReadOnlyAdmin):
    list_display = ("sequence", "record_hash")
