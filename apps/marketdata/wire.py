"""How do prices and the state of the feed look on the wire?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from apps.marketdata.market import MarketView
from apps.web.values import decimal_text, iso_ms


class Frame(NamedTuple):
    """A message encoded once for many browsers: all of its text but the opening `{"seq":n`, which is each one's own."""

    tail: str
    n_bytes: int


def frame_of(message: Mapping[str, Any]) -> Frame:
    """Encode a message, which must not be empty."""
    encoded = orjson.dumps(message)
    return Frame("," + encoded[1:].decode(), len(encoded))


def stamp(view: MarketView) -> str | None:
    """Market time as it stands in a frame; None while it is not known."""
    return iso_ms(view.now_ms()) if view.clock.is_set else None


def ticks_message(kind: str, ts: str | None, encoded_ticks: Iterable[bytes], **more: Any) -> dict[str, Any]:
    """A message of prices that are encoded already."""
    return {"type": kind, "ts": ts, "ticks": [orjson.Fragment(tick) for tick in encoded_ticks], **more}


def tick_of(view: MarketView, symbol: str) -> dict[str, Any] | None:
    """The present price of a symbol in wire spelling; None while it has none. Before its first trade `last` is null."""
    quote = view.quote(symbol)
    if quote is None or not view.clock.is_set:
        return None
    return {
        "symbol": symbol,
        "bid": decimal_text(quote.bid_e8),
        "ask": decimal_text(quote.ask_e8),
        "last": decimal_text(quote.last_e8) if quote.last_e8 else None,
        "ts": iso_ms(quote.ts_ms),
        "ageMs": max(0, view.now_ms() - quote.ts_ms),
    }


def status_message(view: MarketView) -> dict[str, Any]:
    """What a page must know at once when it changes."""
    status = view.status(settings.STALE_AFTER_MS)
    return {"connected": status.connected, "stale": status.stale, "source": status.source}


def status_body(view: MarketView) -> dict[str, Any]:
    """The answer of the status call, in snake_case."""
    status = view.status(settings.STALE_AFTER_MS)._asdict()
    times = {name: status.pop(f"{name[:-3]}_ms") for name in ("last_beat_at", "last_message_at")}
    return {**status, **{name: None if ts_ms is None else iso_ms(ts_ms) for name, ts_ms in times.items()}}
