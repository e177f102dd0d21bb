"""How do the bars we lack get here? Pages of the exchange's history, oldest first, so that a stop loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from channels.db import database_sync_to_async

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput, Unavailable
from apps.engine.values import Bars
from apps.marketdata import selectors, services
from apps.marketdata.exchange.binance import UnreadableRow
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.intake import bars_take
from apps.marketdata.quarantine import REST
from apps.marketdata.services import NOTHING_STORED, StoreResult
from apps.marketdata.storing import BarStore

RULES_EVERY_MS = 3_600_000
RULES_POLL_S, RULES_RETRY_S = 1.0, 60.0
log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far the sync of one symbol is: the bars up to `done_ms` of the way from `start_ms` to `end_ms`."""

    symbol: str
    interval: str
    start_ms: int
    done_ms: int
    end_ms: int
    stored: StoreResult

    @property
    def fraction(self) -> float:
        return (self.done_ms - self.start_ms) / max(1, self.end_ms - self.start_ms)


ProgressSeen = Callable[[Progress], None]


@dataclass
class SyncReport:
    """What a sync did for one symbol. `missing` bars the exchange does not have; `held` ones wait in quarantine.

    `noted` bars were stored though suspect; `last_ms` is the newest one that was received and not held.
    """

    symbol: str
    interval: str
    start_ms: int
    end_ms: int
    stored: StoreResult = NOTHING_STORED
    received: int = 0
    missing: int = 0
    held: int = 0
    noted: int = 0
    last_ms: int | None = None


async def sync_symbols(client: ExchangeClient, symbols: Sequence[str]) -> list[str]:
    """Read and store the rules of the watch list; returns whose filters changed."""
    rules = await client.exchange_info(symbols)
    ts_ms = await client.time()
    changed: list[str] = await database_sync_to_async(services.symbols_store)(rules=rules, ts_ms=ts_ms)
    return changed


async def keep_symbols(client: ExchangeClient, symbols: Sequence[str], now_ms: Callable[[], int]) -> None:
    """Read the rules again every hour of market time, until cancelled; what fails is tried again a minute later."""
    due_ms = 0
    while True:
        await asyncio.sleep(RULES_POLL_S)
        try:
            if now_ms() < due_ms:
                continue
            if due_ms and (changed := await sync_symbols(client, symbols)):
                log.info("the exchange changed its rules for %s", ", ".join(changed))
            due_ms = now_ms() + RULES_EVERY_MS
        except (DataError, Unavailable, InvalidInput) as error:
            log.warning("the exchange's rules were not read: %s", error)
            await asyncio.sleep(RULES_RETRY_S)


async def sync_bars(
    client: ExchangeClient,
    symbol: str,
    interval: str,
    *,
    start_ms: int,
    end_ms: int,
    store: BarStore,
    progress: ProgressSeen | None = None,
    origin: str = REST,
) -> SyncReport:
    """Fetch the closed bars with start_ms <= open < end_ms and let the gate store them, a page per transaction."""
    length = interval_ms(interval)
    ts_ms = await client.time()
    first = -(-start_ms // length) * length
    end = min(end_ms, ts_ms // length * length)
    report = SyncReport(symbol, interval, first, end)
    unreadable: list[UnreadableRow] = []
    async for page in client.klines(symbol, interval, start_ms=first, end_ms=end, unreadable=unreadable):
        await _take(report, page, unreadable, origin, client.venue.source, ts_ms, store)
        if progress is not None:
            progress(Progress(symbol, interval, first, int(page.open_time_ms[-1]) + length, end, report.stored))
    if unreadable:
        await _take(report, selectors.bars_from_rows([]), unreadable, origin, client.venue.source, ts_ms, store)
    report.missing = max(0, (end - first) // length - report.received)
    return report


async def sync_history(
    client: ExchangeClient,
    symbols: Sequence[str],
    interval: str,
    *,
    n_bars: int,
    store: BarStore,
    progress: ProgressSeen | None = None,
) -> list[SyncReport]:
    """Bring every symbol up to the exchange's clock: from its newest stored bar, but at most `n_bars` back."""
    reports = []
    for symbol in symbols:
        await database_sync_to_async(require_one_market)(symbol, interval, client.venue.source)
        now_ms = await client.time()
        start = await database_sync_to_async(history_start)(symbol, interval, now_ms, n_bars)
        reports.append(
            await sync_bars(client, symbol, interval, start_ms=start, end_ms=now_ms, store=store, progress=progress)
        )
    return reports


def history_start(symbol: str, interval: str, now_ms: int, n_bars: int) -> int:
    """Where the sync of a symbol goes on."""
    length = interval_ms(interval)
    oldest_wanted = (now_ms // length - n_bars) * length
    newest = selectors.bar_last(symbol, interval)
    return oldest_wanted if newest is None else max(newest + length, oldest_wanted)


def require_one_market(symbol: str, interval: str, source: str) -> None:
    """Refuse to mix a made-up market with a real one in the same series: nothing learned from it would be true."""
    others = selectors.bar_sources(symbol, interval) - {source}
    if others and (source == "simulated" or "simulated" in others):
        raise IntegrityBreach(
            f"stored {symbol} {interval} bars come from {', '.join(sorted(others))}, not from {source}; "
            "give each market a folder of its own with TRADEDESK_VAR"
        )


async def _take(
    report: SyncReport,
    page: Bars,
    unreadable: list[UnreadableRow],
    origin: str,
    source: str,
    ts_ms: int,
    store: BarStore,
) -> None:
    """Let a page in and count what became of it. Empties `unreadable`."""
    inside = [row for row in unreadable if _is_within(row.open_time_ms, report.start_ms, report.end_ms)]
    unreadable.clear()
    admitted = await database_sync_to_async(bars_take)(
        symbol=report.symbol,
        interval=report.interval,
        bars=page,
        source=source,
        origin=origin,
        ts_ms=ts_ms,
        store=store,
        unreadable=inside,
    )
    report.stored = report.stored.plus(admitted.stored)
    report.received += page.n + len(inside)
    report.held += len(admitted.held) + len(inside)
    report.noted += len(admitted.noted)
    report.last_ms = max(set(page.open_time_ms.tolist()) - set(admitted.held), default=report.last_ms)


def _is_within(open_time_ms: int | None, start_ms: int, end_ms: int) -> bool:
    return open_time_ms is None or start_ms <= open_time_ms < end_ms
