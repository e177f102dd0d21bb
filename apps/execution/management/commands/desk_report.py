"""Say what the desk did, and prove that log, replay and books hold."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.execution.reporting import desk_report


class Command(BaseCommand):
    """Exit codes: 0 all holds, 1 error, 3 a proof failed."""

    help = "Figures of the desk, then: every decision replayed, the audit chain verified, the books balanced."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        report = desk_report(lambda done: None if options["json"] else self.stderr.write(f"replayed {done}"))
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            for name, value in report.items():
                self.stdout.write(f"{name.replace('_', ' '):18} {value}")
        if not report["holds"]:
            sys.exit(3)
