"""Django's asynchronous handler, without what a desk that only serves this way need not do for every request."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest
from django.urls import ResolverMatch

from apps.web.routes import match_of


class DeskHandler(ASGIHandler):
    """A route is looked up once for both who ask, and a request begins without a thread.

    Each request has threads of its own, so at its beginning there are no connections in them to close, and no queries
    to forget: the two of Django's that see to that would have one started. What a thread did open is closed at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        for receiver in (reset_queries, close_old_connections):
            request_started.disconnect(receiver)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        match = match_of(request.path_info, settings.ROOT_URLCONF)
        request.resolver_match = match
        return match


def desk_handler() -> DeskHandler:
    """The handler of a process that has not set Django up yet."""
    django.setup(set_prefix=False)
    return DeskHandler()
