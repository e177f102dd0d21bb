"""The pages of cards and the one request that refreshes each of them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.dashboard.fragments import CACHE, beat_of, card_parts, header_parts
from apps.dashboard.pages import HEADER_ONLY, PAGES
from apps.web.permissions import require_access
from apps.web.problems import problem_response


@never_cache
@require_safe
@require_access
def page(request: HttpRequest, page_name: str = "desk") -> HttpResponse:
    """A page with all its cards inside, drawn by the code that refreshes them."""
    context = {
        "page": PAGES.get(page_name),
        "title": PAGES.get(page_name).title,
        "card_html": [CACHE.html(part) for part in card_parts(page_name)],
    }
    return render(request, "dashboard/page.html", context)


@never_cache
@require_safe
@require_access
def fragments(request: HttpRequest, page: str) -> HttpResponseBase:
    """Everything on the page that changes, as out-of-band swaps."""
    if page != HEADER_ONLY and page not in PAGES:
        return problem_response(404, None, f"There is no page {page[:64]!r}.").render()
    html = [CACHE.html(part) for part in (*header_parts(), *card_parts(page))]
    html.append(render_to_string("dashboard/partials/beat.html", beat_of(page)))
    return HttpResponse("\n".join(html))
