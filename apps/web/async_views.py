"""DRF's view for handlers that are coroutines: nothing of a request needs a thread unless it asks the database."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.web.renderers import CamelCaseJSONRenderer

ANYTHING = "*/*"


class AsyncAPIView(APIView):
    """The steps of `APIView.dispatch`, awaiting the handler. Who presents neither token nor session is nobody, which
    needs no look-up; everybody else is looked up on the request's thread."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """The first renderer where the client takes anything: what the search for the best would find."""
        is_any = request.META.get("HTTP_ACCEPT", ANYTHING) == ANYTHING
        if is_any and not request.META.get("QUERY_STRING") and not self.format_kwarg:
            first = self.get_renderers()[0]
            return first, first.media_type
        found: tuple[BaseRenderer, str] = super().perform_content_negotiation(request, force)
        return found

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.args, self.kwargs = args, kwargs
        self.request = asked = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        try:
            if "HTTP_AUTHORIZATION" in request.META or settings.SESSION_COOKIE_NAME in request.COOKIES:
                await sync_to_async(self.initial, thread_sensitive=True)(asked, *args, **kwargs)
            else:
                self.initial(asked, *args, **kwargs)
            name = (request.method or "").lower()
            is_served = name in self.http_method_names
            handler = getattr(self, name, self.http_method_not_allowed) if is_served else self.http_method_not_allowed
            response = handler(asked, *args, **kwargs)
            if isawaitable(response):
                response = await response
        except Exception as error:
            response = self.handle_exception(error)
        self.response = self.finalize_response(asked, response, *args, **kwargs)
        _render_here(request, self.response)
        return self.response


def _render_here(request: HttpRequest, response: Any) -> None:
    """Under an event loop JSON is written on its thread; pages, which templates make, are left to another."""
    renderer: BaseRenderer | None = getattr(response, "accepted_renderer", None)
    if not isinstance(request, ASGIRequest) or not isinstance(renderer, CamelCaseJSONRenderer):
        return

    async def render() -> Response:
        rendered: Response = type(response).render(response)
        return rendered

    response.render = render
