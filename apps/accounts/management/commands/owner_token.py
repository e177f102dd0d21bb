"""Where is the owner's token? Prints the file's path, or replaces the token in it."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts import services
from apps.engine.errors import UnknownName
from apps.web.clock import wall_ms


class Command(BaseCommand):
    """Exit codes: 0 printed, 1 error, 2 bad input."""

    help = "Print the path of the owner's token; with --rotate, revoke the old tokens and write a new one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rotate", action="store_true", help="revoke the owner's tokens and write a new one")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        path = services.token_path(settings.VAR_DIR)
        if options["rotate"]:
            try:
                path = services.owner_token_rotate(var_dir=settings.VAR_DIR, actor="command line", ts_ms=wall_ms())
            except UnknownName as error:
                raise CommandError("There is no owner yet: start the desk once with `make run`.") from error
        elif not path.exists():
            raise CommandError(f"There is no {path}: start the desk once, or run `manage.py owner_token --rotate`.")
        self.stdout.write(json.dumps({"path": str(path)}) if options["json"] else str(path))
