"""POST /api/exec/plan-and-execute: what it answers, and that every read agrees with what it did."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from apps.audit.selectors import audit_head
from apps.engine.policies import POLICIES
from apps.execution import desk
from apps.execution.models import Execution, Order
from apps.flags.services import flags_set
from apps.marketdata.market import MarketView, Quote
from apps.risk import services as risk
from apps.strategy.models import View
from tests.support.live_desk import (
    BLOCKS,
    CLOSED_MS,
    SYMBOLS,
    LiveMarket,
    buy,
    plan,
    plan_until_it_sends,
    post,
    set_limits,
)
from tests.support.shapes import ACCOUNT, EXECUTION, POSITION, SIZING, check, time


def test_a_fill_changes_the_position_and_every_read_agrees(market: LiveMarket, local: Client) -> None:
    record = plan_until_it_sends(local)
    check(record, EXECUTION)
    assert (record["status"], record["side"], record["blocked"]) == ("filled", "BUY", False)
    assert record["policyId"] in POLICIES
    size = Decimal(record["finalSize"])
    assert size > 0 and record["requestedSize"] == record["finalSize"]
    assert Decimal(record["position"]["after"]["quantity"]) - Decimal(record["position"]["before"]["quantity"]) == size
    assert local.get("/api/exec/executions?limit=1").json() == [record]

    sized = local.get("/api/exec/sizing/last").json()
    check(sized, [{"symbol": lambda name: name in SYMBOLS, "ts": time, **SIZING}])
    assert sized == [{"symbol": "BTCUSDT", **record["sizing"], "ts": record["ts"]}]

    positions = local.get("/api/trading/positions").json()
    check(positions, [POSITION])
    assert [row["symbol"] for row in positions] == list(SYMBOLS)
    assert positions[0]["quantity"] == record["position"]["after"]["quantity"]
    assert positions[0]["avgEntryPrice"] == record["fillPrice"] and positions[0]["updatedAt"] == record["ts"]
    assert positions[1]["quantity"] == "0"

    account = local.get("/api/trading/account").json()
    check(account, ACCOUNT)
    paid = Decimal(record["fillPrice"]) * size + Decimal(record["fee"])
    assert Decimal(account["cash"]) == Decimal(account["initialCash"]) - paid
    assert account["cash"] == record["position"]["after"]["cash"] and account["feesPaid"] == record["fee"]
    assert account["equity"] == record["position"]["after"]["equity"]

    audited = local.get(f"/api/audit/{record['auditId']}").json()
    assert (audited["contentHash"], audited["executionId"]) == (record["contentHash"], record["executionId"])
    assert audited["position"]["after"] == record["position"]["after"] and audited["kind"] == "execution.decision"


def test_a_second_decision_does_not_buy_again(market: LiveMarket, local: Client) -> None:
    first = plan_until_it_sends(local)
    held = Decimal(first["position"]["after"]["quantity"])
    for record in [plan(local).json() for _ in range(5)]:
        check(record, EXECUTION)
        after = Decimal(record["position"]["after"]["quantity"])
        assert 0 <= after <= held * 2
        assert record["status"] != "no_trade" or after == Decimal(record["position"]["before"]["quantity"])


def test_a_guards_refusal_is_an_answer_like_any_other(market: LiveMarket, local: Client) -> None:
    set_limits(symbol_notional_cap_e8=10**10)
    answer_record = plan_until_it_sends(local)
    check(answer_record, EXECUTION)
    assert (answer_record["status"], answer_record["blocked"], answer_record["reason"]) == (
        *("blocked", True),
        "symbol_cap",
    )
    assert "SYMBOL_NOTIONAL_CAP" in answer_record["detail"]
    assert {guard["name"]: guard["verdict"] for guard in answer_record["guards"]}["symbol_cap"] == "DENY"
    assert answer_record["orderId"] is None and answer_record["finalSize"] == "0" and not Order.objects.exists()
    assert local.get("/api/guards/state").json()["blockedLastMin"] == 1


@pytest.mark.parametrize("scope", [None, "BTCUSDT"], ids=["desk", "symbol"])
def test_a_kill_blocks_and_leaves_no_order(market: LiveMarket, local: Client, scope: str | None) -> None:
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS, symbol=scope)
    record = plan_until_it_sends(local)
    assert (record["status"], record["blocked"], record["reason"]) == ("blocked", True, "trading_halted")
    assert not Order.objects.exists()
    assert Execution.objects.filter(status="blocked").count() == 1


def test_a_stale_book_blocks(market: LiveMarket, local: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MAX_WAIT_S", 0.01)
    market.pause()
    market.later(6_000)
    record = plan_until_it_sends(local)
    check(record, EXECUTION)
    assert (record["status"], record["blocked"], record["reason"]) == ("blocked", True, "data_stale")
    refused = buy(local).json()
    assert (refused["blocked"], refused["reason"]) == (True, "data_stale")
    assert not Order.objects.exists()


def test_an_exchange_that_stands_still_is_stale_however_many_books_it_sends(market: LiveMarket, local: Client) -> None:
    market.freeze()
    market.later(31_000)
    market.tick()
    assert plan_until_it_sends(local)["reason"] == "data_stale"


def test_a_symbol_without_any_book_is_no_market_view(
    market: LiveMarket, local: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MAX_WAIT_S", 0.01)
    market.prices.pop("BTCUSDT")
    market.pause()
    monkeypatch.setitem(
        market.view._lanes, "BTCUSDT", type(market.view._lanes["BTCUSDT"])(Quote("BTCUSDT", 0, 0, 0, 0))
    )
    record = plan(local).json()
    assert (record["status"], record["blocked"], record["reason"]) == ("blocked", True, "no_market_view")


def test_without_a_view_there_is_no_decision_to_act_on(quiet_desk: MarketView) -> None:
    live = LiveMarket(quiet_desk)
    live.start(CLOSED_MS + 1_000)
    try:
        client = Client(headers={"host": "localhost"})
        for _ in range(2):
            record = plan(client).json()
            check(record, EXECUTION)
            assert (record["status"], record["blocked"], record["reason"]) == ("blocked", True, "no_market_view")
            live.later(60_000)
            live.tick()
        assert Execution.objects.count() == 2 and not View.objects.exists()
    finally:
        live.stop()


def test_an_old_view_blocks(market: LiveMarket, local: Client) -> None:
    market.later(90_000)
    market.tick()
    record = plan_until_it_sends(local)
    assert (record["status"], record["reason"]) == ("blocked", "no_market_view")


def test_before_the_market_is_known_nothing_is_decided(quiet_desk: MarketView) -> None:
    answer = plan(Client(headers={"host": "localhost"}))
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert not Execution.objects.exists()


def test_an_unknown_limit_is_a_503_and_nothing_is_written(market: LiveMarket, local: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_controlcurrent WHERE key = 'limit.max_notional_e8'")
    before = audit_head()
    for answer in (plan(local), post(local, "/api/router/choose", {"symbol": "BTCUSDT"})):
        assert answer.status_code == 503 and "max_notional_e8" in answer.json()["detail"]
    assert audit_head() == before and not Execution.objects.exists()


def test_an_unknown_trading_state_counts_as_halted(market: LiveMarket, local: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_controlcurrent WHERE key = 'state.desk'")
    record = plan_until_it_sends(local)
    assert (record["status"], record["reason"]) == ("blocked", "trading_halted")


def test_with_the_flag_off_decisions_are_recorded_and_nothing_is_sent(market: LiveMarket, local: Client) -> None:
    flags_set(changes={"ExecutionRouter": False}, actor="test", reason="test", ts_ms=CLOSED_MS)
    records = [plan(local, "ETHUSDT").json() for _ in range(24)]
    assert {record["status"] for record in records} == {"no_trade"}
    assert "execution_off" in {record["reason"] for record in records}
    assert Execution.objects.count() == 24 and not Order.objects.exists()


def test_a_thin_book_fills_in_part(market: LiveMarket, local: Client) -> None:
    market.depth = 0.001
    time_of_tick = market.view.now_ms()
    while market.view.book("BTCUSDT").asks[0][1] != 100_000:
        assert market.view.now_ms() < time_of_tick + 5_000
    record = plan_until_it_sends(local)
    assert (record["status"], record["reason"]) == ("partial", "book_exhausted")
    assert sum(Decimal(fill["quantity"]) for fill in record["fills"]) == Decimal("0.02")
    assert record["position"]["after"]["quantity"] == "0.02" and record["slippageBps"] > 0


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "symbol"),
        ({"symbol": "NOPEUSDT"}, 400, "symbol"),
        ({"symbol": "btcusdt"}, 400, "symbol"),
        ({"symbol": 1}, 400, "symbol"),
        ({"symbol": None}, 400, "symbol"),
        ({"symbol": "BTCUSDT", "size": 1}, 400, "size"),
    ],
)
def test_bad_input_names_the_field_and_writes_nothing(
    market: LiveMarket, local: Client, body: dict[str, Any], status: int, field: str
) -> None:
    before = audit_head()
    answer = post(local, "/api/exec/plan-and-execute", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field)
    assert audit_head() == before


def test_the_list_of_executions_filters_and_refuses(market: LiveMarket, local: Client) -> None:
    for symbol in (*SYMBOLS, "BTCUSDT"):
        plan(local, symbol)
    assert [row["symbol"] for row in local.get("/api/exec/executions").json()] == ["BTCUSDT", "ETHUSDT", "BTCUSDT"]
    assert len(local.get("/api/exec/executions?symbol=ETHUSDT").json()) == 1
    assert local.get("/api/exec/executions?symbol=NOPEUSDT").status_code == 404
    assert local.get("/api/exec/executions?limit=0").status_code == 400


def test_the_blocks_end_together() -> None:
    assert {int(bars.open_time_ms[-1]) + 60_000 for bars in BLOCKS.values()} == {CLOSED_MS}
