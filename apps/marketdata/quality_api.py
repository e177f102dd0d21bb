"""The quality of the market data over HTTP: counts, and the candles that were not believed."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.marketdata import quality_selectors
from apps.web.queries import Param, read_query


class QualityStatsView(APIView):
    """How many candles were checked, accepted and quarantined, and what became of those."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(quality_selectors.quality_stats())


class QuarantineView(APIView):
    """The quarantined candles, newest first."""

    @extend_schema(
        parameters=[OpenApiParameter("limit", int)], responses={200: {"type": "array", "items": {"type": "object"}}}
    )
    def get(self, request: Request) -> Response:
        asked = read_query(request, Param("limit", "int", default=100, low=1, high=1_000))
        return Response(quality_selectors.quarantine_latest(asked["limit"]))
