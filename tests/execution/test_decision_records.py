"""One decision, one audit record, one transaction; and what the record is good for."""

from __future__ import annotations

import json
import sqlite3
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client

from apps.audit.replaying import is_decision, replay_record
from apps.audit.selectors import audit_after, audit_head, audit_latest, audit_verify
from apps.execution import recording
from apps.execution.models import Execution, Order
from apps.execution.reconciler import book_differences
from apps.execution.recovery import start_check
from apps.risk import services as risk
from apps.risk.selectors import trading_state_current
from tests.support.live_desk import CLOSED_MS, SYMBOLS, LiveMarket, buy, plan, post, set_limits


def decisions() -> list[Any]:
    return [record for record in audit_after(0, 10_000) if is_decision(record)]


@pytest.fixture
def busy(market: LiveMarket, owner: Client) -> Client:
    """Decisions of every kind: router, orders filled, refused and rejected, flatten, under changing controls."""
    for symbol in (*SYMBOLS, *SYMBOLS):
        plan(owner, symbol)
    for quantity in ("0.1", "0.010005", "900"):
        buy(owner, quantity)
    buy(owner, "0.05", side="SELL")
    set_limits(symbol_notional_cap_e8=10**10)
    buy(owner, "0.2")
    market.later(60_000)
    market.tick()
    post(owner, "/api/trading/flatten", {"reason": "out"})
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    buy(owner, "0.01")
    return owner


def test_every_decision_has_exactly_one_record(busy: Client) -> None:
    records = {record.audit_id: record for record in decisions()}
    rows = list(Execution.objects.all())
    assert len(rows) == len(records) >= 10
    assert {row.audit_id for row in rows} == set(records)
    for row in rows:
        record = records[row.audit_id]
        answer = json.loads(bytes(row.answer))
        assert record.sequence == row.audit_sequence
        assert (record.content["executionId"], record.ts_ms) == (row.execution_id, row.ts_ms)
        assert answer["contentHash"] == record.content_hash
    for order in Order.objects.select_related("execution"):
        assert records[order.execution.audit_id].content["orderId"] == order.order_id


def test_every_record_replays_equal_and_is_small(busy: Client) -> None:
    results = [replay_record(record) for record in decisions()]
    assert [result.differences for result in results if not result.matches] == []
    out = StringIO()
    call_command("replay", "--all", stdout=out)
    assert f"{len(results)} decisions replayed, {len(results)} equal" in out.getvalue()
    sizes = sorted(len(record.body) for record in decisions())
    assert sizes[len(sizes) // 2] < 8_192


def test_the_books_balance_and_the_chain_holds(busy: Client) -> None:
    assert book_differences() == []
    verified = audit_verify(from_checkpoint=False)
    assert verified.intact and verified.records == audit_head()[0]


def test_when_the_record_cannot_be_written_nothing_remains(
    market: LiveMarket, local: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert buy(local).status_code == 201
    before = {model._meta.label: list(model.objects.order_by("pk").values()) for model in apps.get_models()}
    head = audit_head()

    def broken(draft: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(recording.audit, "audit_write", broken)
        for ask in (lambda: buy(local, "0.1"), lambda: plan(local), lambda: buy(local, "900")):
            with pytest.raises(RuntimeError):
                ask()
    after = {model._meta.label: list(model.objects.order_by("pk").values()) for model in apps.get_models()}
    assert after == before and audit_head() == head
    assert buy(local).status_code == 201, "the desk goes on"


def test_a_changed_byte_is_named(busy: Client, desk_db: Path) -> None:
    victim = audit_latest(1, kind="execution.decision")[0]
    changed = bytes(victim.body).replace(b'"actor":"owner:owner"', b'"actor":"owner:other"')
    assert changed != bytes(victim.body)
    with sqlite3.connect(desk_db, isolation_level=None) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit_auditrecord SET body = ? WHERE sequence = ?", (changed, victim.sequence))
    connection.close()
    out = StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("verify_audit", "--all", stdout=out)
    assert caught.value.code == 3
    assert f"BROKEN at record {victim.sequence} ({victim.audit_id})" in out.getvalue()
    assert not replay_record(audit_latest(1, kind="execution.decision")[0]).matches


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE execution_account SET cash_e8 = cash_e8 + 1", "cash"),
        ("UPDATE execution_account SET fees_e8 = fees_e8 - 1", "fees"),
        ("UPDATE execution_position SET quantity_e8 = quantity_e8 + 1 WHERE symbol = 'BTCUSDT'", "position BTCUSDT"),
        ("DELETE FROM execution_position WHERE symbol = 'BTCUSDT'", "position BTCUSDT"),
    ],
)
def test_a_book_that_does_not_balance_starts_halted(
    market: LiveMarket, local: Client, desk_db: Path, statement: str, word: str
) -> None:
    assert buy(local, "0.1").status_code == 201
    assert start_check(ts_ms=CLOSED_MS) is None and not trading_state_current().is_halted
    with sqlite3.connect(desk_db, isolation_level=None) as connection:
        connection.execute(statement)
    connection.close()
    reason = start_check(ts_ms=CLOSED_MS)
    assert reason is not None and word in reason
    assert trading_state_current().is_halted and buy(local).json()["reason"] == "trading_halted"


def test_a_log_that_was_changed_starts_halted_and_names_the_record(
    market: LiveMarket, local: Client, desk_db: Path
) -> None:
    assert buy(local, "0.1").status_code == 201
    broken = decisions()[0].sequence
    with sqlite3.connect(desk_db, isolation_level=None) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit_auditrecord SET ts_ms = ts_ms + 1 WHERE sequence = ?", [broken])
    connection.close()
    reason = start_check(ts_ms=CLOSED_MS)
    assert reason is not None and reason.startswith(f"the audit log is broken at record {broken}, "), reason
    assert "(" not in reason.split(":")[0] and trading_state_current().is_halted
