"""Is the market data well? How old the newest bars are, and whether the price stream is alive."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.marketdata import quality_selectors, quarantine, selectors
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.hub import hub
from apps.marketdata.market import market_view
from apps.telemetry import health
from apps.web.values import iso_ms


def bars_probe() -> dict[str, Any]:
    """When the newest bar closed, and the age in market time of the symbol that lags most."""
    closes = selectors.newest_close_ms(settings.INTERVAL)
    view = market_view()
    if not closes:
        return {"last_sync_at": None, "age_seconds": None, "status": "degraded"}
    known = len(closes) == len(settings.SYMBOLS)
    if not view.clock.is_set:
        return {"last_sync_at": iso_ms(max(closes.values())), "age_seconds": None, "status": "degraded"}
    age_ms = max(0, view.now_ms() - min(closes.values()))
    # One bar is always still open, and a thin symbol's closing frame may take two seconds.
    fresh = known and age_ms <= 2 * interval_ms(settings.INTERVAL) + settings.STALE_AFTER_MS
    return {
        "last_sync_at": iso_ms(max(closes.values())),
        "age_seconds": age_ms / 1000,
        "status": "ok" if fresh else "degraded",
    }


def stream_probe() -> dict[str, Any]:
    """The clients of this process, and whether prices arrive."""
    status = market_view().status(settings.STALE_AFTER_MS)
    return {
        "clients": hub.n_clients,
        "connected": status.connected,
        "last_beat_at": None if status.last_beat_ms is None else iso_ms(status.last_beat_ms),
        "status": "ok" if status.connected and not status.stale else "degraded",
    }


def quality_probe() -> dict[str, Any]:
    """The candles that wait for a second word, and whether any has waited too long."""
    found = quality_selectors.waiting()
    return {
        "mode": quarantine.quality_mode(),
        "pending": found.pending,
        "alerted": found.alerted,
        "oldest_pending_at": None if found.oldest_ts_ms is None else iso_ms(found.oldest_ts_ms),
        "status": "degraded" if found.alerted else "ok",
    }


health.register("data_quality", quality_probe)
health.register("ohlcv", bars_probe)
health.register("ws", stream_probe)
