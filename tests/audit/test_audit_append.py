"""Appending: sequences without gaps, hashes that anybody can recompute, and no way to change what is written."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from django.db import DatabaseError, connection, transaction
from django.db.transaction import TransactionManagementError

from apps.audit import selectors, services
from apps.engine.errors import IntegrityBreach, InvalidInput, UnknownName

GENESIS = "0" * 64


def test_the_hashes_follow_from_the_stored_bytes(append: Callable[..., Any]) -> None:
    first = append({"symbol": "BTCUSDT", "inputs": {"b": 2, "a": "é"}}, ts_ms=7, controls={"flag.X": True})
    second = append({"note": "x"}, kind="flags.set", actor="owner:alice")
    older, newer = reversed(selectors.audit_latest(2))
    content = {
        **{"schema": 1, "sequence": 1, "kind": "execution.decision", "actor": "autopilot", "tsMs": 7},
        **{"symbol": "BTCUSDT", "inputs": {"a": "é", "b": 2}, "controls": {"flag.X": True}},
    }
    assert older.body == rfc8785.dumps(content)
    assert older.inputs_hash == hashlib.sha256('{"a":"é","b":2}'.encode()).hexdigest()
    assert older.content_hash == hashlib.sha256(older.body).hexdigest()
    chained = hashlib.sha256(b"\0" + bytes(32) + bytes.fromhex(older.content_hash)).hexdigest()
    assert (older.previous_hash, older.record_hash) == (GENESIS, chained)
    assert (newer.previous_hash, newer.inputs_hash, newer.symbol) == (chained, "", "")
    assert first == (f"ad{older.content_hash[:22]}", 1, older.content_hash, chained)
    assert (second.sequence, second.record_hash) == (2, selectors.audit_head()[1])


def test_a_rollback_leaves_no_gap(append: Callable[..., Any]) -> None:
    append()
    with pytest.raises(RuntimeError), transaction.atomic():
        services.audit_append(kind="k", actor="a", ts_ms=1, body={}, controls={"kill": True})
        raise RuntimeError
    assert append().sequence == 2
    assert selectors.controls_current() == {}


@pytest.mark.parametrize(
    "body", [{"x": 0.5}, {"sequence": 9}, {"tsMs": 9}, {"controls": {}}, {"inputs": [1]}, {"x": 2**60}]
)
def test_it_refuses_a_body_that_cannot_be_kept(append: Callable[..., Any], body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        append(body)
    assert selectors.audit_head() == (0, GENESIS)


def test_it_refuses_to_run_outside_a_transaction(desk_db: Path) -> None:
    with pytest.raises(TransactionManagementError):
        services.audit_append(kind="k", actor="a", ts_ms=1, body={})


def test_controls_are_read_with_the_record_that_set_them(append: Callable[..., Any]) -> None:
    append({}, controls={"flag.BOCPD": True, "limit.orders_per_minute": 6})
    append({}, controls={"limit.orders_per_minute": 5, "kill": {"engaged": False}})
    assert selectors.controls_current() == {
        "flag.BOCPD": (True, 1),
        "limit.orders_per_minute": (5, 2),
        "kill": ({"engaged": False}, 2),
    }
    assert selectors.control_value("limit.orders_per_minute") == (5, 2)
    assert selectors.control_value("state.desk") is None


def test_threads_get_consecutive_sequences(append: Callable[..., Any]) -> None:
    start = threading.Barrier(4)
    taken: list[int] = []

    def work() -> None:
        start.wait()
        taken.extend(append().sequence for _ in range(25))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 101))
    assert selectors.audit_verify().intact


def test_a_snapshot_is_stored_once_under_its_hash(desk_db: Path) -> None:
    body = json.dumps(list(range(500))).encode()
    digest = services.snapshot_put(body=body)
    assert services.snapshot_put(body=body) == digest == hashlib.sha256(body).hexdigest()
    assert selectors.snapshot_get(digest) == body
    with pytest.raises(UnknownName):
        selectors.snapshot_get("0" * 64)


def test_a_damaged_snapshot_is_not_handed_out(desk_db: Path, attacker: Callable[..., None]) -> None:
    digest = services.snapshot_put(body=b"posterior")
    attacker("UPDATE audit_snapshot SET body = x'789c030000000001'")
    with pytest.raises(IntegrityBreach):
        selectors.snapshot_get(digest)


CHANGES = [
    "UPDATE audit_auditrecord SET actor = 'x' WHERE sequence = 1",
    "DELETE FROM audit_auditrecord WHERE sequence = 1",
    "REPLACE INTO audit_auditrecord SELECT * FROM audit_auditrecord WHERE sequence = 1",
    "INSERT OR REPLACE INTO audit_auditrecord SELECT 9, audit_id, kind, symbol, ts_ms, actor, body, inputs_hash, "
    "content_hash, previous_hash, record_hash FROM audit_auditrecord WHERE sequence = 1",
    "UPDATE audit_snapshot SET body = x'00'",
    "DELETE FROM audit_snapshot",
    "REPLACE INTO audit_snapshot SELECT * FROM audit_snapshot",
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_database_refuses_every_change(append: Callable[..., Any], desk_db: Path, change: str) -> None:
    append()
    services.snapshot_put(body=b"x")
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(change)
    plain = sqlite3.connect(desk_db)  # without the pragma recursive_triggers, as the sqlite3 tool would
    with pytest.raises(sqlite3.DatabaseError, match="append-only"):
        plain.execute(change)
    plain.close()
    assert selectors.audit_verify().intact
