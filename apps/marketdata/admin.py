"""Candles that were not believed, for a person to judge: every verdict goes through the services, and is audited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.audit.read_only import ReadOnlyAdmin
from apps.engine.errors import Conflict, DataError, InvalidInput
from apps.marketdata import quarantine, releasing
from apps.marketdata.market import market_view
from apps.marketdata.models import Gap, QualityCount, Quarantine
from apps.web.actors import actor_of
from apps.web.clock import market_ms
from apps.web.permissions import has_role
from apps.web.roles import Role

JUDGED_HERE = "judged in the admin"


def _text(ts_ms: int | None) -> str:
    return "—" if ts_ms is None else quarantine.time_text(ts_ms)


@admin.register(Quarantine)
class QuarantineAdmin(ReadOnlyAdmin):
    list_display = ("id", "symbol", "interval", "opened", "reason", "score", "status", "origin", "found", "resolved_by")
    list_filter = ("status", "reason", "symbol", "origin", "mode")
    search_fields = ("detail", "raw_hash")
    ordering = ("-id",)
    list_select_related = ("symbol",)
    show_full_result_count = False
    actions = ("confirm", "discard", "ask_again")  # type: ignore[assignment] # the read-only page has none

    @admin.display(description="open time", ordering="open_time_ms")
    def opened(self, row: Quarantine) -> str:
        return _text(row.open_time_ms)

    @admin.display(description="found", ordering="found_ts_ms")
    def found(self, row: Quarantine) -> str:
        return _text(row.found_ts_ms)

    def has_judge_permission(self, request: HttpRequest) -> bool:
        """Operators judge candles; whoever may only look gets no actions."""
        return self.has_view_permission(request) and has_role(request, Role.OPERATOR)

    @admin.action(description="Confirm: store as it came", permissions=["judge"])
    def confirm(self, request: HttpRequest, rows: QuerySet[Quarantine]) -> None:
        def act(**who: Any) -> None:
            released = releasing.candle_confirm(reason=JUDGED_HERE, **who)
            market_view().announce_bar(released.symbol, max(released.opens))

        self._each(request, rows, act, "confirmed and stored")

    @admin.action(description="Discard: never store", permissions=["judge"])
    def discard(self, request: HttpRequest, rows: QuerySet[Quarantine]) -> None:
        def act(**who: Any) -> None:
            releasing.candle_discard(reason=JUDGED_HERE, **who)

        self._each(request, rows, act, "discarded")

    @admin.action(description="Ask the exchanges again", permissions=["judge"])
    def ask_again(self, request: HttpRequest, rows: QuerySet[Quarantine]) -> None:
        self._each(request, rows, releasing.candle_ask_again, "asked about again at once")

    def _each(self, request: HttpRequest, rows: QuerySet[Quarantine], act: Callable[..., None], done: str) -> None:
        """Act on each row in a transaction of its own, oldest bar first, and say what could not be done."""
        n_done = 0
        for row_id in rows.order_by("open_time_ms", "id").values_list("pk", flat=True):
            try:
                act(row_id=row_id, actor=actor_of(request), ts_ms=market_ms())
                n_done += 1
            except (Conflict, InvalidInput, DataError) as error:
                self.message_user(request, f"Candle {row_id}: {error}", messages.WARNING)
        if n_done:
            self.message_user(request, f"{n_done} {done}.", messages.SUCCESS)


@admin.register(QualityCount)
class QualityCountAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "interval", "checked", "accepted")
    list_select_related = ("symbol",)


@admin.register(Gap)
class GapAdmin(ReadOnlyAdmin):
    list_display = ("id", "symbol", "interval", "first", "end", "state", "attempts")
    list_filter = ("state", "symbol", "interval")
    ordering = ("-first_ms",)
    list_select_related = ("symbol",)

    @admin.display(description="from", ordering="first_ms")
    def first(self, row: Gap) -> str:
        return _text(row.first_ms)

    @admin.display(description="to", ordering="end_ms")
    def end(self, row: Gap) -> str:
        return _text(row.end_ms)
