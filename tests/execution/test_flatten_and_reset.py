"""Closing positions, also on a HALTED desk, and starting the account anew."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.audit.selectors import audit_head, audit_latest
from apps.engine.decision import SOURCE_FLATTEN
from apps.engine.errors import Conflict
from apps.execution import desk
from apps.execution.models import Account, Execution, Order
from apps.execution.requests import DecisionRequest
from apps.risk import services as risk
from apps.web.roles import Role
from tests.support.live_desk import CLOSED_MS, LiveMarket, buy, client_of, plan_until_it_sends, post
from tests.support.shapes import ACCOUNT, EXECUTION, check

FLATTEN = "/api/trading/flatten"
RESET = "/api/trading/account/reset"


def quantities(client: Client) -> list[str]:
    return [row["quantity"] for row in client.get("/api/trading/positions").json()]


@pytest.fixture
def held(market: LiveMarket, local: Client) -> Client:
    """A loopback client of a desk that holds both symbols."""
    assert buy(local, "0.1").status_code == buy(local, "0.2", symbol="ETHUSDT").status_code == 201
    return local


def test_it_closes_everything_on_an_active_desk(held: Client, owner: Client) -> None:
    answer = post(owner, FLATTEN, {"reason": "done for today"})
    assert answer.status_code == 200
    records = answer.json()["executions"]
    check(records, [EXECUTION])
    assert [(row["symbol"], row["status"], row["side"], row["finalSize"]) for row in records] == [
        ("BTCUSDT", "filled", "SELL", "0.1"),
        ("ETHUSDT", "filled", "SELL", "0.2"),
    ]
    assert quantities(held) == ["0", "0"]
    assert post(owner, FLATTEN, {"reason": "again"}).json() == {"executions": []}


def test_one_symbol_is_closed_and_the_other_stays(held: Client, owner: Client) -> None:
    post(owner, FLATTEN, {"symbol": "ETHUSDT", "reason": "one"})
    assert quantities(held) == ["0.1", "0"]
    record = post(owner, FLATTEN, {"symbol": "ETHUSDT", "reason": "flat"}).json()["executions"][0]
    assert (record["status"], record["reason"]) == ("no_trade", "nothing_to_flatten")


@pytest.mark.parametrize("scope", [None, "BTCUSDT"], ids=["desk", "symbol"])
def test_a_halted_desk_asks_for_the_word_and_then_passes(held: Client, owner: Client, scope: str | None) -> None:
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS, symbol=scope)
    before = audit_head()
    for confirmation in ({}, {"confirmation": "flatten"}):
        answer = post(owner, FLATTEN, {"symbol": "BTCUSDT", "reason": "out", **confirmation})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "confirmation")
    assert audit_head() == before
    answer = post(owner, FLATTEN, {"symbol": "BTCUSDT", "reason": "out", "confirmation": "FLATTEN"})
    assert answer.json()["executions"][0]["status"] == "filled"
    assert quantities(held) == ["0", "0.2"]


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_a_kill_overtakes_a_flatten_that_nobody_confirmed(held: Client, is_confirmed: bool) -> None:
    """The kill comes between the request and the commit: what was asked for before it must not commit after it."""
    request = DecisionRequest("BTCUSDT", SOURCE_FLATTEN, "owner:test", "out", is_confirmed=is_confirmed)
    prepared = desk.prepare(request)
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    before = audit_head()
    if is_confirmed:
        desk.commit(prepared, desk.wait_for_arrival(prepared))
        assert quantities(held) == ["0", "0.2"]
    else:
        with pytest.raises(Conflict):
            desk.commit(prepared, desk.wait_for_arrival(prepared))
        assert audit_head() == before and quantities(held) == ["0.1", "0.2"]


def test_a_word_typed_on_an_active_desk_confirms_nothing(held: Client, owner: Client, monkeypatch: Any) -> None:
    taken: list[DecisionRequest] = []
    monkeypatch.setattr(desk, "take", lambda request: taken.append(request))
    with pytest.raises(AttributeError):
        post(owner, FLATTEN, {"symbol": "BTCUSDT", "reason": "out", "confirmation": "FLATTEN"})
    assert [request.is_confirmed for request in taken] == [False]


def test_a_flatten_is_never_throttled(market: LiveMarket, local: Client, owner: Client) -> None:
    for _ in range(6):
        assert buy(local).status_code == 201
    assert post(owner, FLATTEN, {"reason": "out"}).json()["executions"][0]["status"] == "filled"


def test_a_repeated_flatten_of_everything_gives_the_same_bytes(held: Client, owner: Client) -> None:
    first = post(owner, FLATTEN, {"reason": "out"}, key="k")
    assert buy(held, "0.1").status_code == 201
    again = post(owner, FLATTEN, {"reason": "out"}, key="k")
    assert again.content == first.content and again["Idempotency-Replayed"] == "true"
    assert quantities(held) == ["0.1", "0"]
    assert post(owner, FLATTEN, {"reason": "another"}, key="k").status_code == 422


def test_it_takes_a_login(held: Client) -> None:
    assert post(held, FLATTEN, {"reason": "out"}).status_code == 401
    assert post(client_of(Role.VIEWER), FLATTEN, {"reason": "out"}).status_code == 403
    assert post(client_of(Role.OPERATOR), FLATTEN, {"reason": "out"}).status_code == 200


@pytest.mark.parametrize(("body", "field"), [({}, "reason"), ({"reason": "x", "symbol": "NOPEUSDT"}, "symbol")])
def test_bad_input_names_the_field(held: Client, owner: Client, body: dict[str, str], field: str) -> None:
    answer = post(owner, FLATTEN, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_a_reset_starts_an_epoch_and_keeps_the_old_one(held: Client, owner: Client) -> None:
    body = {"reason": "a new season", "confirmation": "RESET"}
    assert post(owner, RESET, body).status_code == 409
    assert Account.objects.count() == 1
    post(owner, FLATTEN, {"reason": "out"})
    n_executions = Execution.objects.count()
    answer = post(owner, RESET, body)
    account = answer.json()
    assert answer.status_code == 201
    check(account, ACCOUNT)
    assert (account["epoch"], account["cash"], account["feesPaid"], account["fills"]) == (2, "1000000", "0", 0)
    assert Account.objects.get(epoch=1).fees_e8 > 0 and Execution.objects.count() == n_executions
    record = audit_latest(1)[0]
    assert (record.kind, record.actor) == ("execution.epoch", "owner:owner")
    assert json.loads(bytes(record.body))["controls"] == {"account.epoch": 2}
    assert plan_until_it_sends(held)["status"] == "filled" and buy(held).status_code == 201
    assert Order.objects.filter(account_id=2).count() == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "confirmation"),
        ({"reason": "x", "confirmation": "reset"}, "confirmation"),
        ({"confirmation": "RESET"}, "reason"),
        ({"reason": "x" * 201, "confirmation": "RESET"}, "reason"),
    ],
)
def test_a_reset_needs_a_reason_and_the_word(
    market: LiveMarket, owner: Client, body: dict[str, str], field: str
) -> None:
    answer = post(owner, RESET, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert Account.objects.count() == 1


def test_only_an_owner_resets(market: LiveMarket, local: Client) -> None:
    body = {"reason": "x", "confirmation": "RESET"}
    assert post(local, RESET, body).status_code == 401
    assert post(client_of(Role.OPERATOR), RESET, body).status_code == 403
    assert Account.objects.count() == 1
