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
from apps.engine.order_filters import OrderRules
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
        published = selectors.published_rules()
        return Response([_symbol_row(info, published[info.symbol]) for info in selectors.watch_list()])


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


def _symbol_row(info: selectors.SymbolInfo, published: selectors.PublishedRules) -> dict[str, Any]:
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
        "rules": {
            "max_qty": _bound(filters.max_qty_e8),
            "market_min_qty": _bound(filters.market_min_qty_e8),
            "market_max_qty": _bound(filters.market_max_qty_e8),
            "market_step_size": _bound(filters.market_step_e8),
            "market_max_notional": _bound(filters.max_notional_e8),
            **_order_rules(published.orders),
        },
        # Kept with the revision and never judged: what no order of ours can break, or what nobody has told us yet.
        "unenforced_filters": list(published.others),
    }


def _order_rules(rules: OrderRules) -> dict[str, Any]:
    """The rules of orders with a price or a trigger; null where the exchange has none."""
    return {
        "min_price": _bound(rules.min_price_e8),
        "max_price": _bound(rules.max_price_e8),
        "buy_up": _bound(rules.bid_up_e8),
        "buy_down": _bound(rules.bid_down_e8),
        "sell_up": _bound(rules.ask_up_e8),
        "sell_down": _bound(rules.ask_down_e8),
        "avg_price_mins": rules.avg_price_mins,
        "min_notional": _bound(rules.priced_min_e8),
        "max_notional": _bound(rules.priced_max_e8),
        "max_num_orders": rules.max_orders or None,
        "max_num_algo_orders": rules.max_algo_orders or None,
        "min_trailing_above_delta": rules.min_trail_above_bps or None,
        "max_trailing_above_delta": rules.max_trail_above_bps or None,
        "min_trailing_below_delta": rules.min_trail_below_bps or None,
        "max_trailing_below_delta": rules.max_trail_below_bps or None,
    }


def _bound(value_e8: int) -> str | None:
    return decimal_text(value_e8) if value_e8 else None
