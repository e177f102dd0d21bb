"""Pages of execution for people: why this trade, or why no trade."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.audit.selectors import audit_get
from apps.dashboard.detail import detail_response
from apps.engine.errors import UnknownName
from apps.execution.explanation.order import order_page
from apps.execution.explanation.page import explanation
from apps.execution.order_story import order_story
from apps.marketdata.selectors import watch_list
from apps.web.permissions import require_access


@never_cache
@require_safe
@require_access
def decision(request: HttpRequest, audit_id: str) -> HttpResponse:
    """One audit record, explained."""
    try:
        record = audit_get(audit_id)
    except UnknownName as error:
        raise Http404(str(error)) from error
    assets = {info.symbol: info.base_asset for info in watch_list()}
    shown = explanation(record, asset=assets.get(record.symbol, ""), address=f"{request.scheme}://{request.get_host()}")
    return detail_response(request, **shown)


@never_cache
@require_safe
@require_access
def order(request: HttpRequest, order_id: str) -> HttpResponse:
    """One order and how it filled."""
    try:
        story = order_story(order_id)
    except UnknownName as error:
        raise Http404(str(error)) from error
    assets = {info.symbol: info.base_asset for info in watch_list()}
    return detail_response(request, **order_page(story, assets.get(story["symbol"], "")))
