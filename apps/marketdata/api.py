"""The market over HTTP: stored bars, the watch list, the present price, the state of the feed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.errors import InvalidInput, UnknownName
from apps.marketdata import selectors
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.market import market_view
from apps.marketdata.wire import status_body, tick_of
from apps.web.queries import Param, read_query
from apps.web.values import decimal_text

_ROWS = {200: {"type": "array", "items": {"type": "object"}}}
_SYMBOL = OpenApiParameter("symbol", str)
_WINDOW = [
    OpenApiParameter("interval", str),
    OpenApiParameter("limit", int),
    OpenApiParameter("start", OpenApiTypes.DATETIME),
    OpenApiParameter("end", OpenApiTypes.DATETIME),
]


class OhlcvView(APIView):
    """Candles, oldest first: the newest `limit`, or from `start` on."""

    @extend_schema(parameters=[_SYMBOL, *_WINDOW], responses=_ROWS)
    def get(self, request: Request) -> Response:
        asked = read_query(
            request,
            Param("symbol", "symbol", default=settings.SYMBOLS[0]),
            Param("interval", "text", default=settings.INTERVAL),
            Param("limit", "int", default=500, low=1, high=1_000),
            Param("start", "time"),
            Param("end", "time"),
        )
        symbol = _known(asked["symbol"])
        interval_ms(asked["interval"])
        if asked["start"] is not None and asked["end"] is not None and asked["start"] >= asked["end"]:
            raise InvalidInput("must be after start", field="end")
        rows = selectors.ohlcv(
            symbol, asked["interval"], limit=asked["limit"], start_ms=asked["start"], end_ms=asked["end"]
        )
        return Response(rows)


class SymbolsView(APIView):
    """The watch list with the exchange's rules."""

    @extend_schema(responses=_ROWS)
    def get(self, request: Request) -> Response:
        read_query(request)
        return Response([_symbol_row(info) for info in selectors.watch_list()])


class TickerView(APIView):
    """The present price of a symbol, with its age."""

    @extend_schema(parameters=[_SYMBOL], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        asked = read_query(request, Param("symbol", "symbol", default=settings.SYMBOLS[0]))
        symbol, view = _known(asked["symbol"]), market_view()
        nothing = {"symbol": symbol, "bid": None, "ask": None, "last": None, "ts": None, "ageMs": None}
        return Response({**(tick_of(view, symbol) or nothing), "stale": view.is_stale(symbol, settings.STALE_AFTER_MS)})


class FeedStatusView(APIView):
    """How the price stream is doing."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(status_body(market_view()))


def _known(symbol: str) -> str:
    if symbol not in settings.SYMBOLS and not selectors.is_known(symbol):
        raise UnknownName(f"unknown symbol {symbol!r}", field="symbol")
    return symbol


def _symbol_row(info: selectors.SymbolInfo) -> dict[str, Any]:
    filters = info.filters
    return {
        "symbol": info.symbol,
        "base_asset": info.base_asset,
        "quote_asset": info.quote_asset,
        "status": info.status,
        "tick_size": decimal_text(filters.tick_e8),
        "step_size": decimal_text(filters.step_e8),
        "min_qty": decimal_text(filters.min_qty_e8),
        "min_notional": decimal_text(filters.min_notional_e8),
        "filter_revision": filters.revision,
    }
