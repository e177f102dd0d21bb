"""The kernels mean what their Python text says: run without the compiler they give the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.engine.observed import observed

ROOT = Path(__file__).resolve().parents[2]


def test_uncompiled_kernels_give_the_same_bits() -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.engine.observed"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stderr == ""
    assert answer.stdout.strip() == observed()
