"""Loaded before Django (`-p tests.environment`): tests have a var folder of their own and share compiled kernels."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tradedesk.compiling import kernels_compiled
from tradedesk.env import engine_hash

_ROOT = Path(__file__).resolve().parent.parent
_VAR = tempfile.mkdtemp(prefix="tradedesk-test-")
os.environ["TRADEDESK_VAR"] = _VAR
# Kernels are keyed by the hash of their sources, so tests may share them with the desk of this checkout.
os.environ.setdefault("NUMBA_CACHE_DIR", str(_ROOT / "var" / "kernels" / engine_hash()))
# Before Django imports the engine, by the two processes that fill an empty cache for the desk.
kernels_compiled()


def pytest_unconfigure() -> None:
    shutil.rmtree(_VAR, ignore_errors=True)
