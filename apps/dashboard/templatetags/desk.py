"""What a template says to print a number: `{% load desk %}`, then a filter per kind, or a tag with arrow and color."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.dashboard import formats
from apps.dashboard.fragments import CACHE, beat_of, header_parts
from apps.dashboard.pages import HEADER_ONLY, Page, pages_in_order
from apps.engine.values import E8
from apps.web.values import iso_ms

register = template.Library()
REFRESH_S = 5

for _filter in (
    *(formats.money, formats.price, formats.age, formats.bps, formats.percent, formats.tone, formats.number),
    *(formats.time_short, formats.date_time, formats.hash_short, formats.pretty_json),
):
    register.filter(_filter.__name__, _filter)
register.filter("e8", formats.decimal_e8)


@register.filter
def signed_money(count: Any, currency: str = "USDT") -> str:
    return formats.money(count, currency, signed=True)


@register.filter
def signed_bps(value: Any) -> str:
    return formats.bps(value, signed=True)


@register.filter
def signed_percent(fraction: Any, places: int = 2) -> str:
    return formats.percent(fraction, places, signed=True)


@register.filter
def signed_number(value: Any, places: int = 2) -> str:
    return formats.number(value, places, signed=True)


@register.simple_tag
def delta(value: Any, text: str) -> SafeString:
    """A signed value with arrow and color: `{% delta pnl_e8 pnl_e8|signed_money %}`. The text carries the sign."""
    direction = formats.tone(value)
    template_text = '<span class="delta {}"><span class="arrow" aria-hidden="true">{}</span> {}</span>'
    return format_html(template_text, direction, formats.ARROWS[direction], text)


@register.simple_tag
def when(ts_ms: Any, style: str = "time") -> SafeString | str:
    """A `<time>`: the time of day (or `"date"`), the whole instant in its tooltip."""
    if not formats.is_number(ts_ms):
        return formats.MISSING
    text = formats.date_time(ts_ms) if style == "date" else formats.time_short(ts_ms)
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', iso_ms(int(ts_ms)), text)


@register.simple_tag
def sparkline(values: Sequence[float], label: str, width: int = 96, height: int = 22) -> SafeString | str:
    """A line without axes, colored by its direction; `label` says in words what it shows."""
    heights = formats.finite(values)
    if len(heights) < 2:
        return formats.MISSING
    direction, points = formats.tone(heights[-1] - heights[0]), formats.points(heights, width, height)
    return format_html(
        '<svg class="spark {}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        '<polyline points="{}" /></svg>',
        *(direction, width, height, width, height, label, points),
    )


@register.simple_tag
def meter(fraction: Any, label: str) -> SafeString:
    """How much of a limit is used, from 0 to 1: a bar that turns amber at 75 % and red at 100 %."""
    share = min(max(float(fraction), 0.0), 1.0) if formats.is_number(fraction) else 0.0
    level = "bad" if share >= 1 else "warn" if share >= 0.75 else "good"
    return format_html(
        '<svg class="meter {}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="track" width="100" height="6" /><rect class="fill" width="{}" height="6" /></svg>',
        *(level, label, f"{share * 100:.1f}"),
    )


@register.simple_tag
def equity_chart(rows: Sequence[Sequence[Any]], label: str) -> SafeString:
    """Two lines, equity against buy-and-hold, from rows of (ts_ms, equity_e8, buy_and_hold_e8 or None).

    The numbers travel in an attribute: htmx is told to drop every script element of a response, data blocks included.
    """
    by_second = {int(ts_ms) // 1000: (equity, hold) for ts_ms, equity, hold in rows}
    points = [
        [second, equity / E8, None if hold is None else hold / E8] for second, (equity, hold) in by_second.items()
    ]
    return format_html(
        '<figure class="chart-figure"><div class="chart" data-chart="equity" data-points="{}" role="img"'
        ' aria-label="{}"></div><figcaption class="legend"><span><span class="key"></span>Equity</span>'
        '<span><span class="key hold"></span>Buy and hold</span></figcaption></figure>',
        *(json.dumps(sorted(points), separators=(",", ":")), label),
    )


@register.simple_tag
def price_chart(symbol: str, interval: str, label: str) -> SafeString:
    """Candles of one symbol, kept current by the live prices; buttons with `data-show-symbol` choose another."""
    return format_html(
        '<figure class="chart-figure"><div class="chart" data-chart="price" data-symbol="{}" data-interval="{}"'
        ' role="img" aria-label="{}"></div><figcaption class="note" data-chart-note data-live></figcaption></figure>',
        *(symbol, interval, label),
    )


@register.simple_tag
def live(symbol: str, field: str, text: str) -> SafeString:
    """A value that the price stream keeps current; field is last, bid, ask or age, text what the server knows."""
    return format_html('<span data-price="{}" data-field="{}">{}</span>', symbol, field, text)


@register.inclusion_tag("dashboard/partials/status.html")
def desk_status() -> dict[str, Any]:
    """The live part of the header; only for pages behind a login."""
    return {"parts": [CACHE.html(part) for part in header_parts()]}


@register.simple_tag
def is_simulated() -> bool:
    return bool(settings.EXCHANGE == "simulated")


@register.simple_tag
def desk_version() -> str:
    return str(settings.VERSION)


@register.simple_tag
def desk_symbols() -> str:
    return ",".join(settings.SYMBOLS)


@register.simple_tag
def stale_after_ms() -> int:
    return int(settings.STALE_AFTER_MS)


@register.inclusion_tag("dashboard/partials/refresh.html")
def desk_refresh(page_name: str = HEADER_ONLY) -> dict[str, Any]:
    """The one request every five seconds that keeps a page true, and the beat that its ages are counted from."""
    return {"page_name": page_name, "refresh_s": REFRESH_S, **beat_of(page_name)}


@register.simple_tag
def desk_pages() -> list[Page]:
    return pages_in_order()
