"""Django's asynchronous handler, without what a desk that only serves this way need not do for every request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from typing import Any

import django
from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, set_script_prefix

from apps.web.routes import match_of

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class DeskHandler(ASGIHandler):
    """A route is looked up once for both who ask, and a request that needs no thread begins and ends without one.

    Each request has threads of its own, so at its beginning there are no connections in them to close, and no queries
    to forget: the two of Django's that see to that would have one started. What a thread did open is closed at the end,
    by that thread; where there was none, nothing is open, and none is started and joined to find that out.
    """

    def __init__(self) -> None:
        super().__init__()
        for receiver in (reset_queries, close_old_connections):
            request_started.disconnect(receiver)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        match = match_of(request.path_info, settings.ROOT_URLCONF)
        request.resolver_match = match
        return match

    async def handle(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request from its body to its end: the steps of `ASGIHandler.handle`."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with closing(body):
            set_script_prefix(get_script_prefix(scope))
            await request_started.asend(sender=type(self), scope=scope)
            request, refusal = self.create_request(scope, body)
            if request is not None:
                await self._serve(request, receive, send)
            elif refusal is not None:
                await self.send_response(refusal, send)
                await _close(refusal)

    async def _serve(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves first: then whatever makes the answer is told to stop."""
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        answering = asyncio.create_task(self._answer(request, send))
        await asyncio.wait((leaving, answering), return_when=asyncio.FIRST_COMPLETED)
        answering.cancel()  # what is done already stays done
        leaving.cancel()
        told, response = await asyncio.gather(leaving, answering, return_exceptions=True)
        if isinstance(response, asyncio.CancelledError):
            await request_finished.asend(sender=type(self))
        elif isinstance(response, BaseException):
            raise response
        else:
            await _close(response)
        if isinstance(told, BaseException) and not isinstance(told, (RequestAborted, asyncio.CancelledError)):
            raise told

    async def _answer(self, request: HttpRequest, send: Send) -> HttpResponseBase:
        response: HttpResponseBase = await self.run_get_response(request)
        try:
            await self.send_response(response, send)
        except asyncio.CancelledError:
            return response  # the client has left while it was being told
        return response


async def _close(response: HttpResponseBase) -> None:
    """End a request where its connections are: on the thread it has used, if it has used any."""
    if _has_thread() or response.streaming:
        await sync_to_async(response.close, thread_sensitive=True)()
    else:
        response.close()


def _has_thread() -> bool:
    """Whether anything of this request ran on a thread of its own, or belongs on the one of a caller."""
    context = SyncToAsync.thread_sensitive_context.get(None)
    is_called = getattr(AsyncToSync.executors, "current", None) is not None
    return context is None or is_called or context in SyncToAsync.context_to_thread_executor


def desk_handler() -> DeskHandler:
    """The handler of a process that has not set Django up yet."""
    django.setup(set_prefix=False)
    return DeskHandler()
