"""`manage.py simexchange`: serve the simulated exchange until told to stop."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.marketdata.exchange.simulated.options import add_arguments, options_of
from apps.marketdata.exchange.simulated.run import serve


class Command(BaseCommand):
    """Prints JSON lines. Exit codes: 0 stopped, 1 the port is taken, 2 bad input."""

    help = "Serve a simulated exchange on loopback that speaks the spot protocol."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        self._parser: argparse.ArgumentParser = parser
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        # Django turns parser.error into an exception for its own callers; a shell gets exit code 2.
        sys.exit(serve(self._parser, options_of(self._parser, argparse.Namespace(**options))))
