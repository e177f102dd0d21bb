"""`manage.py import_klines FILE…`: put recorded klines into the bar table."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput
from apps.marketdata import services
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.klines_file import KlinesFile, read_klines
from apps.marketdata.services import INSERT_BATCH, NOTHING_STORED, StoreResult
from apps.marketdata.sync import require_one_market

SOURCE = "import"
REFUSED_EXIT = 2
CONFLICT_EXIT = 3


class Command(BaseCommand):
    help = (
        "Imports files of klines (csv, csv.gz, zip; the exchange's dump layout and its relatives). A file is read "
        "whole before anything is stored. Exit status: 0 done, 2 a file was refused and nothing of it imported, "
        "3 stored bars with other values were kept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="SYMBOL-INTERVAL-….csv, .csv.gz or .zip")
        parser.add_argument("--symbol", default="", help="where the file's name does not tell it")
        parser.add_argument("--interval", default="", help="where the file's name does not tell it")
        parser.add_argument("--check", action="store_true", help="read and judge only, store nothing")
        parser.add_argument("--json", action="store_true", help="one JSON line per file")

    def handle(self, *args: Any, **options: Any) -> None:
        exit_status = 0
        for name in options["files"]:
            path = Path(name)
            try:
                read = read_klines(
                    path, symbol=options["symbol"], interval=options["interval"], now_ms=time.time_ns() // 1_000_000
                )
                stored = NOTHING_STORED if options["check"] else self._store(read, quiet=options["json"])
            except (DataError, InvalidInput, IntegrityBreach) as error:
                exit_status = REFUSED_EXIT
                self._tell({"file": path.name, "refused": str(error)}, f"refused: {error}", options["json"])
                continue
            if stored.conflicting and not exit_status:
                exit_status = CONFLICT_EXIT
            self._tell(_report(read, stored), _line(read, stored), options["json"])
        if exit_status == REFUSED_EXIT:
            raise CommandError("not every file was imported", returncode=REFUSED_EXIT)
        if exit_status == CONFLICT_EXIT:
            raise CommandError("stored bars with other values were kept", returncode=CONFLICT_EXIT)

    def _store(self, read: KlinesFile, *, quiet: bool) -> StoreResult:
        require_one_market(read.symbol, read.interval, SOURCE)
        stored = NOTHING_STORED
        for start in range(0, read.bars.n, INSERT_BATCH):
            block = read.bars.slice(start, start + INSERT_BATCH)
            result = services.bars_store(
                symbol=read.symbol,
                interval=read.interval,
                bars=block,
                source=SOURCE,
                ts_ms=int(block.open_time_ms[-1]) + interval_ms(read.interval),
            )
            stored = stored.plus(result)
            done = min(start + INSERT_BATCH, read.bars.n)
            if not quiet and done % (50 * INSERT_BATCH) == 0:
                self.stdout.write(f"{read.path.name}: {done} of {read.bars.n} bars")
        return stored

    def _tell(self, report: dict[str, Any], line: str, as_json: bool) -> None:
        self.stdout.write(json.dumps(report) if as_json else line)


def _report(read: KlinesFile, stored: StoreResult) -> dict[str, Any]:
    return {
        "file": read.path.name,
        "symbol": read.symbol,
        "interval": read.interval,
        "layout": read.layout,
        "rows": read.n_rows,
        "repeated": read.n_repeated,
        "missing": read.n_missing,
        "inserted": stored.inserted,
        "unchanged": stored.unchanged,
        "conflicting": stored.conflicting,
    }


def _line(read: KlinesFile, stored: StoreResult) -> str:
    counts = [f"{stored.inserted} inserted", f"{stored.unchanged} unchanged"]
    counts += [f"{stored.conflicting} kept with other values"] if stored.conflicting else []
    counts += [f"{read.n_repeated} repeated rows dropped"] if read.n_repeated else []
    counts += [f"{read.n_missing} bars missing"] if read.n_missing else []
    return f"{read.path.name}: {read.symbol} {read.interval} ({read.layout}), {read.n_rows} rows: {', '.join(counts)}"
