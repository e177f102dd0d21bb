"""Is the book what its fills make it?"""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.execution.reconciler import BookDifference, Checked, Reconciler
from apps.web.clock import wall_ms

DIFFERENT_EXIT = 3


class Command(BaseCommand):
    """Exit code 0 when book and fills agree to the unit, 1 when there is no account, 3 when they differ."""

    help = "Recompute cash, positions, gains and fees from the fills. A difference goes on record and HALTS the desk."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        checked = Reconciler().check(ts_ms=wall_ms())
        if checked is None:
            raise CommandError("There is no account yet: start the desk once with `make run`.")
        self.stdout.write(_as_json(checked) if options["json"] else _in_words(checked))
        if checked.differences:
            sys.exit(DIFFERENT_EXIT)


def _in_words(checked: Checked) -> str:
    fills = f"{checked.fills:,} fills of epoch {checked.epoch}"
    if not checked.differences:
        return f"balanced: {fills}, difference 0"
    lines = [f"  {difference} ({_drift(difference):+d} in 1e-8)" for difference in checked.differences]
    return "\n".join([f"NOT BALANCED after {fills}; the desk is HALTED", *lines])


def _as_json(checked: Checked) -> str:
    differences = [
        {
            "what": entry.what,
            "stored": str(entry.stored),
            "fromFills": str(entry.from_fills),
            "drift": str(_drift(entry)),
        }
        for entry in checked.differences
    ]
    return json.dumps(
        {
            "balanced": not differences,
            "epoch": checked.epoch,
            "fills": checked.fills,
            "differences": differences,
        }
    )


def _drift(difference: BookDifference) -> int:
    return difference.stored - difference.from_fills
