"""What checks and studies are asked on a command line: which bars, which parameters; and how a wrong answer ends."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError, ProgrammingError

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput
from apps.marketdata.exchange.intervals import interval_ms
from apps.research.backtests.history import History, Window, history_file, history_stored
from apps.research.backtests.request import BacktestRequest, Ruleset, request_check, request_default, ruleset
from apps.research.validation.trial_market import trial_history
from apps.web.values import parse_time

ERROR_EXIT, INPUT_EXIT, FOUND_EXIT, NO_BARS_EXIT = 1, 2, 3, 4
MAX_BARS = 10_000_000


def add_bar_arguments(parser: ArgumentParser, *, bars: int) -> None:
    """Where the bars come from; without any of them, from a seeded market that needs no data."""
    parser.add_argument("--file", help="klines as csv, csv.gz or zip; default: a seeded trial market")
    parser.add_argument("--symbol", default="", help="stored bars of this symbol (with --file: default its name)")
    parser.add_argument("--interval", default="", help="default: as the file's name says, else INTERVAL")
    parser.add_argument("--from", dest="start", help="ISO time or epoch milliseconds; default: the oldest bar")
    parser.add_argument("--to", dest="end", help="the first moment after; default: the end of the newest bar")
    parser.add_argument("--bars", type=int, default=bars, help="at most so many, the newest; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the trial market and of draws; default: %(default)s")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="may come again")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def history_asked(options: dict[str, Any]) -> History:
    """The bars that the options name. Raises InvalidInput, DataError."""
    n, seed, start, end = options["bars"], options["seed"], options["start"], options["end"]
    require_whole(n, 1, MAX_BARS, "bars")
    require_whole(seed, 0, 2**53 - 1, "seed")
    symbol, interval = options["symbol"].upper(), options["interval"]
    window = Window(parse_time(start, "from") if start else None, parse_time(end, "to") if end else None)
    if options["file"] is not None:
        path = Path(options["file"])
        if not path.is_file():
            raise InvalidInput(f"{path} is not a file", field="file")
        now_ms = time.time_ns() // 1_000_000
        return newest(history_file(path, symbol=symbol, interval=interval, window=window, now_ms=now_ms), n)
    if symbol:
        return newest(history_stored(symbol, interval or settings.INTERVAL, window), n)
    if window != Window():
        raise InvalidInput("needs --symbol or --file: a trial market has no dates", field="from")
    return trial_history(n, seed=seed, interval=interval or settings.INTERVAL)


def newest(history: History, n: int) -> History:
    """The last `n` bars, with what is missing and doubted among them."""
    if history.bars.n <= n:
        return history
    bars = history.bars.slice(history.bars.n - n, history.bars.n)
    first_ms = int(bars.open_time_ms[0])
    return history._replace(
        bars=bars,
        first_ms=first_ms,
        holes=tuple(hole for hole in history.holes if hole.end_ms > first_ms),
        doubted=tuple(one for one in history.doubted if one.open_time_ms >= first_ms),
    )


def values_asked(options: dict[str, Any]) -> dict[str, float]:
    """`fast=12` as {"fast": 12.0}."""
    values: dict[str, float] = {}
    for text in options["param"]:
        name, equals, number = text.partition("=")
        if not (equals and name):
            raise InvalidInput(f"must look like fast=12, not {text!r}", field="param")
        try:
            values[name] = float(number)
        except ValueError as error:
            raise InvalidInput(f"{number!r} is not a number", field="param") from error
    return values


def desk_asked(history: History, options: dict[str, Any]) -> tuple[BacktestRequest, Ruleset]:
    """A backtest of the whole desk over these bars, deciding every --horizon bars. Raises InvalidInput."""
    request = request_default(history.symbol, history.interval)
    if options["horizon"] is not None:
        request = replace(request, horizon_bars=options["horizon"])
    request_check(request)
    return request, ruleset(request, history.filters)


def require_whole(value: int, low: int, high: int, name: str) -> None:
    """Raises InvalidInput unless low <= value <= high."""
    if not low <= value <= high:
        raise InvalidInput(f"must be from {low} to {high}, not {value}", field=name)


def told_history(history: History) -> dict[str, Any]:
    """Which bars were used, as JSON values."""
    return {
        "symbol": history.symbol,
        "interval": history.interval,
        "origin": history.origin,
        "bars": history.bars.n,
        "first_ms": history.first_ms,
        "end_ms": history.end_ms,
        "missing": (history.end_ms - history.first_ms) // interval_ms(history.interval) - history.bars.n,
    }


@contextmanager
def told_errors() -> Iterator[None]:
    """What goes wrong inside ends the command with one line and its own exit status."""
    try:
        yield
    except InvalidInput as error:
        raise CommandError(f"{error.field}: {error}", returncode=INPUT_EXIT) from error
    except DataError as error:
        raise CommandError(str(error), returncode=NO_BARS_EXIT) from error
    except IntegrityBreach as error:
        raise CommandError(str(error), returncode=FOUND_EXIT) from error
    except (OperationalError, ProgrammingError) as error:
        raise CommandError(f"the database cannot be used ({error}); manage.py migrate makes its tables") from error
