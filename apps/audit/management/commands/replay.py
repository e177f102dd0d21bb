"""Do recorded decisions follow from their own inputs?"""

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

DIFFERENT_EXIT = 3
PROGRESS_EVERY = 1000
SHOWN_DIFFERENCES = 10


class Command(BaseCommand):
    """Exit code 0 when everything replayed equal, 3 when something differs."""

    help = "Recompute decisions from their audit records and name every difference."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="?", help="one audit id; without it the newest decisions")
        parser.add_argument("--all", action="store_true", help="every decision, oldest first")
        parser.add_argument("--limit", type=int, default=20, help="how many of the newest records (default 20)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        replayed = skipped = 0
        different: list[ReplayResult] = []
        for result in replays(_records(options)):
            if isinstance(result, NotADecision):
                skipped += 1
                if options["id"]:
                    self.stdout.write(str(result))
                continue
            replayed += 1
            if not result.matches:
                different.append(result)
                if not options["json"]:
                    self._show(result)
            if replayed % PROGRESS_EVERY == 0:
                self.stderr.write(f"{replayed:,} replayed, {len(different):,} different")
        if options["json"]:
            found = {result.audit_id: [entry._asdict() for entry in result.differences] for result in different}
            self.stdout.write(json.dumps({"replayed": replayed, "skipped": skipped, "different": found}))
        else:
            self.stdout.write(
                f"{replayed:,} decisions replayed, {replayed - len(different):,} equal, {len(different):,} different; "
                f"{skipped:,} other records skipped"
            )
        if different:
            sys.exit(DIFFERENT_EXIT)

    def _show(self, result: ReplayResult) -> None:
        self.stdout.write(f"DIFFERENT record {result.sequence} ({result.audit_id})")
        for found in result.differences[:SHOWN_DIFFERENCES]:
            self.stdout.write(f"  {found.path}: recorded {found.recorded!r}, recomputed {found.recomputed!r}")


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
