"""What of the market data is measured? Gauges, computed from the view and the bar table at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from apps.marketdata import quality_selectors, selectors
from apps.marketdata.hub import hub
from apps.marketdata.market import MarketView, market_view
from apps.telemetry.metrics import Sample, collect_with, symbol_label


def collect() -> Iterator[Sample]:
    """Every gauge of the market data."""
    view = market_view()
    yield from _of_stream(view)
    yield from _of_quality()
    for symbol, close_ms in selectors.newest_close_ms(settings.INTERVAL).items():
        label = {"symbol": symbol_label(symbol)}
        yield Sample("ohlcv_last_sync_timestamp_seconds", "Close of the newest stored bar", label, close_ms / 1000)
    for symbol in view.symbols():
        quote = view.quote(symbol)
        if quote is not None:
            age_s = max(0, view.now_ms() - quote.ts_ms) / 1000
            label = {"symbol": symbol_label(symbol)}
            yield Sample("price_age_seconds", "Age of bid and ask in market time", label, age_s)


def _of_quality() -> Iterator[Sample]:
    """Counted from rows, so that a restart keeps them."""
    for reason, count in quality_selectors.counts_by("reason").items():
        yield Sample("quarantine_total", "Candles that were not believed", {"reason": reason}, count)
    for status, count in quality_selectors.counts_by("status").items():
        yield Sample("quarantine_candles", "What became of candles that were not believed", {"status": status}, count)
    for symbol, (checked, accepted) in quality_selectors.judged_by_symbol().items():
        label = {"symbol": symbol_label(symbol)}
        yield Sample("quality_checked_total", "Candles judged", label, checked)
        yield Sample("quality_accepted_total", "Candles accepted at once", label, accepted)
    yield Sample("quarantine_alerted", "Held candles that wait too long", {}, quality_selectors.waiting().alerted)


def _of_stream(view: MarketView) -> Iterator[Sample]:
    status = view.status(settings.STALE_AFTER_MS)
    feed = view.feed
    yield Sample("price_stream_connected", "1 while the price stream is connected", {}, float(status.connected))
    yield Sample("price_stream_stale", "1 while any price is too old to trade on", {}, float(status.stale))
    yield Sample("price_stream_messages_per_second", "Frames per second", {}, status.messages_per_second)
    yield Sample("price_stream_messages", "Frames since the start", {}, feed.messages)
    yield Sample("price_stream_backlog", "Closed bars that wait to be stored", {}, status.backlog_size)
    yield Sample("price_stream_dropped", "Frames that were not used", {}, status.dropped)
    yield Sample("price_stream_malformed", "Frames that could not be read", {}, feed.malformed)
    yield Sample("price_stream_unknown", "Frames of a kind the desk does not use", {}, feed.unknown)
    yield Sample("price_stream_reconnects", "Connections that ended", {}, status.reconnects)
    yield Sample("price_stream_conflicts", "Bars that came again with other values", {}, feed.conflicting)
    yield Sample("price_clients", "WebSocket clients of this process", {}, hub.n_clients)
    yield Sample("price_clients_conflated", "Changes overtaken before a client saw them", {}, status.conflated)


collect_with(collect)
