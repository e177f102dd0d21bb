"""Revisions and guard events in the admin, to look at; changes go through the API, where fence and audit are."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.read_only import ReadOnlyAdmin
from apps.risk.models import BreakerTrip, GuardEvent, LimitRevision, SymbolUsage, TradingStateRevision


@admin.register(LimitRevision)
class LimitRevisionAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "value", "previous", "source", "actor", "reason", "ts_ms")
    list_filter = ("name",)


@admin.register(TradingStateRevision)
class TradingStateRevisionAdmin(ReadOnlyAdmin):
    list_display = ("id", "scope", "state", "previous", "actor", "reason", "ts_ms")


@admin.register(GuardEvent)
class GuardEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "symbol", "guard", "verdict", "observed", "limit", "ts_ms")
    list_filter = ("guard",)


@admin.register(SymbolUsage)
class SymbolUsageAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "notional_e8", "orders_last_minute", "ts_ms")


@admin.register(BreakerTrip)
class BreakerTripAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "symbol", "observed", "tripped_at_ms", "until_ms", "reason", "audit_sequence")
    list_filter = ("kind",)
