"""What happens to every request before and after its view?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404

from apps.web import request_ids
from apps.web.problems import problem_response
from apps.web.roles import ROLE_TABLE
from apps.web.routes import match_of

ALLOWED_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class Edge:
    """A middleware that may refuse before the view and touch the answer after it, without a thread hop of its own."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_async(request)
        refusal = self.before(request)
        return self.after(request, refusal if refusal is not None else self.get_response(request))

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        refusal = self.before(request)
        return self.after(request, refusal if refusal is not None else await self.get_response(request))

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        """An answer that makes the view unneeded, or None."""
        return None

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer as it leaves."""
        return response


class MethodAllowList(Edge):
    """Stands before django-prometheus, which would turn every method that is tried on a route into new series."""

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        served = _methods_of_route(request.path_info)
        if request.method in served:
            return None
        headers = {
            "Allow": ", ".join(sorted(served)),
            request_ids.HEADER: request_ids.begin(request.headers.get(request_ids.HEADER)),
        }
        response = problem_response(405, None, "This method is not served here.", headers=headers).render()
        # The middlewares that would add these stand further in.
        response.headers["Content-Length"] = str(len(response.content))
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _methods_of_route(path: str) -> Collection[str]:
    """What the role table lists for the route; every usual method where it lists nothing or there is no route."""
    try:
        match = match_of(path, settings.ROOT_URLCONF)
    except Resolver404:
        return ALLOWED_METHODS
    row = {} if match.namespaces else ROLE_TABLE.get(match.url_name or "", {})
    return {*row, "HEAD"} if "GET" in row else row or ALLOWED_METHODS


class RequestId(Edge):
    """Gives the request its id and tells it back."""

    def before(self, request: HttpRequest) -> None:
        request_ids.begin(request.headers.get(request_ids.HEADER))

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers[request_ids.HEADER] = request_ids.current()
        return response


class BodyLimit(Edge):
    """The second belt behind the server's own limit: an announced length above it is refused unread."""

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        announced = request.META.get("CONTENT_LENGTH") or "0"
        if not (announced.isascii() and announced.isdigit()):
            return _refuse(400, "The Content-Length header is not a number.", field="Content-Length")
        if len(announced) > 18 or int(announced) > settings.BODY_LIMIT_BYTES:
            return _refuse(413, f"The body is larger than {settings.BODY_LIMIT_BYTES} bytes.", field="body")
        return None


def _refuse(status: int, detail: str, *, field: str) -> HttpResponseBase:
    return problem_response(status, None, detail, errors=[{"field": field, "message": detail}]).render()
