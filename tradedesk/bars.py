"""How the desk stores bars: what opens at or before the last folded bar comes too late to be folded."""

from __future__ import annotations

from django.db import transaction

from apps.engine.values import Bars
from apps.marketdata.services import StoreResult, bars_store
from apps.strategy.selectors import fold_lock, fold_watermark_ms


def store_bars(*, symbol: str, interval: str, bars: Bars, source: str, ts_ms: int) -> StoreResult:
    """Store bars, marking late ones. The fold cannot step over a hole meanwhile."""
    with transaction.atomic():
        fold_lock(symbol)
        watermark = fold_watermark_ms(symbol)
        return bars_store(
            symbol=symbol, interval=interval, bars=bars, source=source, ts_ms=ts_ms, fold_watermark_ms=watermark
        )
