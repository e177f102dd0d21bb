"""`manage.py gaps`: which bars are missing, why, and — asked to — whether the exchange has them after all."""

from __future__ import annotations

import asyncio
import json
import random
from argparse import ArgumentParser
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.engine.errors import InvalidInput, Unavailable
from apps.marketdata import selectors
from apps.marketdata.connect import desk_client
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.gaps import TRIES, GapReport, GapSpan, gaps_backfill, gaps_listed, gaps_reconcile
from apps.marketdata.models import Gap
from apps.marketdata.storing import desk_store
from apps.marketdata.sync import require_one_market
from apps.web.values import iso_ms, parse_time

INPUT_EXIT, OPEN_EXIT, UNAVAILABLE_EXIT = 2, 3, 4
PAUSE_S = 1.0  # between two rounds; each waits that long or up to twice as long


class Command(BaseCommand):
    help = (
        "Compares the stored bars with the grid of their interval and lists what is missing: open, absent at the "
        "exchange, lost to a known halt, or held in quarantine. With --backfill the exchange is asked for open gaps, "
        "at most three times. Exit status: 0 nothing is open or held, 2 bad arguments, 3 bars are open or held, "
        "4 the exchange did not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbol", default="", help="one symbol; default: the watch list")
        parser.add_argument("--interval", default=settings.INTERVAL, help="default: %(default)s")
        parser.add_argument("--from", dest="start", help="ISO time or epoch milliseconds; default: the oldest bar")
        parser.add_argument("--to", dest="end", help="ISO time or epoch milliseconds; default: after the newest bar")
        parser.add_argument("--backfill", action="store_true", help="ask the exchange for what is open")
        parser.add_argument("--json", action="store_true", help="one JSON line per symbol")

    def handle(self, *args: Any, **options: Any) -> None:
        symbols = [options["symbol"].upper()] if options["symbol"] else list(settings.SYMBOLS)
        try:
            reports = [report for symbol in symbols if (report := self._report(symbol, options)) is not None]
            if options["backfill"] and any(report.missing.get(Gap.OPEN) for report in reports):
                asyncio.run(_backfill(reports))
                reports = [_again(report) for report in reports]
        except InvalidInput as error:
            raise CommandError(f"{error.field}: {error}", returncode=INPUT_EXIT) from error
        except Unavailable as error:
            raise CommandError(str(error), returncode=UNAVAILABLE_EXIT) from error
        for report in reports:
            self._tell(report, options["json"])
        if any(report.missing.get(Gap.OPEN, 0) or report.missing.get(Gap.HELD, 0) for report in reports):
            raise CommandError("bars are missing", returncode=OPEN_EXIT)

    def _report(self, symbol: str, options: dict[str, Any]) -> GapReport | None:
        interval = options["interval"]
        length = interval_ms(interval)
        oldest, newest = selectors.bar_first(symbol, interval), selectors.bar_last(symbol, interval)
        if oldest is None or newest is None:
            self.stderr.write(f"{symbol} {interval}: no bars are stored")
            return None
        start = parse_time(options["start"], "--from") if options["start"] else oldest
        end = parse_time(options["end"], "--to") if options["end"] else newest + length
        if start >= end:
            raise InvalidInput("must be before the end", field="--from")
        # The newest stored bar is the only clock here: what would open after it is not known to have closed.
        return gaps_reconcile(symbol=symbol, interval=interval, start_ms=start, end_ms=end, ts_ms=newest + length)

    def _tell(self, report: GapReport, as_json: bool) -> None:
        gaps = gaps_listed(report.symbol, report.interval, start_ms=report.first_ms, end_ms=report.end_ms)
        if as_json:
            self.stdout.write(json.dumps(_as_json(report, gaps)))
            return
        kinds = ", ".join(f"{n_bars} {state}" for state, n_bars in report.missing.items()) or "none missing"
        span = f"{iso_ms(report.first_ms)} to {iso_ms(report.end_ms)}"
        self.stdout.write(f"{report.symbol} {report.interval} {span}: {report.stored} of {report.expected}; {kinds}")
        for gap in gaps:
            tries = f", asked {gap.attempts} times" if gap.attempts else ""
            self.stdout.write(
                f"  {iso_ms(gap.first_ms)} to {iso_ms(gap.end_ms)}  {gap.n_bars} bars  {gap.state}{tries}"
            )


async def _backfill(reports: list[GapReport]) -> None:
    """Three rounds at most, with a pause of random length before another."""
    async with desk_client() as client:
        for turn in range(TRIES):
            if turn:
                await asyncio.sleep(random.uniform(PAUSE_S, 2 * PAUSE_S))
            for report in reports:
                series = report.symbol, report.interval
                await database_sync_to_async(require_one_market)(*series, client.venue.source)
                await gaps_backfill(client, *series, store=desk_store(), now_ms=await client.time(), due_only=False)


def _again(report: GapReport) -> GapReport:
    return gaps_reconcile(
        symbol=report.symbol,
        interval=report.interval,
        start_ms=report.first_ms,
        end_ms=report.end_ms,
        ts_ms=report.end_ms,
    )


def _as_json(report: GapReport, gaps: list[GapSpan]) -> dict[str, Any]:
    return {
        "symbol": report.symbol,
        "interval": report.interval,
        "start": iso_ms(report.first_ms),
        "end": iso_ms(report.end_ms),
        "expected": report.expected,
        "stored": report.stored,
        "missing": report.missing,
        "gaps": [
            {
                "first": iso_ms(gap.first_ms),
                "end": iso_ms(gap.end_ms),
                "bars": gap.n_bars,
                "state": gap.state,
                "attempts": gap.attempts,
            }
            for gap in gaps
        ],
    }
