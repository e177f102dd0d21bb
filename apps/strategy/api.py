"""What has been learned, over HTTP."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.errors import InvalidInput, Unavailable, UnknownName
from apps.strategy import selectors, services
from apps.strategy.situations import nearest
from apps.web.actors import actor_of
from apps.web.bodies import Field, read_body
from apps.web.clock import market_ms
from apps.web.queries import Param, read_query
from apps.web.values import iso_ms


class RegimeStateView(APIView):
    """The regime of a symbol at its newest view."""

    def get(self, request: Request) -> Response:
        symbol = read_query(request, Param("symbol", "symbol", default=settings.SYMBOLS[0]))["symbol"]
        if symbol not in settings.SYMBOLS:
            raise UnknownName(f"unknown symbol; the watch list is {', '.join(settings.SYMBOLS)}", field="symbol")
        regime = selectors.regime_current(symbol)
        if regime is None:
            raise Unavailable(f"{symbol} has no view yet: no bar has been folded")
        watched = {"situation": _situation(symbol), "coverage": selectors.coverage_current(symbol)}
        return Response({**_document(symbol, regime), **watched})


class PoliciesView(APIView):
    """The router's arms; POST enables or disables one, from the next bar that closes."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(selectors.policies_current())

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        body = read_body(request, Field("policy_id", "text"), Field("active", "bool"), Field("reason", "text"))
        try:
            services.policies_set(
                changes={body["policy_id"]: body["active"]},
                actor=actor_of(request),
                reason=body["reason"],
                ts_ms=market_ms(),
            )
        except UnknownName as error:
            raise InvalidInput(str(error), field="policyId") from error
        return Response(selectors.policies_current())


def _situation(symbol: str) -> dict[str, Any]:
    situation = selectors.situation_current(symbol)
    values, reason, novelty = situation.embedding
    return {
        "embedding": None if values is None else list(values),
        "reason": reason or None,
        "novelty": novelty,
        "version": situation.version or None,
        "nearest": [{"open_time": iso_ms(found.time_ms), "distance": found.distance} for found in nearest(situation)],
    }


def _document(symbol: str, regime: dict[str, Any]) -> dict[str, Any]:
    grid_ms = settings.INTERVAL_MS * settings.HORIZON_BARS
    newest_grid_ms = regime["bar_open_ms"] // grid_ms * grid_ms
    return {
        "symbol": symbol,
        "interval": settings.INTERVAL,
        "label": regime["label"],
        "run_length": {"map": regime["mode_length"], "mean": regime["mean_length"]},
        "change_probability": regime["change_probability"],
        "run_length_posterior": [
            {"length": length, "probability": probability} for length, probability in regime["run_lengths"]
        ],
        "volatility": regime["volatility_quantile"],
        "trend": regime["trend"],
        "since": iso_ms(newest_grid_ms - regime["grids_since"] * grid_ms),
        "enabled": regime["enabled"],
        "alarms": regime["alarms"],
        "horizon_bars": settings.HORIZON_BARS,
        "as_of": iso_ms(regime["bar_open_ms"] + settings.INTERVAL_MS),
    }
