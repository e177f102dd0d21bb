"""The short form of `make demo-real`: recorded bars through the real client, then every proof."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIVE_BARS = 40


@pytest.mark.real
def test_recorded_bars_are_traded_and_proved(compiled: None, recorded_data: Path) -> None:
    """Real HTTP and WebSocket; every decision replays, the chain verifies, the books equal the fills."""
    command = [sys.executable, "manage.py", "demo_real", "--bars", str(LIVE_BARS), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["bars_folded"] > LIVE_BARS
    # One in five bars is a decision; a bar that a busy machine folds late is not decided on any more.
    assert report["decisions"] >= LIVE_BARS // 10
    # The turn of a day that the breakers saw is a record of its own, and replays beside the decisions.
    assert report["replayed"] >= report["decisions"] and report["replay_differing"] == []
    assert report["audit_intact"] and report["book_differences"] == []
    assert report["equity"] is not None and report["buy_and_hold"] is not None
