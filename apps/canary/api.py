"""The canary ladder over HTTP."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.canary.selectors import canary_state
from apps.web.queries import read_query


class CanaryStateView(APIView):
    """Which share of each decision is rehearsed, and what the next rung waits for."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(canary_state())
