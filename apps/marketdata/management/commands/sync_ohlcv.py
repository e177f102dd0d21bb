"""`manage.py sync_ohlcv`: fetch the closed bars that are missing from the exchange's history, and judge them."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from typing import Any, NamedTuple

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput, Unavailable
from apps.marketdata.connect import desk_client
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.gaps import GapReport, gaps_reconcile
from apps.marketdata.market import market_view
from apps.marketdata.models import Gap
from apps.marketdata.quarantine import pending
from apps.marketdata.releasing import release_kept
from apps.marketdata.replacing import Replacer, second_client, suspects_of
from apps.marketdata.storing import desk_store
from apps.marketdata.sync import Progress, SyncReport, history_start, require_one_market, sync_bars, sync_symbols
from apps.web.values import iso_ms, parse_time

DAY_MS = 86_400_000
INPUT_EXIT, INCOMPLETE_EXIT, UNAVAILABLE_EXIT = 2, 3, 4


class _Outcome(NamedTuple):
    """What a sync fetched, what the ledger says of its window, and how many bars of the series wait in quarantine."""

    report: SyncReport
    gaps: GapReport
    n_pending: int

    @property
    def is_whole(self) -> bool:
        excused = self.gaps.missing.get(Gap.MAINTENANCE, 0)
        return sum(self.gaps.missing.values()) == excused and not self.report.stored.conflicting


class Command(BaseCommand):
    help = (
        "Fetches closed bars, page by page and oldest first; a second call goes on where the first one stopped. "
        "Exit status: 0 done, 1 failed, 2 bad arguments, 3 done but bars are missing "
        "outside known halts, are held in quarantine, or are stored with other values, 4 the exchange did not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbols", default="", help="comma-separated; default: the watch list")
        parser.add_argument("--interval", default=settings.INTERVAL, help="default: %(default)s")
        parser.add_argument("--days", type=float, help="so many days back, whatever is stored already")
        parser.add_argument("--start", help="ISO time or epoch milliseconds")
        parser.add_argument("--end", help="ISO time or epoch milliseconds; default: now")
        parser.add_argument("--json", action="store_true", help="one JSON line per symbol, no progress")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            outcomes = asyncio.run(self._sync(options))
        except InvalidInput as error:
            raise CommandError(f"{error.field}: {error}", returncode=INPUT_EXIT) from error
        except Unavailable as error:
            raise CommandError(str(error), returncode=UNAVAILABLE_EXIT) from error
        except (DataError, IntegrityBreach) as error:
            raise CommandError(str(error), returncode=1) from error
        for outcome in outcomes:
            self.stdout.write(json.dumps(_as_json(outcome)) if options["json"] else _as_line(outcome))
        if not all(outcome.is_whole for outcome in outcomes):
            raise CommandError("not every bar is as the exchange has it", returncode=INCOMPLETE_EXIT)

    async def _sync(self, options: dict[str, Any]) -> list[_Outcome]:
        symbols = [name.strip().upper() for name in options["symbols"].split(",") if name.strip()]
        start_ms, end_ms = _window(options)
        interval_ms(options["interval"])
        progress = None if options["json"] else self._show
        async with desk_client() as client:
            await sync_symbols(client, symbols or settings.SYMBOLS)
            return [
                await self._sync_one(client, symbol, options, start_ms, end_ms, progress)
                for symbol in symbols or settings.SYMBOLS
            ]

    async def _sync_one(
        self,
        client: ExchangeClient,
        symbol: str,
        options: dict[str, Any],
        start_ms: int | None,
        end_ms: int | None,
        progress: Any,
    ) -> _Outcome:
        interval = options["interval"]
        await database_sync_to_async(require_one_market)(symbol, interval, client.venue.source)
        now_ms = await client.time()
        if start_ms is None and options["days"] is not None:
            start_ms = int((end_ms or now_ms) - options["days"] * DAY_MS)
        if start_ms is None:
            start_ms = await database_sync_to_async(history_start)(symbol, interval, now_ms, settings.HISTORY_BARS)
        report = await sync_bars(
            *(client, symbol, interval),
            start_ms=start_ms,
            end_ms=now_ms if end_ms is None else end_ms,
            store=desk_store(),
            progress=progress,
        )
        if report.held:
            await _second_word(client, symbol, interval, now_ms)
        outcome: _Outcome = await database_sync_to_async(_outcome)(report, now_ms)
        return outcome

    def _show(self, step: Progress) -> None:
        self.stdout.write(
            f"{step.symbol} {step.interval} {step.fraction:4.0%} up to {iso_ms(step.done_ms)}, "
            f"{step.stored.inserted} new, {step.stored.unchanged} known"
        )


async def _second_word(client: ExchangeClient, symbol: str, interval: str, now_ms: int) -> None:
    """Let the bars after them speak for held candles, then the exchange and a second endpoint."""
    await database_sync_to_async(release_kept)(symbol=symbol, interval=interval, ts_ms=now_ms)
    suspects = await database_sync_to_async(suspects_of)(symbol, interval)
    async with second_client(client.venue, settings.EXCHANGE_SECOND_REST_URL) as second:
        await Replacer(client, second, desk_store(), market_view()).resolve_many(suspects, now_ms)


def _outcome(report: SyncReport, now_ms: int) -> _Outcome:
    series = {"symbol": report.symbol, "interval": report.interval}
    gaps = gaps_reconcile(**series, start_ms=report.start_ms, end_ms=report.end_ms, ts_ms=now_ms)
    return _Outcome(report, gaps, pending(**series).count())


def _window(options: dict[str, Any]) -> tuple[int | None, int | None]:
    if options["days"] is not None and (options["start"] or not 0 < options["days"] <= 36_500):
        raise InvalidInput("give a positive number of days, or a start, not both", field="--days")
    start = parse_time(options["start"], "--start") if options["start"] else None
    end = parse_time(options["end"], "--end") if options["end"] else None
    if start is not None and end is not None and start >= end:
        raise InvalidInput("must be before the end", field="--start")
    return start, end


def _as_json(outcome: _Outcome) -> dict[str, Any]:
    report = outcome.report
    return {
        "symbol": report.symbol,
        "interval": report.interval,
        "start": iso_ms(report.start_ms),
        "end": iso_ms(report.end_ms),
        "received": report.received,
        **{name: getattr(report.stored, name) for name in ("inserted", "unchanged", "conflicting", "late")},
        "missing": sum(outcome.gaps.missing.values()),
        "missingByState": outcome.gaps.missing,
        "held": report.held,
        "noted": report.noted,
        "pending": outcome.n_pending,
    }


def _as_line(outcome: _Outcome) -> str:
    report, stored = outcome.report, outcome.report.stored
    counts = [f"{stored.inserted} inserted", f"{stored.unchanged} unchanged"]
    counts += [f"{stored.conflicting} kept with other values"] if stored.conflicting else []
    counts += [f"{n_bars} missing ({state})" for state, n_bars in outcome.gaps.missing.items()]
    counts += [f"{report.held} suspected, {outcome.n_pending} held in quarantine"] if report.held else []
    counts += [f"{report.noted} stored though suspect"] if report.noted else []
    return (
        f"{report.symbol} {report.interval} {iso_ms(report.start_ms)} to {iso_ms(report.end_ms)}: {', '.join(counts)}"
    )
