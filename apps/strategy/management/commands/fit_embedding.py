"""`manage.py fit_embedding`: freeze a window of the past, to which the present is compared from now on."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.engine.errors import DataError, InvalidInput
from apps.strategy.fitting import Fitted, embedding_fit
from apps.web.clock import wall_ms
from apps.web.values import iso_ms, parse_time

ACTOR = "command line"
INPUT_EXIT, NO_BARS_EXIT = 2, 4


class Command(BaseCommand):
    help = (
        "Fits the embedding of a symbol's contexts on a window of stored bars and puts it in force, on record: later "
        "decisions say which past they resemble, and whether they are new. Exit status: 0 done or in force already, "
        "2 the window or an argument cannot be used, 4 there are no bars."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", default=settings.SYMBOLS[0], help="default: %(default)s")
        parser.add_argument("--from", dest="start", help="ISO time or epoch milliseconds; default: the oldest bar")
        parser.add_argument("--to", dest="end", help="ISO time or epoch milliseconds; default: after the newest bar")
        parser.add_argument("--reason", default="fitted from the command line", help="why; goes on record")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, symbol: str, **options: Any) -> None:
        try:
            if symbol.upper() not in settings.SYMBOLS:
                raise InvalidInput(f"is not on the watch list, {', '.join(settings.SYMBOLS)}", field="symbol")
            fitted = embedding_fit(
                symbol=symbol.upper(),
                start_ms=parse_time(options["start"], "from") if options["start"] else None,
                end_ms=parse_time(options["end"], "to") if options["end"] else None,
                actor=ACTOR,
                reason=options["reason"],
                ts_ms=wall_ms(),
                progress=self._tell_progress,
            )
        except InvalidInput as error:
            raise CommandError(f"--{error.field}: {error}", returncode=INPUT_EXIT) from error
        except DataError as error:
            raise CommandError(str(error), returncode=NO_BARS_EXIT) from error
        if options["json"]:
            self.stdout.write(json.dumps(_document(symbol.upper(), fitted)))
            return
        state = "in force" if fitted.is_new else "in force already"
        self.stdout.write(
            f"{symbol.upper()} {settings.INTERVAL}: fitted on {fitted.n_bars} bars, {iso_ms(fitted.first_ms)} to "
            f"{iso_ms(fitted.end_ms)}, {len(fitted.model.times_ms)} situations kept; {fitted.model.version} {state}"
        )

    def _tell_progress(self, done: int, total: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{done} of {total} bars", ending="\n" if done == total else "")


def _document(symbol: str, fitted: Fitted) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "interval": settings.INTERVAL,
        "from": iso_ms(fitted.first_ms),
        "to": iso_ms(fitted.end_ms),
        "bars": fitted.n_bars,
        "situations": len(fitted.model.times_ms),
        "radius": fitted.model.radius,
        "version": fitted.model.version,
        "isNew": fitted.is_new,
    }
