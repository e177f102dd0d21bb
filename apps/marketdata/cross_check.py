"""Is what the stream told us what the exchange now says? Asked of each series on a schedule and after each reconnect.

A stored bar is never changed by the answer: a differing value becomes a quarantine row (reason rest_mismatch) that
keeps both. What the answer has and the desk lacks is stored; what neither has goes into the gap ledger.
"""

from __future__ import annotations

from typing import NamedTuple

from channels.db import database_sync_to_async

from apps.marketdata import selectors
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.gaps import GapReport, gaps_backfill, gaps_reconcile
from apps.marketdata.quarantine import CHECK
from apps.marketdata.storing import BarStore
from apps.marketdata.sync import SyncReport, sync_bars

LEAST_BARS = 5


class CheckReport(NamedTuple):
    """The comparison, the ledger after it, and how many bars came for gaps that were due."""

    compared: SyncReport
    gaps: GapReport
    came: int

    @property
    def newest_ms(self) -> int | None:
        """Open time of the newest bar that the comparison added; None when nothing was missing."""
        return self.compared.last_ms if self.compared.stored.inserted else None


async def series_check(
    client: ExchangeClient, symbol: str, interval: str, *, window_ms: int, until_ms: int, store: BarStore
) -> CheckReport:
    """Compare the bars that closed in the `window_ms` before `until_ms`, then see to the gaps of the series."""
    length = interval_ms(interval)
    start_ms = until_ms - max(window_ms, LEAST_BARS * length)
    oldest = await database_sync_to_async(selectors.bar_first)(symbol, interval)
    start_ms = max(start_ms, until_ms if oldest is None else oldest)  # what was never here cannot be missing
    compared = await sync_bars(client, symbol, interval, start_ms=start_ms, end_ms=until_ms, store=store, origin=CHECK)
    gaps = await database_sync_to_async(gaps_reconcile)(
        symbol=symbol, interval=interval, start_ms=start_ms, end_ms=until_ms, ts_ms=until_ms
    )
    came = await gaps_backfill(client, symbol, interval, store=store, now_ms=until_ms)
    return CheckReport(compared, gaps, came)
