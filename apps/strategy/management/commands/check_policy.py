"""`manage.py check_policy FILE`: does a policy of one's own keep the contract?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.engine.errors import InvalidInput
from apps.strategy.policy_check import PolicyReport, check_policy_file

INPUT_EXIT, FAILED_EXIT = 2, 3


class Command(BaseCommand):
    help = (
        "Tries a policy file: signals bounded, causal, deterministic, serializable, a fold of the bars, fast; the "
        "schema complete. Exit status: 0 all holds, 2 the file cannot be loaded, 3 a check failed."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the policy file")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            reports = check_policy_file(options["file"], root=settings.BASE_DIR)
        except InvalidInput as error:
            raise CommandError(str(error), returncode=INPUT_EXIT) from error
        holds = all(check.is_passed for report in reports for check in report.checks)
        if options["json"]:
            policies = [asdict(report) for report in reports]
            self.stdout.write(json.dumps({"file": str(options["file"]), "holds": holds, "policies": policies}))
        else:
            for report in reports:
                self._tell(report)
        if not holds:
            sys.exit(FAILED_EXIT)

    def _tell(self, report: PolicyReport) -> None:
        kind = "compiled" if report.is_compiled else "plain Python"
        self.stdout.write(f"{report.policy_id} ({kind})")
        for check in report.checks:
            self.stdout.write(f"  {'ok    ' if check.is_passed else 'FAILED'}  {check.name:14} {check.detail}")
