"""How good is the market data? What was judged, what was not believed, and what became of it, as plain values."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from django.db.models import Count, Min, Q, Sum

from apps.marketdata import quarantine
from apps.marketdata.models import QualityCount, Quarantine
from apps.web.casing import DataMap
from apps.web.values import LATEST_MS

RAW_SHOWN = 1_000
_PRICES = ("open", "high", "low", "close", "volume")


class Waiting(NamedTuple):
    """The candles that have no verdict: how many, how many of them were alerted, and since when the oldest waits."""

    pending: int
    alerted: int
    oldest_ts_ms: int | None


def quality_stats() -> dict[str, Any]:
    """Counts since the desk's first day; `quarantined` are all candles that were ever not believed."""
    judged = QualityCount.objects.aggregate(checked=Sum("checked"), accepted=Sum("accepted"))
    statuses = counts_by("status")
    return {
        "checked": judged["checked"] or 0,
        "accepted": judged["accepted"] or 0,
        "quarantined": sum(statuses.values()),
        **{name: statuses.get(name, 0) for name in (Quarantine.REPLACED, Quarantine.CONFIRMED, Quarantine.PENDING)},
        "by_reason": DataMap(counts_by("reason")),
        "by_symbol": DataMap(counts_by("symbol_id")),
        "mode": quarantine.quality_mode(),
    }


def counts_by(column: str) -> dict[str, int]:
    """How many quarantined candles there are of each value of a column."""
    return dict(Quarantine.objects.order_by(column).values_list(column).annotate(count=Count("pk")))


def judged_by_symbol() -> dict[str, tuple[int, int]]:
    """Per symbol, how many candles were checked and accepted, over all intervals."""
    rows = QualityCount.objects.order_by("symbol_id").values_list("symbol_id")
    return {name: (checked, taken) for name, checked, taken in rows.annotate(Sum("checked"), Sum("accepted"))}


def waiting() -> Waiting:
    """What still waits for a second word."""
    found = quarantine.pending().aggregate(
        pending=Count("pk"), alerted=Count("pk", filter=Q(alerted_ts_ms__isnull=False)), oldest=Min("found_ts_ms")
    )
    return Waiting(found["pending"], found["alerted"], found["oldest"])


def quarantine_latest(limit: int) -> list[dict[str, Any]]:
    """The quarantined candles, newest first."""
    return [_entry(row) for row in Quarantine.objects.order_by("-id")[:limit]]


def quarantine_recent(limit: int) -> list[dict[str, Any]]:
    """The newest quarantined candles in the few words of a card."""
    return [
        {
            "symbol": row.symbol_id,
            "interval": row.interval,
            "open_time_ms": row.open_time_ms if row.open_time_ms and 0 <= row.open_time_ms <= LATEST_MS else None,
            "reason": row.reason,
            "score": row.score,
            "status": row.status,
            "is_pending": row.status == Quarantine.PENDING,
            "why": str(row.evidence.get("why") or row.detail),
        }
        for row in Quarantine.objects.order_by("-id")[:limit]
    ]


def _entry(row: Quarantine) -> dict[str, Any]:
    candle = quarantine.candle_of(row)
    return {
        "id": row.pk,
        "symbol": row.symbol_id,
        "interval": row.interval,
        "open_time": _iso(row.open_time_ms),
        "reason": row.reason,
        "score": row.score,
        "detail": row.detail,
        "origin": row.origin,
        "source": row.source,
        "mode": row.mode,
        "status": row.status,
        "candle": _candle(quarantine.candle_text(candle)) if candle else None,
        "raw": row.raw[:RAW_SHOWN],
        "raw_hash": row.raw_hash,
        "replacement": _candle(row.replacement) if row.replacement else None,
        "replacement_hash": row.replacement_hash or None,
        "evidence": DataMap({name: said for name, said in row.evidence.items() if name != "candle"}),
        "attempts": row.attempts,
        "found_at": _iso(row.found_ts_ms),
        "alerted_at": _iso(row.alerted_ts_ms),
        "resolved_at": _iso(row.resolved_ts_ms),
        "resolved_by": row.resolved_by or None,
    }


def _candle(text: str) -> dict[str, Any]:
    _, *numbers, trades = json.loads(text)
    return {**dict(zip(_PRICES, numbers, strict=True)), "trades": trades}


def _iso(ts_ms: int | None) -> str | None:
    return None if ts_ms is None else quarantine.time_text(ts_ms)
