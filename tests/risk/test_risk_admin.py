"""The admin changes limits and states through the services: audited, refused where they refuse, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from apps.audit.selectors import audit_latest, audit_verify
from apps.risk import selectors, services

TS_MS = 1_767_225_600_000
LIMIT, STATE = "/admin/risk/limitrevision/add/", "/admin/risk/tradingstaterevision/add/"


@pytest.fixture(autouse=True)
def market_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.risk.admin.market_ms", lambda: TS_MS + 60_000)


def client_of(role: str) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create(username=role, role=role, is_staff=True))
    return client


def change(client: Client, path: str, **values: Any) -> str:
    """What the page says; empty when the change was made."""
    answer = client.post(path, {"reason": "calmer", **values})
    assert answer.status_code in (200, 302), answer.content
    return answer.content.decode() if answer.status_code == 200 else ""


def test_an_operator_tightens_a_limit_in_the_units_people_read(seeded: Path) -> None:
    client = client_of("operator")
    assert "maxNotional (quote currency)" in client.get(LIMIT).content.decode()
    assert change(client, LIMIT, limit="max_notional_e8", value="1000.5") == ""
    assert change(client, LIMIT, limit="max_drawdown_bps", value="0.04") == ""
    assert change(client, LIMIT, limit="breaker_ms", value="960000") == ""
    limits = selectors.limits_current()
    assert (limits["max_notional_e8"], limits["max_drawdown_bps"], limits["breaker_ms"]) == (
        100_050_000_000,
        400,
        960_000,
    )
    record = audit_latest(1)[0]
    assert (record.kind, record.actor, record.content["reason"]) == ("risk.limits", "operator:operator", "calmer")
    assert audit_verify().intact


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"limit": "max_notional_e8", "value": "300000"}, "only an owner may loosen max_notional_e8"),
        ({"limit": "max_drawdown_bps", "value": "0.00001"}, "at most 4 decimals"),
        ({"limit": "orders_per_minute", "value": "2.5"}, "at most 0 decimals"),
        ({"limit": "orders_per_minute", "value": "0"}, "must be between 1 and 60"),
        ({"limit": "orders_per_minute", "value": "NaN"}, "Enter a number"),
        ({"limit": "leverage", "value": "1"}, "Select a valid choice"),
        ({"limit": "orders_per_minute", "value": "3", "reason": " "}, "This field is required"),
    ],
)
def test_what_the_service_refuses_is_said_on_the_form(seeded: Path, values: dict[str, str], told: str) -> None:
    assert told in change(client_of("operator"), LIMIT, **values)
    assert len(audit_latest(9)) == 1


def test_an_owner_halts_and_releases(seeded: Path) -> None:
    client = client_of("owner")
    assert change(client, STATE, state="HALTED") == ""
    assert selectors.trading_state_current().is_halted
    assert "type RELEASE" in change(client, STATE, state="ACTIVE")
    assert change(client, STATE, state="ACTIVE", confirmation="RELEASE") == ""
    assert selectors.trading_state_current().state.name == "ACTIVE"
    assert change(client, STATE, state="REDUCING", symbol="ETHUSDT") == ""
    assert selectors.trading_state_current("ETHUSDT").state.name == "REDUCING"
    assert "no filters are known" in change(client, STATE, state="REDUCING", symbol="NOPEUSDT")
    assert [record.kind for record in audit_latest(9)] == [
        *("risk.trading_state", "risk.release", "risk.kill", "risk.seed"),
    ]


def test_viewers_and_events_change_nothing(seeded: Path) -> None:
    viewer, owner = client_of("viewer"), client_of("owner")
    services.usage_record(symbol="BTCUSDT", notional_e8=7, ts_ms=TS_MS)
    assert viewer.get("/admin/risk/limitrevision/").status_code == 200
    assert viewer.get(LIMIT).status_code == 403 and viewer.post(LIMIT, {}).status_code == 403
    for model in ("breakertrip", "guardevent", "symbolusage"):
        assert owner.get(f"/admin/risk/{model}/").status_code == 200
        assert owner.get(f"/admin/risk/{model}/add/").status_code == 403
    assert owner.post("/admin/risk/limitrevision/1/change/", {"value": 1}).status_code == 403
    assert owner.post("/admin/risk/limitrevision/1/delete/", {"post": "yes"}).status_code == 403
    assert len(audit_latest(9)) == 1
