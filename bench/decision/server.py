"""The desk's own server in a process of its own. Run by bench/decide.py with the settings in its environment."""

from __future__ import annotations

# First import: installs the reactor that every later import of twisted must find.
from daphne.server import twisted_loop  # isort: skip

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from django.core.handlers.asgi import ASGIHandler
from django.core.management import call_command
from django.test.utils import override_settings

from tradedesk.asgi import application as desk_application

BARE = "/bench/bare/"


def bare_handler() -> ASGIHandler:
    """Django's handler without any middleware."""
    with override_settings(MIDDLEWARE=[]):
        return ASGIHandler()


def main(port: int) -> None:
    from apps.execution.desk_thread import desk_thread
    from apps.web.body_limit import DeskServer
    from bench.decision import floor, phases
    from bench.decision.urls import market

    call_command("migrate", verbosity=0)
    floor.tables_make()
    phases.install()
    market.start()
    desk_thread().start()
    bare = bare_handler()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        handler = bare if scope["type"] == "http" and scope["path"].startswith(BARE) else desk_application
        await handler(scope, receive, send)

    server = DeskServer(application, [f"tcp:port={port}:interface=127.0.0.1"], http_timeout=60)
    server.run()


if __name__ == "__main__":
    assert twisted_loop is not None
    main(int(sys.argv[1]))
