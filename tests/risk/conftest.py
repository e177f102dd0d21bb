"""A desk whose controls are seeded."""

from __future__ import annotations

from pathlib import Path

import pytest

TS_MS = 1_767_225_600_000


@pytest.fixture
def seeded(desk_db: Path) -> Path:
    from apps.risk.services import seed_controls

    seed_controls(ts_ms=TS_MS)
    return desk_db
