"""Revisions, trips and guard events in the admin. Changes go through the services, where fence and audit are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.audit.read_only import ReadOnlyAdmin
from apps.engine.errors import TradedeskError
from apps.risk import services
from apps.risk.forms import LimitForm, StateForm
from apps.risk.limits import LIMITS
from apps.risk.models import BreakerTrip, GuardEvent, LimitRevision, SymbolUsage, TradingStateRevision
from apps.web.actors import actor_of
from apps.web.clock import market_ms
from apps.web.permissions import has_role, role_of
from apps.web.roles import Role


class ServiceAdmin(ReadOnlyAdmin):
    """Rows that only grow, one service call at a time; what the service refuses is said on the form.

    The admin's own view would open a transaction around it, and the kill fence must be taken before any.
    """

    form_class: type[forms.Form]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request) and has_role(request, Role.OPERATOR)

    def apply(self, values: dict[str, Any], **who: Any) -> None:
        """Call the service with the form's values and who asked."""
        raise NotImplementedError

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.form_class(request.POST or None)
        if form.is_valid() and self._applied(request, form):
            messages.success(request, "Done, and on record.")
            return HttpResponseRedirect(reverse(f"admin:risk_{self.opts.model_name}_changelist"))
        context = {**self.admin_site.each_context(request), "opts": self.opts, "form": form, "title": "Change"}
        return TemplateResponse(request, "risk/admin/change.html", context)

    def _applied(self, request: HttpRequest, form: forms.Form) -> bool:
        try:
            self.apply(form.cleaned_data, actor=actor_of(request), role=role_of(request), ts_ms=market_ms())
        except (TradedeskError, PermissionDenied) as error:
            form.add_error(None, str(error))
        return not form.errors


@admin.register(LimitRevision)
class LimitRevisionAdmin(ServiceAdmin):
    list_display = ("id", "name", "value", "previous", "source", "actor", "reason", "ts_ms")
    list_filter = ("name",)
    form_class = LimitForm

    def apply(self, values: dict[str, Any], **who: Any) -> None:
        limit = LIMITS[values["limit"]]
        services.limits_set(changes={limit.name: limit.counted(values["value"])}, reason=values["reason"], **who)


@admin.register(TradingStateRevision)
class TradingStateRevisionAdmin(ServiceAdmin):
    list_display = ("id", "scope", "state", "previous", "actor", "reason", "ts_ms")
    form_class = StateForm

    def apply(self, values: dict[str, Any], **who: Any) -> None:
        services.trading_state_set(**{**values, "symbol": values["symbol"] or None}, **who)


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
