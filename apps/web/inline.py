"""Which middlewares need no thread? Django sends each of them to one and back, twice a request, lest it should block.

What those here do before and after a view only looks at headers, cookies and memory; the two that may write to the
database say when they would, and then go to the request's thread. WhiteNoise knows no async at all, and one such
middleware makes everything outside it synchronous and everything inside it hop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import MethodType
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from csp.constants import HEADER, HEADER_REPORT_ONLY
from csp.middleware import CheckableLazyObject, CSPMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django_prometheus.middleware import PrometheusAfterMiddleware, PrometheusBeforeMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

HOOKS = ("process_view", "process_template_response")


class Inline:
    """Put before a middleware of Django's kind: under an event loop it runs on the loop's own thread."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        super().__init__(get_response)  # type: ignore[call-arg]  # the middleware that this is put before
        if iscoroutinefunction(get_response):
            for name in HOOKS:
                if hasattr(self, name):
                    setattr(self, name, MethodType(_inline(getattr(self, name)), self))

    def may_block(self, request: HttpRequest) -> bool:
        """Whether what comes after the view reads or writes anything but memory."""
        return False

    async def __acall__(self: Any, request: HttpRequest) -> HttpResponseBase:
        response = self.process_request(request) if hasattr(self, "process_request") else None
        if response is None:
            response = await self.get_response(request)
        if not hasattr(self, "process_response"):
            return cast(HttpResponseBase, response)
        if self.may_block(request):
            return await _threaded(self.process_response, request, response)
        answer: HttpResponseBase = self.process_response(request, response)
        return answer


async def _threaded(call: Callable[..., Any], *args: Any) -> HttpResponseBase:
    """Its result, from the request's thread."""
    answer: HttpResponseBase = await sync_to_async(call, thread_sensitive=True)(*args)
    return answer


def _inline(hook: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def call(_: Any, *args: Any, **kwargs: Any) -> Any:
        return hook(*args, **kwargs)

    return call


class PrometheusBefore(Inline, PrometheusBeforeMiddleware):  # type: ignore[misc]  # untyped
    pass


class PrometheusAfter(Inline, PrometheusAfterMiddleware):  # type: ignore[misc]  # untyped
    pass


class Security(Inline, SecurityMiddleware):
    pass


class Common(Inline, CommonMiddleware):
    pass


class Csrf(Inline, CsrfViewMiddleware):
    pass


class Authentication(Inline, AuthenticationMiddleware):
    pass


class XFrameOptions(Inline, XFrameOptionsMiddleware):
    pass


class ContentSecurityPolicy(Inline, CSPMiddleware):
    """The policy is put together once for all answers that ask for nothing of their own."""

    _common: tuple[Any, str] | None = None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        policy = settings.CONTENT_SECURITY_POLICY
        is_own = any(name.startswith("_csp_") for members in (vars(request), vars(response)) for name in members)
        is_bare = request.path_info.startswith(tuple(policy.get("EXCLUDE_URL_PREFIXES", ())))
        if is_own or is_bare or response.has_header(HEADER) or settings.DEBUG:
            return super().process_response(request, response)
        if self._common is None or self._common[0] is not policy:
            answer = super().process_response(request, response)
            if HEADER in answer.headers and HEADER_REPORT_ONLY not in answer.headers:
                self._common = (policy, answer.headers[HEADER])
            return answer
        response.headers[HEADER] = self._common[1]
        # From here on a nonce would not be in the header: asking for one is an error, as it is in the long way.
        vars(request)["csp_nonce"] = CheckableLazyObject(self._csp_nonce_post_response)
        return response


class Session(Inline, SessionMiddleware):
    """A session that was changed is written."""

    def may_block(self, request: HttpRequest) -> bool:
        return bool(request.session.modified)


class Messages(Inline, MessageMiddleware):
    """Messages that were shown or added are put back into cookie or session."""

    def may_block(self, request: HttpRequest) -> bool:
        storage: Any = getattr(request, "_messages", None)
        return storage is not None and (storage.used or storage.added_new)


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # untyped
    """WhiteNoise, which only looks a path up: a file is served from a thread, anything else goes on where it is."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        super().__init__(get_response)
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self._answer_async(request) if self.is_async else super().__call__(request)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        static_file = self.files.get(request.path_info)
        if static_file is None:
            answer: HttpResponseBase = await self.get_response(request)
            return answer
        return await _threaded(self.serve, static_file, request)
