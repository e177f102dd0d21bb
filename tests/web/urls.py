"""The desk's URLconf with a few views that only tests need."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.errors import Conflict, InvalidInput, Unavailable, UnknownName
from apps.web.bodies import Field, read_body
from apps.web.casing import DataMap
from apps.web.error_views import bad_request, not_found, permission_denied, server_error
from apps.web.queries import Param, read_query
from apps.web.routes import route
from apps.web.values import decimal_text
from tradedesk.urls import urlpatterns as desk_patterns

handler400, handler403, handler404, handler500 = bad_request, permission_denied, not_found, server_error
ERRORS = {
    "invalid": InvalidInput("is odd", field="stop_price"),
    "symbol": UnknownName("unknown symbol 'X'", field="symbol"),
    "name": UnknownName("unknown flag 'X'", field="flag"),
    "conflict": Conflict("already there"),
    "unavailable": Unavailable("not now"),
    "bug": RuntimeError("a bug"),
}


class EchoView(APIView):
    """Says back what it read."""

    permission_classes: list[Any] = []

    def get(self, request: Any) -> Response:
        names = read_query(
            request,
            Param("symbol", "symbol"),
            Param("limit", "int", default=50, low=1, high=1000),
            Param("start", "time"),
            Param("detail", "bool", default=False),
        )
        return Response({**names, "by_reason": DataMap({"some_reason": {"seen_at": 1.5}})})

    def post(self, request: Any) -> Response:
        order = read_body(
            request,
            Field("symbol", "symbol"),
            Field("quantity", "decimal_e8", low=1),
            Field("client_order_id", "text", required=False),
            Field("is_test", "bool", required=False),
            Field("side", "text", required=False, choices=("BUY", "SELL")),
            Field("count", "int", required=False),
            Field("weight", "number", required=False),
            Field("hyper", "map", required=False),
        )
        return Response({**order, "quantity": decimal_text(order["quantity"])})


class RaisingView(APIView):
    """Raises what its path names."""

    permission_classes: list[Any] = []

    def get(self, request: Any, name: str) -> Response:
        raise ERRORS[name]

    post = get


opened: list[Any] = []
stopped: list[str] = []


@csrf_exempt
async def here(request: HttpRequest) -> HttpResponse:
    """Answers on the event loop's own thread."""
    return HttpResponse(b"{}")


@csrf_exempt
async def thread(request: HttpRequest) -> HttpResponse:
    """Asks the database, on a thread of the request; the database is to be closed at its end."""

    def ask() -> None:
        connection = connections["default"]
        connection.ensure_connection()
        connection.close_at = 0.0
        opened.append(connection)

    await sync_to_async(ask)()
    return HttpResponse(b"{}")


@csrf_exempt
async def never(request: HttpRequest) -> HttpResponse:
    """Goes on until it is told to stop."""
    try:
        await asyncio.Event().wait()
    finally:
        stopped.append("never")
    return HttpResponse(b"{}")


class UnlistedView(APIView):
    """Has no row in the role table."""

    def get(self, request: Any) -> Response:
        return Response({})


class FlagsProbe(APIView):
    """Stands on a row of the table, to try its rules."""

    def get(self, request: Any) -> Response:
        return Response({"user": str(request.user)})

    post = get


urlpatterns = [
    route("test/here", here, name="test-here"),
    route("test/thread", thread, name="test-thread"),
    route("test/never", never, name="test-never"),
    route("test/echo", EchoView, name="test-echo"),
    route("test/raise/<name>", RaisingView, name="test-raise"),
    route("test/unlisted", UnlistedView, name="test-unlisted"),
    route("test/control", FlagsProbe, name="guards-limits"),
    route("test/read", FlagsProbe, name="market-symbols"),
    route("test/paper", FlagsProbe, name="exec-plan-and-execute"),
    *desk_patterns,
]
