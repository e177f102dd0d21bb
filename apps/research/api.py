"""What research has found, over HTTP; read only."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.errors import UnknownName
from apps.research import selectors
from apps.web.casing import DataMap
from apps.web.queries import Param, read_query

MOST = 200


class BacktestsView(APIView):
    """The newest backtests."""

    def get(self, request: Request) -> Response:
        limit = read_query(request, Param("limit", "int", default=50, low=1, high=MOST))["limit"]
        return Response(selectors.backtests_latest(limit))


class BacktestView(APIView):
    """One backtest without its long columns."""

    def get(self, request: Request, run_id: str) -> Response:
        read_query(request)
        try:
            return Response(_with_data_maps(selectors.document(selectors.backtest_get(run_id))))
        except UnknownName as error:
            raise Http404(str(error)) from error


def _with_data_maps(found: dict[str, Any]) -> dict[str, Any]:
    """Names of policies and their parameters, and reason codes, keep their spelling."""
    policies = {name: DataMap(values) for name, values in found["parameters"]["policies"].items()}
    counts = found["figures"]["counts"]
    named = {name: DataMap(counts[name]) for name in ("by_status", "by_reason")}
    return {
        **found,
        "parameters": {**found["parameters"], "policies": DataMap(policies)},
        "figures": {**found["figures"], "counts": {**counts, **named}},
    }
