"""`manage.py sync_ohlcv`: fetch the closed bars that are missing from the exchange's history."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput, Unavailable
from apps.marketdata import services
from apps.marketdata.connect import desk_client
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.sync import Progress, SyncReport, history_start, require_one_market, sync_bars, sync_symbols
from apps.web.values import iso_ms, parse_time

DAY_MS = 86_400_000
INPUT_EXIT, INCOMPLETE_EXIT, UNAVAILABLE_EXIT = 2, 3, 4


class Command(BaseCommand):
    help = (
        "Fetches closed bars, page by page and oldest first; a second call goes on where the first one stopped. "
        "Exit status: 0 done, 1 failed, 2 bad arguments, 3 done but bars are missing, "
        "were refused, or are stored with other values, 4 the exchange did not answer."
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
            reports = asyncio.run(self._sync(options))
        except InvalidInput as error:
            raise CommandError(f"{error.field}: {error}", returncode=INPUT_EXIT) from error
        except Unavailable as error:
            raise CommandError(str(error), returncode=UNAVAILABLE_EXIT) from error
        except (DataError, IntegrityBreach) as error:
            raise CommandError(str(error), returncode=1) from error
        for report in reports:
            self.stdout.write(json.dumps(_as_json(report)) if options["json"] else _as_line(report))
        if any(report.missing or report.refused or report.stored.conflicting for report in reports):
            raise CommandError("not every bar is as the exchange has it", returncode=INCOMPLETE_EXIT)

    async def _sync(self, options: dict[str, Any]) -> list[SyncReport]:
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
    ) -> SyncReport:
        interval = options["interval"]
        await database_sync_to_async(require_one_market)(symbol, interval, client.venue.source)
        now_ms = await client.time()
        if start_ms is None and options["days"] is not None:
            start_ms = int((end_ms or now_ms) - options["days"] * DAY_MS)
        if start_ms is None:
            start_ms = await database_sync_to_async(history_start)(symbol, interval, now_ms, settings.HISTORY_BARS)
        return await sync_bars(
            *(client, symbol, interval),
            start_ms=start_ms,
            end_ms=now_ms if end_ms is None else end_ms,
            store=services.bars_store,
            progress=progress,
        )

    def _show(self, step: Progress) -> None:
        self.stdout.write(
            f"{step.symbol} {step.interval} {step.fraction:4.0%} up to {iso_ms(step.done_ms)}, "
            f"{step.stored.inserted} new, {step.stored.unchanged} known"
        )


def _window(options: dict[str, Any]) -> tuple[int | None, int | None]:
    if options["days"] is not None and (options["start"] or not 0 < options["days"] <= 36_500):
        raise InvalidInput("give a positive number of days, or a start, not both", field="--days")
    start = parse_time(options["start"], "--start") if options["start"] else None
    end = parse_time(options["end"], "--end") if options["end"] else None
    if start is not None and end is not None and start >= end:
        raise InvalidInput("must be before the end", field="--start")
    return start, end


def _as_json(report: SyncReport) -> dict[str, Any]:
    return {
        "symbol": report.symbol,
        "interval": report.interval,
        "start": iso_ms(report.start_ms),
        "end": iso_ms(report.end_ms),
        "received": report.received,
        **{name: getattr(report.stored, name) for name in ("inserted", "unchanged", "conflicting", "late")},
        "missing": report.missing,
        "refused": dict(report.refused),
    }


def _as_line(report: SyncReport) -> str:
    stored = report.stored
    counts = [f"{stored.inserted} inserted", f"{stored.unchanged} unchanged"]
    counts += [f"{stored.conflicting} kept with other values"] if stored.conflicting else []
    counts += [f"{report.missing} missing at the exchange"] if report.missing else []
    counts += [f"{count} refused ({reason})" for reason, count in report.refused.items()]
    return (
        f"{report.symbol} {report.interval} {iso_ms(report.start_ms)} to {iso_ms(report.end_ms)}: {', '.join(counts)}"
    )
