"""The ladder's revisions in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.read_only import ReadOnlyAdmin
from apps.canary.models import CanaryRevision


@admin.register(CanaryRevision)
class CanaryRevisionAdmin(ReadOnlyAdmin):
    list_display = ("id", "state", "weight_bps", "actor", "reason", "ts_ms")
