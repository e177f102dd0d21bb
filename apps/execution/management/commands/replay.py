"""Do recorded decisions follow from their own inputs, and with --deep, those from the bars?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.audit.records import StoredRecord
from apps.audit.replaying import NotADecision, ReplayResult, records_all, replays
from apps.audit.selectors import audit_get, audit_latest
from apps.engine.errors import UnknownName
from apps.execution.deep_replay import DeepResult, deep_replay, deep_replay_of

DIFFERENT_EXIT = 3
PROGRESS_EVERY = 1000
PROGRESS_BARS = 20_000
SHOWN_DIFFERENCES = 10


class Command(BaseCommand):
    """Exit code 0 when everything replayed equal, 3 when something differs."""

    help = "Recompute decisions from their audit records and name every difference."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="?", help="one audit id; without it the newest decisions")
        parser.add_argument("--all", action="store_true", help="every decision, oldest first")
        parser.add_argument("--limit", type=int, default=20, help="how many of the newest records (default 20)")
        parser.add_argument(
            "--deep",
            action="store_true",
            help="also fold the stored bars again and meet every stored view, and the views that the records name",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        replayed = skipped = 0
        different: list[ReplayResult] = []
        for result in replays(_records(options)):
            if isinstance(result, NotADecision):
                skipped += 1
                if options["id"] and not options["json"]:
                    self.stdout.write(str(result))
                continue
            replayed += 1
            if not result.matches:
                different.append(result)
                if not options["json"]:
                    self._show(result)
            if replayed % PROGRESS_EVERY == 0:
                self.stderr.write(f"{replayed:,} replayed, {len(different):,} different")
        deep = self._deep(options) if options["deep"] else None
        if options["json"]:
            found = {result.audit_id: [entry._asdict() for entry in result.differences] for result in different}
            told = {"replayed": replayed, "skipped": skipped, "different": found}
            self.stdout.write(json.dumps({**told, **({"deep": _deep_document(deep)} if deep else {})}))
        else:
            self.stdout.write(
                f"{replayed:,} decisions replayed, {replayed - len(different):,} equal, {len(different):,} different; "
                f"{skipped:,} other records skipped"
            )
            if deep:
                self._show_deep(deep)
        if different or (deep and deep.unmet):
            sys.exit(DIFFERENT_EXIT)

    def _deep(self, options: dict[str, Any]) -> DeepResult:
        records = _records(options)
        if options["id"]:
            return deep_replay_of(next(records))
        shown: dict[str, int] = {}

        def progress(symbol: str, bars: int) -> None:
            if bars - shown.get(symbol, 0) >= PROGRESS_BARS:
                shown[symbol] = bars
                self.stderr.write(f"{symbol}: {bars:,} bars folded again")

        return deep_replay(records, progress=progress)

    def _show_deep(self, deep: DeepResult) -> None:
        for symbol in deep.symbols:
            self.stdout.write(
                f"{symbol.symbol}: {symbol.bars:,} bars folded again, {symbol.views:,} stored views met, "
                f"{len(symbol.unmet):,} different; {symbol.foreign:,} of another engine left out"
            )
        self.stdout.write(
            f"{deep.named.checked:,} decisions name their view, {len(deep.named.unmet):,} another; "
            f"{deep.named.foreign:,} of another engine or interval left out"
        )
        for unmet in deep.unmet[:SHOWN_DIFFERENCES]:
            self.stdout.write(
                f"DIFFERENT view of {unmet.symbol} at {unmet.bar_open_ms}\n"
                f"  {unmet.what}: recorded {unmet.recorded!r}, recomputed {unmet.recomputed!r}"
            )

    def _show(self, result: ReplayResult) -> None:
        self.stdout.write(f"DIFFERENT record {result.sequence} ({result.audit_id})")
        for found in result.differences[:SHOWN_DIFFERENCES]:
            self.stdout.write(f"  {found.path}: recorded {found.recorded!r}, recomputed {found.recomputed!r}")


def _deep_document(deep: DeepResult) -> dict[str, Any]:
    named = {"checked": deep.named.checked, "foreign": deep.named.foreign}
    symbols = {
        entry.symbol: {"bars": entry.bars, "views": entry.views, "foreign": entry.foreign} for entry in deep.symbols
    }
    return {"symbols": symbols, "named": named, "different": [unmet._asdict() for unmet in deep.unmet]}


def _records(options: dict[str, Any]) -> Iterator[StoredRecord]:
    if options["id"]:
        try:
            yield audit_get(options["id"])
        except UnknownName as error:
            raise CommandError(str(error)) from error
    elif options["all"]:
        yield from records_all()
    else:
        yield from audit_latest(options["limit"])
