"""What an orchestrator, a monitor and a scraper ask."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.telemetry import health
from apps.web.permissions import require_access


class ProbeView(APIView):
    """Answers without asking who wants to know: no session, no token, so no database."""

    authentication_classes: list[Any] = []


@extend_schema(responses={200: OpenApiTypes.OBJECT})
class LivezView(ProbeView):
    """Whether this process answers at all. Touches nothing, so that a slow database restarts nothing."""

    def get(self, request: Any) -> Response:
        return Response({"status": "ok"})


@extend_schema(responses={200: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT})
class ReadyzView(ProbeView):
    """Whether this process should be sent requests."""

    def get(self, request: Any) -> Response:
        answer = health.readiness()
        return Response(answer, status=200 if answer["ready"] else 503)


@extend_schema(responses={200: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT})
class HealthView(ProbeView):
    """How the desk and each of its parts are."""

    def get(self, request: Any) -> Response:
        answer = health.report()
        return Response(answer, status=503 if answer["status"] == health.DOWN else 200)


@never_cache
@require_GET
@require_access
def metrics(request: HttpRequest) -> HttpResponse:
    """Everything that is counted, as Prometheus or OpenMetrics text."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(REGISTRY), content_type=content_type)
