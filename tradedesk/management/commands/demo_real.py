"""Trade recorded bars through the real client over real HTTP and WebSocket, then prove what was done."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from tradedesk.env import BASE_DIR

FILE = "klines/1m/BTCUSDT-1m-2021-04-15_2021-05-31.csv.gz"
CAP_USD = "600000"
STALLED_AFTER_S = 90.0


class Command(BaseCommand):
    """Exit codes: 0 done and proved, 1 error, 2 bad input, 3 a proof failed."""

    help = "Run the desk on a recorded BTCUSDT file in a folder of its own: live-delivered bars, decisions, proofs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bars", type=int, default=2_000, help="live-delivered bars to trade (default: 2000)")
        parser.add_argument("--file", help=f"recorded klines (default: {FILE} in TRADEDESK_DATA)")
        parser.add_argument("--symbol", default="BTCUSDT", help="symbol of the file (default: BTCUSDT)")
        parser.add_argument("--history", type=int, default=1_500, help="bars synced before trading (default: 1500)")
        parser.add_argument("--speed", type=float, default=0.0, help="speed between closes; 0 jumps (default: 0)")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"] or settings.TRADEDESK_DATA / FILE).resolve()
        if not path.exists():
            self.stderr.write(f"tradedesk: {path} is not there; name a file with --file or set TRADEDESK_DATA")
            sys.exit(2)
        folder = Path(tempfile.mkdtemp(prefix="tradedesk-demo-"))
        try:
            code = self._run(path, folder, options)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        sys.exit(code)

    def _run(self, path: Path, folder: Path, options: dict[str, Any]) -> int:
        environment = {
            **os.environ,
            "TRADEDESK_VAR": str(folder),
            "SYMBOLS": options["symbol"],
            "HORIZON_BARS": "5",
            "EXCHANGE": "simulated",
            "HISTORY_BARS": str(options["history"]),
            # One symbol carries the whole portfolio weight, so its cap is that of three.
            "SYMBOL_NOTIONAL_CAP": CAP_USD,
            "MAX_NOTIONAL": CAP_USD,
            "LOG_LEVEL": "WARNING",
        }
        manage = [sys.executable, str(BASE_DIR / "manage.py")]
        subprocess.run([*manage, "migrate", "-v0"], env=environment, check=True)
        desk = subprocess.Popen(
            [*manage, "rundesk", "--port", str(_free_port()), "--from", str(path), "--speed", str(options["speed"]),
             "--history", str(options["history"])],
            env=environment,
            stdout=sys.stderr if not options["json"] else subprocess.DEVNULL,
        )  # fmt: skip
        try:
            is_done = self._watch(desk, folder / "tradedesk.sqlite3", options)
        finally:
            _end(desk)
        if not is_done:
            self.stderr.write("tradedesk: the market stood still before enough bars had come")
            return 1
        arguments = ["desk_report"] + (["--json"] if options["json"] else [])
        return subprocess.run([*manage, *arguments], env=environment, check=False).returncode

    def _watch(self, desk: subprocess.Popen[bytes], database: Path, options: dict[str, Any]) -> bool:
        """Wait until enough bars were folded, saying how far it is; False when the desk ended or nothing moves."""
        started = moved = time.monotonic()
        seen = shown = 0
        while desk.poll() is None and time.monotonic() - moved < STALLED_AFTER_S:
            time.sleep(1.0)
            # One view is the warm-up's; each further one is a bar that the stream delivered.
            count = max(0, _views(database) - 1)
            if count > seen:
                seen, moved = count, time.monotonic()
            if count - shown >= 100:
                shown = count
                rate = count / (time.monotonic() - started)
                self.stderr.write(f"{count} of {options['bars']} live bars, {rate:.1f} a second")
            if count >= options["bars"]:
                return True
        return False


def _views(database: Path) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM strategy_view").fetchone()
    connection.close()
    return int(count)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(desk: subprocess.Popen[bytes]) -> None:
    """Ask the desk to end, and insist: nothing of it may outlive this command."""
    desk.terminate()
    try:
        desk.wait(30)
    except subprocess.TimeoutExpired:
        desk.kill()
        desk.wait()
