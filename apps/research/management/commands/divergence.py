"""`manage.py divergence`: the same span live and as a backtest; every difference with its first cause."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput, UnknownName
from apps.research.backtests.history import Window
from apps.research.divergence.compare import diverge
from apps.research.divergence.document import document, summary_lines
from apps.research.divergence.page import divergence_page
from apps.research.divergence.request import Span, span_of, symbol_check
from apps.research.divergence.result import Divergence
from apps.research.progress import ProgressBar
from apps.web.values import parse_time

INPUT_EXIT, BREACH_EXIT, NOTHING_EXIT = 2, 3, 4


class Command(BaseCommand):
    help = (
        "Compares what the desk did in a span with the backtest of the same bars, decision by decision and order by "
        "order; names the first cause of each difference and what it cost. Nothing is written to the database. Exit "
        "status: 0 done, 1 an error, 2 an argument cannot be used, 3 the parts do not add up, 4 nothing to compare."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from", dest="start", help="ISO time or epoch milliseconds; default: the account's first decision"
        )
        parser.add_argument("--to", dest="end", help="the first moment after; default: the end of the newest bar")
        parser.add_argument("--symbol", default="", help="tell of this symbol only; the account is shared by all")
        parser.add_argument("--report", metavar="FILE", help="write the page here")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        symbol = options["symbol"].upper()
        try:
            report = _report_path(options["report"])
            found = self._found(symbol, options)
        except (InvalidInput, UnknownName) as error:
            raise CommandError(f"{error.field}: {error}", returncode=INPUT_EXIT) from error
        except DataError as error:
            raise CommandError(str(error), returncode=NOTHING_EXIT) from error
        except IntegrityBreach as error:
            raise CommandError(str(error), returncode=BREACH_EXIT) from error
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(f"the database cannot be used ({error}); manage.py migrate makes its tables") from error
        if report is not None:
            report.write_text(divergence_page(found, symbol), encoding="utf-8")
        if options["json"]:
            self.stdout.write(json.dumps(document(found, symbol)))
        else:
            self.stdout.write("\n".join(summary_lines(found, symbol)))

    def _found(self, symbol: str, options: dict[str, Any]) -> Divergence:
        symbol_check(symbol)
        start, end = options["start"], options["end"]
        window = Window(parse_time(start, "from") if start else None, parse_time(end, "to") if end else None)
        span: Span = span_of(window)
        with ProgressBar(self.stderr, span.n_bars, is_shown=options["verbosity"] > 0) as progress:
            return diverge(span, progress.advance)


def _report_path(text: str | None) -> Path | None:
    """Asked before the run: nobody wants to wait for a page that cannot be written."""
    if not text:
        return None
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise InvalidInput(f"{path} cannot be written: no such folder, or a folder itself", field="report")
    return path
