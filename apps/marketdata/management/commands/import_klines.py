"""`manage.py import_klines FILE…`: put recorded klines into the bar table."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand, CommandError

from apps.engine.errors import DataError, IntegrityBreach, InvalidInput
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.gaps import gaps_reconcile
from apps.marketdata.klines_file import KlinesFile, read_klines
from apps.marketdata.quality_gate import bars_admit
from apps.marketdata.quarantine import IMPORT, pending
from apps.marketdata.releasing import release_kept
from apps.marketdata.services import NOTHING_STORED, StoreResult
from apps.marketdata.storing import desk_store
from apps.marketdata.sync import require_one_market

SOURCE = IMPORT
BATCH = 5_000
REFUSED_EXIT, CONFLICT_EXIT, HELD_EXIT = 2, 3, 4


class _Imported(NamedTuple):
    """What became of a file. `held` bars were not believed, `released` ones of them are borne out by the next bar."""

    stored: StoreResult = NOTHING_STORED
    held: int = 0
    noted: int = 0
    released: int = 0
    pending: int = 0
    missing: Mapping[str, int] = MappingProxyType({})


_ENDINGS = {
    REFUSED_EXIT: "not every file was imported",
    CONFLICT_EXIT: "stored bars with other values were kept",
    HELD_EXIT: "bars are held in quarantine",
}


class Command(BaseCommand):
    help = (
        "Imports files of klines (csv, csv.gz, zip; the exchange's dump layout and its relatives). A file is read "
        "whole before anything is stored; bars that are not believed are held in quarantine, and come back when the "
        "next bar bears them out. Exit status: 0 done, 2 a file was refused and nothing of it imported, "
        "3 stored bars with other values were kept, 4 bars are held in quarantine."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="SYMBOL-INTERVAL-….csv, .csv.gz or .zip")
        parser.add_argument("--symbol", default="", help="where the file's name does not tell it")
        parser.add_argument("--interval", default="", help="where the file's name does not tell it")
        parser.add_argument("--check", action="store_true", help="read and judge only, store nothing")
        parser.add_argument("--json", action="store_true", help="one JSON line per file")

    def handle(self, *args: Any, **options: Any) -> None:
        statuses = {self._import(Path(name), options) for name in options["files"]}
        for status, words in _ENDINGS.items():
            if status in statuses:
                raise CommandError(words, returncode=status)

    def _import(self, path: Path, options: dict[str, Any]) -> int:
        """Import one file, say what became of it, and return its exit status."""
        now_ms = time.time_ns() // 1_000_000
        try:
            read = read_klines(path, symbol=options["symbol"], interval=options["interval"], now_ms=now_ms)
            done = _Imported() if options["check"] else self._store(read, now_ms, quiet=options["json"])
        except (DataError, InvalidInput, IntegrityBreach) as error:
            self._tell({"file": path.name, "refused": str(error)}, f"refused: {error}", options["json"])
            return REFUSED_EXIT
        self._tell(_report(read, done), _line(read, done), options["json"])
        return CONFLICT_EXIT if done.stored.conflicting else HELD_EXIT if done.pending else 0

    def _store(self, read: KlinesFile, now_ms: int, *, quiet: bool) -> _Imported:
        require_one_market(read.symbol, read.interval, SOURCE)
        series: dict[str, Any] = {"symbol": read.symbol, "interval": read.interval}
        store, stored, held, noted = desk_store(), NOTHING_STORED, 0, 0
        for start in range(0, read.bars.n, BATCH):
            block = read.bars.slice(start, start + BATCH)
            admitted = bars_admit(**series, bars=block, source=SOURCE, origin=IMPORT, ts_ms=now_ms, store=store)
            stored = stored.plus(admitted.stored)
            held, noted = held + len(admitted.held), noted + len(admitted.noted)
            done = min(start + BATCH, read.bars.n)
            if not quiet and done % (20 * BATCH) == 0:
                self.stdout.write(f"{read.path.name}: {done} of {read.bars.n} bars")
        released = release_kept(**series, ts_ms=now_ms, store=store).opens if held else ()
        first, last = int(read.bars.open_time_ms[0]), int(read.bars.open_time_ms[-1])
        end = last + interval_ms(read.interval)
        ledger = gaps_reconcile(**series, start_ms=first, end_ms=end, ts_ms=now_ms)
        n_pending = pending(**series).filter(open_time_ms__range=(first, last)).count()
        return _Imported(stored, held, noted, len(released), n_pending, ledger.missing)

    def _tell(self, report: dict[str, Any], line: str, as_json: bool) -> None:
        self.stdout.write(json.dumps(report) if as_json else line)


def _report(read: KlinesFile, done: _Imported) -> dict[str, Any]:
    return {
        "file": read.path.name,
        "symbol": read.symbol,
        "interval": read.interval,
        "layout": read.layout,
        "rows": read.n_rows,
        "repeated": read.n_repeated,
        "missing": read.n_missing,
        "missingByState": dict(done.missing),
        "inserted": done.stored.inserted,
        "unchanged": done.stored.unchanged,
        "conflicting": done.stored.conflicting,
        "held": done.held,
        "noted": done.noted,
        "released": done.released,
        "pending": done.pending,
    }


def _line(read: KlinesFile, done: _Imported) -> str:
    counts = [f"{done.stored.inserted} inserted", f"{done.stored.unchanged} unchanged"]
    counts += [f"{done.stored.conflicting} kept with other values"] if done.stored.conflicting else []
    counts += [f"{read.n_repeated} repeated rows dropped"] if read.n_repeated else []
    counts += [f"{n_bars} missing ({state})" for state, n_bars in done.missing.items()]
    counts += [f"{read.n_missing} bars missing"] if read.n_missing and not done.missing else []
    counts += [f"{done.held} suspected, {done.released} released, {done.pending} held"] if done.held else []
    counts += [f"{done.noted} stored though suspect"] if done.noted else []
    return f"{read.path.name}: {read.symbol} {read.interval} ({read.layout}), {read.n_rows} rows: {', '.join(counts)}"
