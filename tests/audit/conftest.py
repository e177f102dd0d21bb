"""A small log to read and to tamper with."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.engine.codec import float_text

TS_MS = 1_767_225_600_000


def decision_body(number: int, **members: Any) -> dict[str, Any]:
    chance = random.Random(number)
    return {
        "symbol": ("BTCUSDT", "ETHUSDT")[number % 2],
        "inputs": {"bar": number, "close": float_text(chance.gauss(100, 1)), "draw": float_text(chance.random())},
        "policy": {"choice": "ema_cross", "propensity": float_text(0.25)},
        "order": None,
        "nullReasons": {"order": "the target did not differ"},
        **members,
    }


@pytest.fixture
def append(desk_db: Path) -> Callable[..., Any]:
    """Append one record in its own transaction."""
    from django.db import transaction

    from apps.audit.services import audit_append

    def one(body: dict[str, Any] | None = None, **given: Any) -> Any:
        with transaction.atomic():
            return audit_append(
                **{
                    "kind": "execution.decision",
                    "actor": "autopilot",
                    "ts_ms": TS_MS,
                    "body": decision_body(1) if body is None else body,
                    **given,
                }
            )

    return one


@pytest.fixture
def log(append: Callable[..., Any]) -> Callable[[int], list[Any]]:
    """Append many records, every fifth a control change."""
    from django.db import transaction

    from apps.audit.services import audit_append

    def many(count: int) -> list[Any]:
        entries = []
        with transaction.atomic():
            for number in range(count):
                if number % 5 == 4:
                    controls = {f"limit.{number % 3}": number, "state.desk": "ACTIVE"}
                    entries.append(
                        audit_append(kind="risk.limits", actor="owner:a", ts_ms=TS_MS, body={}, controls=controls)
                    )
                    continue
                entries.append(
                    audit_append(
                        kind="execution.decision",
                        actor="autopilot",
                        ts_ms=TS_MS + number,
                        body=decision_body(number),
                    )
                )
        return entries

    return many


@pytest.fixture
def attacker(desk_db: Path) -> Callable[..., None]:
    """SQL from somebody who owns the file: triggers dropped, no pragma, no Django."""

    def run(*statements: tuple[str, tuple[Any, ...]] | str) -> None:
        with sqlite3.connect(desk_db, isolation_level=None) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in names:
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                sql, params = statement if isinstance(statement, tuple) else (statement, ())
                connection.execute(sql, params)
        connection.close()

    return run
