"""`manage.py backtest`: the whole desk over old bars, kept as a row, told in figures and as a page."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput
from apps.research.backtests.history import History, Window, history_file, history_stored
from apps.research.backtests.request import (
    FILL_SETTINGS,
    WEIGHT_ONE_E9,
    BacktestRequest,
    request_check,
    request_default,
)
from apps.research.backtests.summary_text import summary_lines
from apps.research.progress import ProgressBar
from apps.research.report.page import report_page
from apps.research.selectors import Backtest, document
from apps.research.services import backtest
from apps.web.values import parse_decimal_e8, parse_time

INPUT_EXIT, BREACH_EXIT, NO_BARS_EXIT = 2, 3, 4


class Command(BaseCommand):
    help = (
        "Runs the whole desk (or one policy) over stored bars or a file of klines, keeps the run, and tells how it "
        "went; --report writes one page. Exit status: 0 done, 1 an error, 2 an argument cannot be used, 3 the same "
        "inputs once gave another result, 4 there are no bars or they cannot be trusted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbol", default="", help="default: as the file's name says, else the first of SYMBOLS")
        parser.add_argument("--interval", default="", help="default: as the file's name says, else INTERVAL")
        parser.add_argument("--from", dest="start", help="ISO time or epoch milliseconds; default: the oldest bar")
        parser.add_argument("--to", dest="end", help="the first moment after; default: the end of the newest bar")
        parser.add_argument("--file", help="klines as csv, csv.gz or zip, instead of stored bars")
        parser.add_argument("--policy", default="router", help="router, or the id of one policy; default: %(default)s")
        parser.add_argument("--param", action="append", default=[], metavar="POLICY.NAME=VALUE", help="may come again")
        parser.add_argument("--fills", default="base", help=f"{', '.join(FILL_SETTINGS)}; default: %(default)s")
        parser.add_argument("--seed", type=int, help="root of all draws; default: ROUTER_SEED")
        parser.add_argument("--cash", help="in quote currency; default: INITIAL_CASH")
        parser.add_argument("--horizon", type=int, help="bars between decisions; default: HORIZON_BARS")
        parser.add_argument("--weight", help="share of equity for the symbol; default: an equal share of SYMBOLS")
        parser.add_argument("--rehearsal", type=int, metavar="BPS", help="share rehearsed; default: the ladder's rung")
        parser.add_argument("--report", metavar="FILE", help="write the page here")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = _report_path(options)
            run = self._run(options)
        except InvalidInput as error:
            raise CommandError(f"{error.field}: {error}", returncode=INPUT_EXIT) from error
        except DataError as error:
            raise CommandError(str(error), returncode=NO_BARS_EXIT) from error
        except IntegrityBreach as error:
            raise CommandError(str(error), returncode=BREACH_EXIT) from error
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(f"the database cannot be used ({error}); manage.py migrate makes its tables") from error
        if report is not None:
            report.write_text(report_page(run), encoding="utf-8")
        told = document(run)
        if options["json"]:
            self.stdout.write(json.dumps(told))
        else:
            self.stdout.write("\n".join(summary_lines(told)))
            self.stdout.write(f"report      {report}" if report else "report      none; --report FILE writes one")

    def _run(self, options: dict[str, Any]) -> Backtest:
        now_ms = time.time_ns() // 1_000_000
        request = _request(options)
        request_check(request)
        history = _history(request, options, now_ms)
        request = replace(request, symbol=history.symbol, interval=history.interval)
        steps = (history.end_ms - history.first_ms) // request.interval_ms
        with ProgressBar(self.stderr, steps * len(FILL_SETTINGS), is_shown=options["verbosity"] > 0) as progress:
            return backtest(request=request, history=history, ts_ms=now_ms, progress=progress.advance)


def _report_path(options: dict[str, Any]) -> Path | None:
    """Asked before the run: nobody wants to wait for a page that cannot be written."""
    if not options["report"]:
        return None
    path = Path(options["report"])
    if not path.parent.is_dir() or path.is_dir():
        raise InvalidInput(f"{path} cannot be written: no such folder, or a folder itself", field="report")
    return path


def _request(options: dict[str, Any]) -> BacktestRequest:
    asked = request_default(options["symbol"].upper() or settings.SYMBOLS[0], options["interval"] or settings.INTERVAL)
    asked = replace(asked, policy=options["policy"], fills=options["fills"], values=_values(options["param"]))
    names = {"seed": "seed", "horizon": "horizon_bars", "rehearsal": "rehearsal_bps"}
    given: dict[str, Any] = {name: options[key] for key, name in names.items() if options[key] is not None}
    if options["cash"] is not None:
        given["cash_e8"] = parse_decimal_e8(options["cash"], "cash")
    if options["weight"] is not None:
        given["weight_e9"] = parse_decimal_e8(options["weight"], "weight") * 10
        if not 0 < given["weight_e9"] <= WEIGHT_ONE_E9:
            raise InvalidInput("must be above 0 and at most 1", field="weight")
    return replace(asked, **given)


def _values(texts: list[str]) -> dict[str, dict[str, float]]:
    """`ema_cross.fast=12` as {"ema_cross": {"fast": 12.0}}."""
    values: dict[str, dict[str, float]] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        policy_id, dot, parameter = name.partition(".")
        if not (equals and dot and policy_id and parameter):
            raise InvalidInput(f"must look like ema_cross.fast=12, not {text!r}", field="param")
        try:
            values.setdefault(policy_id, {})[parameter] = float(number)
        except ValueError as error:
            raise InvalidInput(f"{number!r} is not a number", field="param") from error
    return values


def _history(request: BacktestRequest, options: dict[str, Any], now_ms: int) -> History:
    start, end = options["start"], options["end"]
    window = Window(parse_time(start, "from") if start else None, parse_time(end, "to") if end else None)
    if options["file"] is None:
        return history_stored(request.symbol, request.interval, window)
    path = Path(options["file"])
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file", field="file")
    named = {"symbol": options["symbol"].upper(), "interval": options["interval"]}
    return history_file(path, **named, window=window, now_ms=now_ms)
