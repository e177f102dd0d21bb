"""The market's routes."""

from __future__ import annotations

from apps.marketdata.api import FeedStatusView, OhlcvView, SymbolsView, TickerView
from apps.marketdata.quality_api import QualityStatsView, QuarantineView
from apps.web.routes import route

urlpatterns = [
    route("api/market/ohlcv", OhlcvView, name="market-ohlcv"),
    route("api/market/symbols", SymbolsView, name="market-symbols"),
    route("api/market/ticker", TickerView, name="market-ticker"),
    route("api/data-quality/stats", QualityStatsView, name="data-quality-stats"),
    route("api/data-quality/quarantine", QuarantineView, name="data-quality-quarantine"),
    route("api/ws/status", FeedStatusView, name="ws-status"),
]
