"""The paper account over HTTP: what it holds, how it stands, and a fresh start."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.execution import selectors, services
from apps.marketdata.market import market_view
from apps.web.actors import actor_of
from apps.web.bodies import Field, read_body
from apps.web.queries import read_query


class PositionsView(APIView):
    """One row per symbol of the watch list, quantity "0" when flat."""

    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(selectors.positions())


class AccountView(APIView):
    """The paper account of the current epoch."""

    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(selectors.account())


class AccountResetView(APIView):
    """Start a new epoch with fresh cash; the old one stays on record."""

    def post(self, request: Request) -> Response:
        body = read_body(request, Field("reason", "text"), Field("confirmation", "text", required=False))
        services.account_reset(
            actor=actor_of(request),
            reason=body["reason"],
            confirmation=body["confirmation"],
            ts_ms=market_view().now_ms(),
        )
        return Response(selectors.account(), status=201)
