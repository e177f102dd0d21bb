"""Who asks about a candle that is not believed? One task beside the stream: the exchange again, and a second endpoint.

Waiting, backoff and the alert count in market time, so that a fast simulated market is not slowed down by it; how
often the table is looked at counts in this machine's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from channels.db import database_sync_to_async
from django.db import transaction

from apps.engine.errors import Conflict, DataError, InvalidInput, Unavailable
from apps.marketdata import quarantine, releasing
from apps.marketdata.exchange.binance import Venue, venue
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.market import MarketView
from apps.marketdata.models import Quarantine
from apps.marketdata.quality_judge import judge_of
from apps.marketdata.quarantine import Note
from apps.marketdata.releasing import Released
from apps.marketdata.storing import BarStore
from apps.marketdata.verdicts import CONFIRM, WAIT, Answer, Verdict, verdict

POLL_S = 0.5
BACKOFF_BASE_MS, BACKOFF_CAP_MS = 2_000, 300_000
ALERT_AFTER_MS = 60_000
ROUND = 50  # candles asked about in one round
OTHER_HOST = {
    "https://data-api.binance.vision": "https://api.binance.com",
    "https://api.binance.com": "https://data-api.binance.vision",
}
log = logging.getLogger(__name__)


class Suspect(NamedTuple):
    """A held candle that is to be asked about."""

    row_id: int
    symbol: str
    interval: str
    open_time_ms: int


def second_client(first: Venue, url: str = "") -> ExchangeClient:
    """The client of the second endpoint: the named address, else another public host, else another call of the same."""
    other = url or OTHER_HOST.get(first.rest_url, "")
    if other:
        return ExchangeClient(venue(first.source, rest_url=other, ws_url=first.ws_url))
    return ExchangeClient(first, klines_path="/api/v3/uiKlines")


class Replacer:
    """Gets held candles their second word, stores what comes of it, and keeps the view's symbols (un)confirmed."""

    def __init__(
        self,
        client: ExchangeClient,
        second: ExchangeClient | None,
        store: BarStore,
        view: MarketView,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._second = second
        self._store = store
        self._view = view
        self._sleep = sleep

    async def run(self) -> None:
        """Look at the table until cancelled. A failure is logged and the round is tried again."""
        while True:
            try:
                if self._view.clock.is_set:
                    await self.round(self._view.now_ms())
            except Exception:
                log.exception("held candles could not be looked after; trying again")
            await self._sleep(POLL_S)

    async def round(self, now_ms: int) -> None:
        """Ask about what is due, alert about what has waited too long, and tell the view what is unconfirmed."""
        due = await self._look(now_ms)
        if due:
            await self.resolve_many(due, now_ms)
            await self._look(now_ms)

    async def resolve_many(self, suspects: Iterable[Suspect], now_ms: int) -> list[Verdict]:
        """Ask about these candles now, whatever they wait for, and act on the answers."""
        return [await self._resolve(suspect, now_ms) for suspect in suspects]

    async def _resolve(self, suspect: Suspect, now_ms: int) -> Verdict:
        again, second = await asyncio.gather(_ask(self._client, suspect), _ask(self._second, suspect))
        try:
            acted: tuple[Verdict, Released | None] = await database_sync_to_async(act_on)(
                *(suspect, again, second, now_ms, self._store)
            )
        except Conflict:
            return Verdict(WAIT, None, "somebody else has decided")
        found, released = acted
        if found.action != WAIT:
            opened = quarantine.time_text(suspect.open_time_ms)
            log.info("%s %s bar %s %s: %s", suspect.symbol, suspect.interval, opened, found.action, found.why)
        if released and released.opens:
            self._view.announce_bar(suspect.symbol, max(released.opens))
        return found

    async def _look(self, now_ms: int) -> list[Suspect]:
        """What is due. Symbols whose newest closed bar is held take no new risk from here on."""
        symbols = self._view.symbols()
        state: tuple[set[str], list[Suspect]] = await database_sync_to_async(_state)(
            *(symbols, _sources(self._client.venue), now_ms)
        )
        unconfirmed, due = state
        for symbol in symbols:
            if self._view.is_unconfirmed(symbol) != (symbol in unconfirmed):
                self._view.set_unconfirmed(symbol, symbol in unconfirmed)
        return due


def _state(symbols: Sequence[str], sources: Sequence[str], now_ms: int) -> tuple[set[str], list[Suspect]]:
    alerts_raise(now_ms)
    return quarantine.unconfirmed_symbols(symbols, now_ms), suspects_due(now_ms, sources)


def suspects_due(now_ms: int, sources: Sequence[str]) -> list[Suspect]:
    """Held candles whose time has come, oldest first."""
    rows = quarantine.pending().filter(source__in=sources, next_try_ts_ms__lte=now_ms, open_time_ms__isnull=False)
    return _suspects(rows[:ROUND])


def suspects_of(symbol: str, interval: str) -> list[Suspect]:
    """All held candles of a series that can be asked about, oldest first."""
    rows = quarantine.pending(symbol, interval).filter(open_time_ms__isnull=False)
    return _suspects(rows)


def _suspects(rows: Iterable[Quarantine]) -> list[Suspect]:
    return [
        Suspect(row.pk, row.symbol_id, row.interval, row.open_time_ms) for row in rows if row.open_time_ms is not None
    ]


@transaction.atomic
def act_on(
    suspect: Suspect, again: Answer, second: Answer, now_ms: int, store: BarStore
) -> tuple[Verdict, Released | None]:
    """Weigh two answers and store, or wait longer. Raises Conflict when the candle has its verdict already."""
    row = releasing.locked(suspect.row_id)
    judge = judge_of(suspect.symbol, suspect.interval)
    candle = quarantine.candle_of(row)
    storable = candle if candle is not None and judge.is_whole(candle, now_ms) else None
    is_whole = again.candle is not None and judge.is_whole(again.candle, now_ms)
    is_suspect = is_whole and again.candle is not None and judge.suspicion(again.candle) is not None
    found = verdict(suspect=storable, again=again, second=second, again_is_whole=is_whole, again_is_suspect=is_suspect)
    said = {"exchange": _said(again), "second": _said(second)}
    if found.candle is None:
        _wait_longer(row, now_ms, {"why": found.why, **said})
        return found, None
    why = found.why if found.action == CONFIRM or candle is not None else f"unreadable as it came; {found.why}"
    return found, releasing.release(
        row, found.candle, actor=quarantine.ACTOR, ts_ms=now_ms, why=why, said=said, store=store
    )


def alerts_raise(now_ms: int) -> int:
    """Say once, loudly and in the audit, that a candle has waited too long for its second word."""
    overdue = quarantine.pending().filter(alerted_ts_ms__isnull=True, found_ts_ms__lte=now_ms - ALERT_AFTER_MS)
    if not overdue.exists():
        return 0  # asked every half second, and a transaction for nothing would hold up the writers
    with transaction.atomic():
        notes = [_alert(row, now_ms) for row in overdue.select_for_update()[:ROUND]]
        quarantine.notes_write(notes)
    return len(notes)


def _alert(row: Quarantine, now_ms: int) -> Note:
    row.alerted_ts_ms = now_ms
    row.save(update_fields=["alerted_ts_ms"])
    opened = "of an unknown time" if row.open_time_ms is None else quarantine.time_text(row.open_time_ms)
    log.error(
        "%s %s bar %s has been held for more than %d s (%s): %s",
        *(row.symbol_id, row.interval, opened, ALERT_AFTER_MS // 1000, row.reason, row.detail),
    )
    return quarantine.note_of(row, "alert", quarantine.ACTOR, now_ms)


def backoff_ms(attempts: int) -> int:
    """How long to wait after so many answers that settled nothing."""
    return int(min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** min(attempts, 20)))


def _wait_longer(row: Quarantine, now_ms: int, evidence: dict[str, Any]) -> None:
    row.attempts += 1
    row.next_try_ts_ms = now_ms + backoff_ms(row.attempts)
    row.evidence = {**row.evidence, **evidence}
    row.save(update_fields=["attempts", "next_try_ts_ms", "evidence"])


def _said(answer: Answer) -> str:
    return quarantine.candle_text(answer.candle) if answer.candle else answer.error or "no such bar"


async def _ask(client: ExchangeClient | None, suspect: Suspect) -> Answer:
    if client is None:
        return Answer(None, "there is no second endpoint")
    try:
        bars = await client.kline(suspect.symbol, suspect.interval, suspect.open_time_ms)
    except (Unavailable, DataError, InvalidInput) as error:
        return Answer(None, str(error)[:240])
    return Answer(None) if bars is None else Answer(quarantine.candles_of(bars)[0])


def _sources(first: Venue) -> tuple[str, ...]:
    """Files of the real market can be asked about at the real exchange only."""
    return (first.source, "import") if first.source == "binance" else (first.source,)
