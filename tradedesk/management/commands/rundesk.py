"""Serve the desk: web, price stream and autopilot in one process, or one role of them."""

from __future__ import annotations

# First import: installs the reactor that every later import of twisted must find.
from daphne.server import twisted_loop  # isort: skip

import asyncio
import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from twisted.internet import defer, reactor

from apps.engine.errors import TradedeskError
from tradedesk.runtime import ROLES, Runtime
from tradedesk.startup import kernels_ready, port_is_free, rows_ready

DEFAULT_PORT = 5000


def stop_reactor() -> None:
    reactor.stop()  # type: ignore[misc] # the stub declares it without self


class Command(BaseCommand):
    """Exit codes: 0 stopped, 1 error, 2 bad input, 4 something needed is not available."""

    help = "Serve the desk: web, price stream and autopilot in one process, or one role of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", choices=ROLES, default="all", help="what this process does (default: all)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument(
            "--port", type=int, default=DEFAULT_PORT, help=f"port to listen on (default: {DEFAULT_PORT})"
        )
        parser.add_argument("--from", dest="from_file", help="serve the simulated market from a file of recorded bars")
        parser.add_argument("--speed", type=float, help="how many times faster recorded market time runs; 0 jumps")
        parser.add_argument("--history", type=int, help="recorded bars that count as past (default: 1500)")

    def handle(self, *args: Any, **options: Any) -> None:
        role, host, port = options["role"], options["host"], options["port"]
        if role != "all" and not settings.REDIS_URL:
            self._exit(2, f"--role {role} needs REDIS_URL: roles that run apart share prices through Redis.")
        if role in ("all", "web") and not port_is_free(host, port):
            self._exit(
                1,
                f"port {port} on {host} is in use. Stop what listens there, or choose another: "
                f"make run PORT={port + 1}",
            )
        recorded = {"from_file": options["from_file"], "speed": options["speed"], "history": options["history"]}
        runtime = Runtime(role, self._say, {key: value for key, value in recorded.items() if value is not None})
        try:
            runtime.exchange_start()
            if role != "stream":
                kernels_ready(self._say)
            rows_ready(self._say)
            code = self._serve(runtime, host, port) if role in ("all", "web") else self._work(runtime)
        except TradedeskError as error:
            self._exit(4, str(error))
        finally:
            runtime.exchange_stop()
        if code:
            sys.exit(code)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _exit(self, code: int, line: str) -> None:
        self.stderr.write(f"tradedesk: {line}")
        sys.exit(code)

    def _serve(self, runtime: Runtime, host: str, port: int) -> int:
        from apps.web.body_limit import DeskServer
        from tradedesk.asgi import application

        def begin() -> None:
            twisted_loop.call_soon(runtime.start, stop_reactor)
            self._say(f"serving http://{'localhost' if host == '127.0.0.1' else host}:{port}")

        def end() -> defer.Deferred[None]:
            return defer.Deferred.fromFuture(asyncio.ensure_future(runtime.stop(), loop=twisted_loop))

        reactor.callWhenRunning(begin)
        reactor.addSystemEventTrigger("before", "shutdown", end)  # type: ignore[arg-type] # the stub has lost a parameter
        server = DeskServer(
            application, [f"tcp:port={port}:interface={host}"], http_timeout=60, server_name="tradedesk"
        )
        server.run()
        if not server.listening_addresses:
            self.stderr.write(f"tradedesk: could not listen on {host}:{port}")
            return 1
        return 1 if runtime.failed else 0

    def _work(self, runtime: Runtime) -> int:
        async def main() -> None:
            ended = asyncio.Event()
            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, ended.set)
            runtime.start(ended.set)
            self._say(f"role {runtime.role}: running")
            await ended.wait()
            await runtime.stop()

        twisted_loop.run_until_complete(main())
        return 1 if runtime.failed else 0
