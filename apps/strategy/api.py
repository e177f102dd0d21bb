"""What has been learned, over HTTP."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.errors import Unavailable, UnknownName
from apps.strategy import selectors
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
        return Response(_document(symbol, regime))


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
