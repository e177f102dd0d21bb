"""The book against its fills: to the unit, found in time, with the figures, and without reading everything again."""

from __future__ import annotations

import json
import threading
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client

from apps.audit.selectors import audit_latest, audit_verify
from apps.execution import reconciler as module
from apps.execution.health import exec_probe
from apps.execution.models import Account, Fill, Order, Position, Reconciliation
from apps.execution.reconciler import BookDifference, Reconciler, book_differences, halt_reason
from apps.risk.selectors import trading_state_current
from tests.support.live_desk import CLOSED_MS, LiveMarket, buy, post

FIGURES = ("quantity_e8", "cost_e8", "realized_e8", "fees_e8")


def drift(table: str, column: str, by: int = 1, where: str = "1 = 1") -> None:
    """Change a stored figure behind the desk's back."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE execution_{table} SET {column} = {column} + {by} WHERE {where}")


@pytest.fixture
def traded_desk(market: LiveMarket, local: Client) -> Client:
    """Bought twice, sold once: every figure is moving."""
    assert buy(local, "0.3").status_code == buy(local, "0.2").status_code == 201
    assert buy(local, "0.1", side="SELL").status_code == buy(local, "1", symbol="ETHUSDT").status_code == 201
    return local


def test_a_desk_that_traded_is_balanced(traded_desk: Client) -> None:
    checked = Reconciler().check(ts_ms=CLOSED_MS)
    assert checked is not None and checked.differences == () and checked.fills == Fill.objects.count() >= 4
    kept = Reconciliation.objects.get()
    assert (kept.account_id, kept.ts_ms, kept.fills, kept.differences) == (1, CLOSED_MS, checked.fills, [])
    assert book_differences() == [] and not trading_state_current().is_halted


@pytest.mark.parametrize(
    ("table", "column", "word"),
    [("account", "cash_e8", "cash"), ("account", "fees_e8", "fees")]
    + [
        ("position", column, f"{word} BTCUSDT")
        for column, word in zip(FIGURES, ("position", "cost", "realized", "fees"), strict=True)
    ]
    + [('"order"', "filled_e8", "filled of od")],
)
@pytest.mark.parametrize("by", [1, -1])
def test_one_unit_of_drift_halts_with_the_figures(
    traded_desk: Client, table: str, column: str, word: str, by: int
) -> None:
    reconciler = Reconciler()
    reconciler.check(ts_ms=CLOSED_MS)
    where = {"position": "symbol = 'BTCUSDT'", '"order"': "number = 1"}.get(table, "1 = 1")
    with connection.cursor() as cursor:
        name = "execution_order" if "order" in table else f"execution_{table}"
        cursor.execute(f"UPDATE {name} SET {column} = {column} + {by} WHERE {where}")
    checked = reconciler.check(ts_ms=CLOSED_MS + 1)
    assert checked is not None and len(checked.differences) == 1
    (found,) = checked.differences
    assert found.what.startswith(word) and found.stored - found.from_fills == by
    state = trading_state_current()
    assert state.is_halted and state.actor == "reconciler" and str(found) in state.reason
    assert buy(traded_desk).json()["reason"] == "trading_halted"


@pytest.mark.parametrize("column", ["quantity_e8", "notional_e8", "fee_e8", "price_e8"])
def test_a_fill_that_changes_after_it_was_folded_is_found(traded_desk: Client, column: str) -> None:
    reconciler = Reconciler()
    assert not reconciler.check(ts_ms=CLOSED_MS).differences  # type: ignore[union-attr]
    drift("fill", column, where="id = 1")
    assert reconciler.check(ts_ms=CLOSED_MS).differences  # type: ignore[union-attr]


def test_a_fill_that_changes_its_side_or_goes_is_found(traded_desk: Client) -> None:
    for statement in (
        "UPDATE execution_fill SET side = 'SELL' WHERE id = 1",
        "DELETE FROM execution_fill WHERE id = 1",
    ):
        reconciler = Reconciler()
        reconciler.check(ts_ms=CLOSED_MS)
        with connection.cursor() as cursor:
            cursor.execute(statement)
        assert reconciler.check(ts_ms=CLOSED_MS).differences  # type: ignore[union-attr]


def test_differences_go_on_record_once_until_they_change(traded_desk: Client) -> None:
    reconciler = Reconciler()
    drift("account", "cash_e8", by=7)
    for _ in range(3):
        reconciler.check(ts_ms=CLOSED_MS)
    drift("account", "cash_e8", by=1)
    reconciler.check(ts_ms=CLOSED_MS)
    records = [json.loads(bytes(row.body)) for row in audit_latest(50, kind="execution.reconciliation")]
    assert [record["differences"][0][0] for record in records] == ["cash", "cash"]
    drifts = [int(stored) - int(made) for record in records for _, stored, made in record["differences"]]
    assert drifts == [8, 7] and audit_verify().intact


def test_only_new_fills_are_read_again(traded_desk: Client) -> None:
    reconciler = Reconciler()
    reconciler.check(ts_ms=CLOSED_MS)
    book = reconciler._book
    buy(traded_desk)
    folded: list[int] = []
    real = module.FillBook._fold

    def counted(self: Any, pk: int, fill: dict[str, Any]) -> None:
        folded.append(pk)
        real(self, pk, fill)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.FillBook, "_fold", counted)
        reconciler.check(ts_ms=CLOSED_MS)
    assert reconciler._book is book and folded == [Fill.objects.latest("pk").pk]


def test_it_follows_the_account_into_the_next_epoch(traded_desk: Client, owner: Client) -> None:
    reconciler = Reconciler()
    reconciler.check(ts_ms=CLOSED_MS)
    post(owner, "/api/trading/flatten", {"reason": "out"})
    assert post(owner, "/api/trading/account/reset", {"reason": "new", "confirmation": "RESET"}).status_code == 201
    checked = reconciler.check(ts_ms=CLOSED_MS)
    assert checked is not None and (checked.epoch, checked.fills, checked.differences) == (2, 0, ())


def test_the_running_reconciler_finds_drift_and_survives_a_broken_database(
    traded_desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler, stop = Reconciler(), threading.Event()
    real, failures = Reconciler.check, [OperationalError("the server is gone")]

    def flaky(self: Reconciler, **given: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(self, **given)

    monkeypatch.setattr(Reconciler, "check", flaky)
    thread = threading.Thread(
        target=reconciler.run, args=(stop,), kwargs={"now_ms": lambda: CLOSED_MS, "every_s": 0.05}
    )
    thread.start()
    drift("account", "cash_e8")
    started = time.monotonic()
    while not trading_state_current().is_halted and time.monotonic() - started < 10:
        time.sleep(0.02)
    stop.set()
    thread.join()
    assert trading_state_current().is_halted and failures == []
    assert module.EVERY_S <= 60


def test_the_reason_names_as_many_figures_as_fit() -> None:
    one = BookDifference("cash", 3, 2)
    assert halt_reason((one,)) == "the book does not balance: cash is 3, fills give 2"
    many = tuple(BookDifference(f"position COIN{number:02}USDT", number, 0) for number in range(40))
    text = halt_reason(many)
    named = text.count("fills give")
    assert len(text) <= 500 and 3 < named < 40 and text.endswith(f"and {40 - named} more")


def test_the_command_says_balanced_and_exits_3_on_a_difference(traded_desk: Client) -> None:
    out = StringIO()
    call_command("reconcile", json=True, stdout=out)
    assert json.loads(out.getvalue()) == {
        "balanced": True,
        "epoch": 1,
        "fills": Fill.objects.count(),
        "differences": [],
    }
    drift("account", "cash_e8", by=-1)
    cash = Account.objects.get().cash_e8
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("reconcile", json=True, stdout=out)
    assert ended.value.code == 3 and json.loads(out.getvalue())["differences"] == [
        {"what": "cash", "stored": str(cash), "fromFills": str(cash + 1), "drift": "-1"}
    ]
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("reconcile", stdout=out)
    assert "NOT BALANCED" in out.getvalue() and "(-1 in 1e-8)" in out.getvalue()
    assert trading_state_current().is_halted


def test_the_command_without_an_account_says_so(desk_db: Path) -> None:
    assert Reconciler().check(ts_ms=1) is None and book_differences() == []
    with pytest.raises(CommandError, match="no account"):
        call_command("reconcile")


def test_an_open_state_that_says_otherwise_is_found(traded_desk: Client) -> None:
    order = Order.objects.get(number=1)
    order.state = {"lots": order.quantity_e8 // 100_000, "filled_lots": 1}
    order.is_open = True
    order.save()
    found = book_differences()
    assert [difference.what for difference in found] == [f"open state of {order.order_id}"]
    assert found[0].stored == 100_000 and found[0].from_fills == order.filled_e8
    assert Position.objects.count() == 2


def test_health_says_how_the_book_stood(traded_desk: Client) -> None:
    def told() -> Any:
        return exec_probe()["book_differences"]

    assert "bookDifferences" in traded_desk.get("/api/health").json()["exec"]
    assert told() is None
    Reconciler().check(ts_ms=CLOSED_MS)
    assert told() == 0
    drift("account", "cash_e8")
    Reconciler().check(ts_ms=CLOSED_MS)
    assert told() == 1
