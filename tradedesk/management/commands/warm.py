"""Compile the engine ahead of the first start."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tradedesk.startup import kernels_ready


class Command(BaseCommand):
    """Exit codes: 0 done, 1 error."""

    help = "Compile the engine's kernels into the var folder, so that no start waits for the compiler."

    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        kernels_ready(self.stdout.write)
