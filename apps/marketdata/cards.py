"""Cards of market data: prices, the feed they come from and how good it is; and the market's clock in the header."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.dashboard import cards, formats, header
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.lane import Quote
from apps.marketdata.market import market_view
from apps.marketdata.quality_selectors import quality_stats, quarantine_recent, waiting
from apps.marketdata.selectors import bar_last


def prices_context() -> dict[str, Any]:
    """Best prices of the watch list as they are here; the socket keeps them current on the page."""
    quotes = [market_view().quote(symbol) for symbol in settings.SYMBOLS]
    rows = [_price_row(symbol, quote) for symbol, quote in zip(settings.SYMBOLS, quotes, strict=True)]
    return {"rows": rows, "symbol": settings.SYMBOLS[0], "interval": settings.INTERVAL}


def _price_row(symbol: str, quote: Quote | None) -> dict[str, Any]:
    if quote is None:
        return {"symbol": symbol, "last_e8": None, "bid_e8": None, "ask_e8": None, "spread_bps": None}
    return {
        "symbol": symbol,
        "last_e8": quote.last_e8 or None,
        "bid_e8": quote.bid_e8,
        "ask_e8": quote.ask_e8,
        "spread_bps": 2e4 * (quote.ask_e8 - quote.bid_e8) / (quote.ask_e8 + quote.bid_e8),
    }


def feed_context() -> dict[str, Any]:
    """Whether prices arrive, judged by the age of the data itself; `trouble` is a sentence when they do not."""
    view, stale_after_ms = market_view(), int(settings.STALE_AFTER_MS)
    status = view.status(stale_after_ms)
    now_ms = view.now_ms() if view.clock.is_set else None
    rows = [_feed_row(symbol, now_ms) for symbol in settings.SYMBOLS]
    silent_ms = None if now_ms is None or status.last_message_ms is None else max(0, now_ms - status.last_message_ms)
    return {
        "state": "live" if not status.stale else "stale" if status.connected else "disconnected",
        "trouble": _trouble(status.connected, status.stale, now_ms is not None),
        "rows": rows,
        "silent": _age_text(silent_ms),
        "stale_after_ms": stale_after_ms,
        "messages_per_second": status.messages_per_second,
        "reconnects": status.reconnects,
        "dropped": status.dropped,
        "source": status.source,
    }


def _feed_row(symbol: str, now_ms: int | None) -> dict[str, Any]:
    """Ages in market time: of the best prices, of the exchange's own newest word, and of the newest closed bar."""
    view = market_view()
    quote, opened = view.quote(symbol), bar_last(symbol, settings.INTERVAL)
    closed_ms = None if opened is None else opened + interval_ms(settings.INTERVAL)

    def age(ts_ms: int | None) -> str:
        return _age_text(None if now_ms is None or not ts_ms else max(0, now_ms - ts_ms))

    return {
        "symbol": symbol,
        "quote_age": age(quote.ts_ms if quote else None),
        "event_age": age(quote.event_ms if quote else None),
        "bar_age": age(closed_ms),
        "is_stale": view.is_stale(symbol, int(settings.STALE_AFTER_MS)),
    }


def quality_context() -> dict[str, Any]:
    """What was judged and held, and the candles that were last not believed."""
    stats = quality_stats()
    names = ("mode", "checked", "accepted", "quarantined", "confirmed", "replaced", "pending")
    return {**{name: stats[name] for name in names}, "alerted": waiting().alerted, "rows": quarantine_recent(5)}


def _age_text(duration_ms: int | None) -> str:
    """An age to the tenth of a second while it is short: freshness is judged in seconds."""
    if duration_ms is None or duration_ms >= 60_000:
        return formats.age(duration_ms)
    return f"{duration_ms / 1000:.1f} s"


def _trouble(is_connected: bool, is_stale: bool, is_clock_set: bool) -> str:
    if not is_clock_set:
        return "Nothing has arrived from the exchange yet."
    if not is_connected:
        return "The exchange is not connected. Prices are old, and new risk is denied."
    return "The connection is open, but prices are old. New risk is denied where they are." if is_stale else ""


def clock_state() -> header.ClockState | None:
    clock = market_view().clock
    return header.ClockState(clock.now_ms(), round(clock.rate, 2)) if clock.is_set else None


header.register_clock(clock_state)
cards.register(cards.Card("prices", "Prices", "marketdata/cards/prices.html", prices_context, order=20, span=5))
cards.register(
    cards.Card(
        "quality",
        "Data quality",
        "marketdata/cards/quality.html",
        quality_context,
        order=90,
        span=7,
        query_budget=8,
    )
)
cards.register(
    cards.Card(
        "feed",
        "Feed",
        "marketdata/cards/feed.html",
        feed_context,
        order=70,
        span=4,
        query_budget=len(settings.SYMBOLS),
    )
)
