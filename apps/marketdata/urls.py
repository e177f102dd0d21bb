"""The market's routes."""

from __future__ import annotations

from apps.marketdata.api import FeedStatusView, OhlcvView, SymbolsView, TickerView
from apps.web.routes import route

urlpatterns = [
    route("api/market/ohlcv", OhlcvView, name="market-ohlcv"),
    route("api/market/symbols", SymbolsView, name="market-symbols"),
    route("api/market/ticker", TickerView, name="market-ticker"),
    route("api/ws/status", FeedStatusView, name="ws-status"),
]
