"""Is the audit log intact?"""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.audit.selectors import VerifyResult, audit_verify
from apps.audit.services import checkpoint_record

BROKEN_EXIT = 3


class Command(BaseCommand):
    """Exit code 0 when intact, 3 when broken. A log found intact gets a checkpoint, so that the next walk is short."""

    help = "Walk the audit log from the last verified checkpoint and name the first record that does not fit."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="walk the whole log")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.add_argument("--no-checkpoint", action="store_true", help="change nothing, not even the checkpoint")

    def handle(self, *args: Any, **options: Any) -> None:
        result = audit_verify(from_checkpoint=not options["all"], progress=self._progress)
        if result.intact and not options["no_checkpoint"]:
            checkpoint_record(result=result)
        self.stdout.write(_as_json(result) if options["json"] else _in_words(result))
        if not result.intact:
            sys.exit(BROKEN_EXIT)

    def _progress(self, done: int, total: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{done:,} of {total:,} records", ending="")
            self.stderr.flush()


def _in_words(result: VerifyResult) -> str:
    if result.first_broken is None:
        return f"intact: {result.records:,} records from {result.verified_from} on, head {result.head_hash}"
    broken = result.first_broken
    name = f" ({broken.audit_id})" if broken.audit_id else ""
    return f"BROKEN at record {broken.sequence}{name}, {broken.where}: {broken.detail}"


def _as_json(result: VerifyResult) -> str:
    return json.dumps(
        {
            "intact": result.intact,
            "records": result.records,
            "verifiedFrom": result.verified_from,
            "headHash": result.head_hash,
            "firstBroken": _broken_json(result),
        }
    )


def _broken_json(result: VerifyResult) -> dict[str, Any] | None:
    broken = result.first_broken
    if broken is None:
        return None
    return {
        "sequence": broken.sequence,
        "auditId": broken.audit_id,
        "where": broken.where,
        "detail": broken.detail,
    }
