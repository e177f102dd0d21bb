"""Which policies may the router choose? Lists them, enables or disables some; works without a running desk."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.engine.errors import InvalidInput, StaleState
from apps.strategy import selectors, services
from apps.web.clock import wall_ms

ACTOR = "command line"
REFUSED_EXIT, INPUT_EXIT = 1, 2


class Command(BaseCommand):
    """Exit codes: 0 done, 1 refused, 2 bad input. Whoever may run this owns the desk."""

    help = (
        "Lists the router's policies; --disable and --enable change which may be chosen, from the next bar on. A "
        "disabled one goes on learning. Exit status: 0 done, 1 somebody else changed them meanwhile, 2 bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--enable", nargs="+", default=[], metavar="POLICY", help="may be chosen again")
        parser.add_argument("--disable", nargs="+", default=[], metavar="POLICY", help="may not be chosen")
        parser.add_argument("--reason", default="", help="why; goes on record")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, enable: list[str], disable: list[str], reason: str, **options: Any) -> None:
        try:
            if both := sorted({*enable} & {*disable}):
                raise InvalidInput(f"{both[0]} is to be both enabled and disabled", field="enable")
            if enable or disable:
                changes = dict.fromkeys(enable, True) | dict.fromkeys(disable, False)
                services.policies_set(changes=changes, actor=ACTOR, reason=reason, ts_ms=wall_ms())
        except InvalidInput as error:
            raise CommandError(_as_typed(error), returncode=INPUT_EXIT) from error
        except StaleState as error:
            raise CommandError(str(error), returncode=REFUSED_EXIT) from error
        rows = selectors.policies_current()
        if options["json"]:
            self.stdout.write(json.dumps({"policies": {row["policy_id"]: row["active"] for row in rows}}))
            return
        for row in rows:
            self.stdout.write(f"{row['policy_id']:16} {'active  ' if row['active'] else 'disabled'}  {row['summary']}")


def _as_typed(error: InvalidInput) -> str:
    """The refusal with the option that caused it."""
    return f"--{error.field}: {error}" if error.field in {"reason", "enable"} else str(error)
