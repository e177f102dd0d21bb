"""How does a block of bars get in? Through the gate; what differs from a stored bar is written down beside it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import transaction

from apps.engine.values import Bars
from apps.marketdata import quarantine, selectors
from apps.marketdata.exchange.binance import UnreadableRow
from apps.marketdata.quality_gate import Admitted, bars_admit
from apps.marketdata.storing import BarStore

MISMATCHES_KEPT = 100  # rows of one block; an exchange that changed a whole page has said enough by then

log = logging.getLogger(__name__)


@transaction.atomic
def bars_take(
    *,
    symbol: str,
    interval: str,
    bars: Bars,
    source: str,
    origin: str,
    ts_ms: int,
    store: BarStore,
    unreadable: Sequence[UnreadableRow] = (),
) -> Admitted:
    """Admit a block in one transaction. A stored bar stays as first observed, and the newer value is kept in a row."""
    for row in unreadable:
        quarantine.unreadable_hold(
            symbol=symbol,
            interval=interval,
            open_time_ms=row.open_time_ms,
            raw=row.raw,
            detail=row.why,
            origin=origin,
            source=source,
            ts_ms=ts_ms,
        )
    admitted = bars_admit(
        symbol=symbol, interval=interval, bars=bars, source=source, origin=origin, ts_ms=ts_ms, store=store
    )
    if admitted.stored.conflicts:
        _note_mismatches(symbol, interval, bars, admitted.stored.conflicts, source, origin, ts_ms)
    return admitted


def _note_mismatches(
    symbol: str, interval: str, bars: Bars, conflicts: Sequence[int], source: str, origin: str, ts_ms: int
) -> None:
    newer = {candle[0]: candle for candle in quarantine.candles_of(bars)}
    kept = selectors.bars_load(symbol, interval, start_ms=min(conflicts), end_ms=max(conflicts) + 1, folded_only=False)
    stored = {candle[0]: candle for candle in quarantine.candles_of(kept)}
    for opened in conflicts[:MISMATCHES_KEPT]:
        quarantine.mismatch_record(
            symbol=symbol,
            interval=interval,
            stored=stored[opened],
            newer=newer[opened],
            source=source,
            ts_ms=ts_ms,
            origin=origin,
        )
    log.warning(
        "%d bars of %s %s came again with other values and stay as first observed, the first at %s",
        *(len(conflicts), symbol, interval, conflicts[0]),
    )
