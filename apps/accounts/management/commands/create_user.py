"""Add a user with a role; the password is asked for, or generated and printed once."""

from __future__ import annotations

import json
import secrets
import sys
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts import services
from apps.engine.errors import TradedeskError
from apps.web.clock import wall_ms
from apps.web.roles import Role


class Command(BaseCommand):
    """Exit codes: 0 created, 1 error, 2 bad input."""

    help = "Add a user. The password is asked for on a terminal, and otherwise generated and printed once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="name to log in with")
        parser.add_argument(
            "--role", choices=[role.value for role in Role], default=Role.VIEWER.value, help="(default: viewer)"
        )
        parser.add_argument("--token", action="store_true", help="also create a token and print it once")
        parser.add_argument("--generate", action="store_true", help="generate the password instead of asking for it")
        parser.add_argument("--json", action="store_true", help="print one JSON object; generates the password")

    def handle(self, *args: Any, username: str, role: str, **options: Any) -> None:
        asks = sys.stdin.isatty() and not (options["generate"] or options["json"])
        password = getpass("Password: ") if asks else secrets.token_urlsafe(12)
        who: dict[str, Any] = {"actor": "command line", "ts_ms": wall_ms()}
        try:
            services.user_create(username=username, password=password, role=Role(role), **who)
            token = services.token_create(username=username, **who) if options["token"] else ""
        except TradedeskError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            made = {"user": username, "role": role, "password": password, "token": token or None}
            self.stdout.write(json.dumps(made))
            return
        self.stdout.write(f"user {username}, role {role}")
        if not asks:
            self.stdout.write(f"password {password}")
        if token:
            self.stdout.write(f"token {token}")
