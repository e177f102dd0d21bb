"""Guards over HTTP: the contract's shape, who may do what, and refusals that name their member."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.audit.selectors import audit_latest
from apps.engine.reasons import Reason, Verdict
from apps.risk import selectors, services

TS_MS = 1_767_225_600_000


@pytest.fixture(autouse=True)
def market_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.risk.api.market_ms", lambda: TS_MS + 60_000)


def client_of(role: str | None, *, remote: bool = False) -> Client:
    from django.contrib.auth import get_user_model

    client = Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1" if remote else "127.0.0.1")
    if role:
        users = get_user_model().objects
        user = users.filter(username=role).first() or users.create(username=role, role=role)
        client.force_login(user)
    return client


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/api/guards/{path}", body, content_type="application/json")


def test_the_state_has_the_contract_s_shape(seeded: Path) -> None:
    services.usage_record(symbol="BTCUSDT", notional_e8=12_345_600_000_000, ts_ms=TS_MS + 1, orders_last_minute=2)
    services.usage_record(symbol="ETHUSDT", notional_e8=100_000_000, ts_ms=TS_MS, orders_last_minute=5)
    services.breaker_record(
        tripped_at_ms=TS_MS,
        until_ms=TS_MS + 900_000,
        kind="rolling_drawdown",
        observed=512,
        reason="rolling drawdown",
        window_start_fill=7,
        audit_sequence=3,
    )
    for guard, sequence, at_ms in [("a", 9, 60_000), ("b", 9, 60_000), ("a", 10, 1), ("a", 8, 0)]:
        services.guard_event_record(
            symbol="BTCUSDT",
            guard=guard,
            reason=Reason.SYMBOL_CAP,
            verdict=Verdict.DENY,
            observed=None,
            limit=5,
            audit_sequence=sequence,
            ts_ms=TS_MS + at_ms,
        )
    answer = client_of(None).get("/api/guards/state")
    assert answer.status_code == 200
    assert answer.json() == {
        "killSwitch": {"engaged": False, "actor": None, "reason": None, "since": None, "bySymbol": {}},
        "tradingState": "ACTIVE",
        "limits": {
            "maxNotional": "250000",
            "symbolNotionalCap": "100000",
            "maxDrawdown": 0.05,
            "drawdownWindowTrades": 50,
            "breakerMs": 900_000,
            "maxOrdersPerMinute": 6,
            "staleAfterMs": 5000,
            "maxOrderNotional": "100000",
            "hardDrawdown": 0.1,
            "dailyLoss": 0.03,
            "repeatOrders": 20,
            "priceCollar": 0.02,
            "filtersStaleAfterMs": 86_400_000,
            "cooldownMs": 0,
            "stoplossGuardTrades": 0,
            "stoplossGuardLookbackMs": 86_400_000,
            "stoplossGuardMs": 3_600_000,
            "lowProfitTrades": 0,
            "lowProfit": 0.0,
            "lowProfitLookbackMs": 86_400_000,
            "lowProfitMs": 3_600_000,
        },
        "usage": {"notional": "123457", "bySymbol": {"BTCUSDT": "123456", "ETHUSDT": "1"}},
        "breaker": {
            "tripped": True,
            "trippedAt": "2026-01-01T00:00:00.000Z",
            "until": "2026-01-01T00:15:00.000Z",
            "drawdown": 0.0512,
            "reason": "rolling drawdown",
        },
        "latches": [],
        "throttle": {
            "bySymbol": {"BTCUSDT": {"ordersLastMin": 2, "limit": 6}, "ETHUSDT": {"ordersLastMin": 0, "limit": 6}}
        },
        "blockedLastMin": 2,
    }
    breaker = selectors.breaker_current()
    assert breaker is not None and breaker.window_start_fill == 7
    assert breaker.is_tripped(TS_MS + 899_999) and not breaker.is_tripped(TS_MS + 900_000)


def test_loopback_engages_and_an_owner_releases(seeded: Path) -> None:
    engaged = post(client_of(None), "kill-switch", {"engaged": True, "reason": "smoke"})
    assert engaged.status_code == 200
    assert engaged.json()["killSwitch"] == {
        "engaged": True,
        "actor": "loopback",
        "reason": "smoke",
        "since": "2026-01-01T00:01:00.000Z",
        "bySymbol": {},
    }
    body = {"engaged": False, "reason": "looked", "confirmation": "RELEASE"}
    assert post(client_of(None), "kill-switch", body).status_code == 401
    assert post(client_of("operator"), "kill-switch", body).status_code == 403
    unconfirmed = post(client_of("owner"), "kill-switch", {**body, "confirmation": "yes"})
    assert (unconfirmed.status_code, unconfirmed.json()["errors"][0]["field"]) == (400, "confirmation")
    released = post(client_of("owner"), "kill-switch", body)
    assert (released.status_code, released.json()["killSwitch"]["engaged"]) == (200, False)
    assert audit_latest(1)[0].actor == "owner:owner"
    assert post(client_of("owner"), "kill-switch", body).status_code == 409


def test_one_symbol_is_killed_and_shown(seeded: Path) -> None:
    answer = post(client_of(None), "kill-switch", {"engaged": True, "reason": "odd prices", "symbol": "ETHUSDT"})
    assert answer.json()["killSwitch"]["bySymbol"]["ETHUSDT"]["state"] == "HALTED"
    assert answer.json()["killSwitch"]["engaged"] is False


def test_elsewhere_needs_a_login(seeded: Path) -> None:
    remote = client_of(None, remote=True)
    assert remote.get("/api/guards/state").status_code == 401
    assert post(remote, "kill-switch", {"engaged": True, "reason": "x"}).status_code == 401
    assert post(client_of("viewer", remote=True), "kill-switch", {"engaged": True, "reason": "x"}).status_code == 403
    for path, body in [("limits", {"staleAfterMs": 100}), ("trading-state", {"state": "REDUCING"})]:
        assert post(client_of(None), path, {**body, "reason": "x"}).status_code == 401
        assert post(client_of("viewer"), path, {**body, "reason": "x"}).status_code == 403
    assert len(audit_latest(9)) == 1


def test_limits_are_tightened_by_an_operator_and_loosened_by_an_owner(seeded: Path) -> None:
    body = {"maxNotional": "100000.5", "maxDrawdown": 0.04, "maxOrdersPerMinute": 3, "reason": "calmer"}
    answer = post(client_of("operator"), "limits", body)
    assert answer.status_code == 200
    limits = answer.json()["limits"]
    assert (limits["maxNotional"], limits["maxDrawdown"], limits["maxOrdersPerMinute"]) == ("100000.5", 0.04, 3)
    looser = {"maxNotional": "200000", "reason": "more"}
    assert post(client_of("operator"), "limits", looser).status_code == 403
    assert post(client_of("owner"), "limits", looser).json()["limits"]["maxNotional"] == "200000"


def test_every_limit_that_is_shown_can_be_set(seeded: Path) -> None:
    client = client_of("owner")
    shown = client.get("/api/guards/state").json()["limits"]
    changed = {
        **shown,
        **{"maxOrderNotional": "5.00000001", "hardDrawdown": 0.0, "dailyLoss": 0.0123, "repeatOrders": 3},
        **{"priceCollar": 0.05, "cooldownMs": 1, "lowProfit": -0.02, "lowProfitMs": 60_000},
    }
    answer = post(client, "limits", {**changed, "reason": "all of them"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["limits"] == changed
    assert client.get("/api/guards/state").json()["limits"] == changed


def test_trading_states_over_http(seeded: Path) -> None:
    operator, owner = client_of("operator"), client_of("owner")
    assert post(operator, "trading-state", {"state": "REDUCING", "reason": "r"}).json()["tradingState"] == "REDUCING"
    assert post(operator, "trading-state", {"state": "ACTIVE", "reason": "r"}).status_code == 403
    assert post(owner, "trading-state", {"state": "ACTIVE", "reason": "r"}).json()["tradingState"] == "ACTIVE"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("limits", {"maxOrdersPerMinute": 61}, "maxOrdersPerMinute"),
        ("limits", {"maxOrdersPerMinute": "3"}, "maxOrdersPerMinute"),
        ("limits", {"maxNotional": "-5"}, "maxNotional"),
        ("limits", {"maxNotional": "1e5"}, "maxNotional"),
        ("limits", {"maxNotional": "99999999999"}, "maxNotional"),
        ("limits", {"maxDrawdown": 0.00001}, "maxDrawdown"),
        ("limits", {"maxDrawdown": 1.5}, "maxDrawdown"),
        ("limits", {"lowProfit": -1.5}, "lowProfit"),
        ("limits", {"priceCollar": 0.00005}, "priceCollar"),
        ("limits", {"stoplossGuardMs": 59_999}, "stoplossGuardMs"),
        ("limits", {"leverage": 2}, "leverage"),
        ("limits", {}, "body"),
        ("kill-switch", {"engaged": "true"}, "engaged"),
        ("kill-switch", {"engaged": True, "symbol": "NOPEUSDT"}, "symbol"),
        ("kill-switch", {"engaged": True, "reason": ""}, "reason"),
        ("trading-state", {"state": "PAUSED"}, "state"),
        ("trading-state", {}, "state"),
    ],
)
def test_a_refusal_names_its_member_and_writes_nothing(
    seeded: Path, path: str, body: dict[str, Any], field: str
) -> None:
    answer = post(client_of("owner"), path, {"reason": "r", **body})
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"].startswith("application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert len(audit_latest(9)) == 1


def test_flags_are_flipped_under_the_fence() -> None:
    from apps.flags import services as flags
    from apps.risk import fence

    assert flags._fence is fence.exclusive
