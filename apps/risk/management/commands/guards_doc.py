"""Does docs/guards.md say what the guards do?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.risk.guards_doc import guards_page

DIFFERS_EXIT = 3


class Command(BaseCommand):
    """Exit code 0 when the page was written or is current, 3 when --check finds that it is not."""

    help = "Write the tables of docs/guards.md from guards, limits and reason codes; --check only compares."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing, say whether the page is current")

    def handle(self, *args: Any, **options: Any) -> None:
        page = Path(settings.BASE_DIR) / "docs" / "guards.md"
        text = guards_page(page.read_text())
        is_current = page.read_text() == text
        if options["check"] and not is_current:
            self.stderr.write(f"{page} is not what the code says; run manage.py guards_doc")
            sys.exit(DIFFERS_EXIT)
        if not is_current:
            page.write_text(text)
        self.stdout.write(f"{page} is current")
