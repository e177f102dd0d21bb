"""The ladder starts at its lowest rung, audited, and shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import DatabaseError, connection
from django.test import Client

from apps.audit.selectors import audit_latest, audit_verify, controls_current
from apps.canary import selectors, services

TS_MS = 1_767_225_600_000


def test_the_first_start_seeds_the_lowest_rung_once(desk_db: Path) -> None:
    assert selectors.canary_current() == ("disabled", 0)
    assert services.seed_canary(ts_ms=TS_MS)
    assert not services.seed_canary(ts_ms=TS_MS + 1)
    assert selectors.canary_current() == ("disabled", 0)
    assert controls_current() == {"canary": ({"state": "disabled", "weightBps": 0}, 1)}
    assert [record.kind for record in audit_latest(9)] == ["canary.seed"]
    assert audit_verify().intact


def test_the_state_has_the_contract_s_shape(desk_db: Path) -> None:
    services.seed_canary(ts_ms=TS_MS)
    answer = Client(headers={"host": "localhost"}).get("/api/canary/state")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "state": "disabled",
            "weight": 0,
            "readiness": {"conditions": [], "ready": False},
            "history": [
                {
                    "state": "disabled",
                    "weight": 0,
                    "previousWeight": 0,
                    "actor": "environment",
                    "reason": "first start",
                    "ts": "2026-01-01T00:00:00.000Z",
                }
            ],
        },
    )


@pytest.mark.parametrize(
    "change", ["UPDATE canary_canaryrevision SET weight_bps = 10000", "DELETE FROM canary_canaryrevision"]
)
def test_revisions_only_grow(desk_db: Path, change: str) -> None:
    services.seed_canary(ts_ms=TS_MS)
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(change)
