"""Limits change by revision, audited, within bounds; operators tighten, owners loosen."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection

from apps.audit.selectors import audit_latest, audit_verify, controls_current
from apps.engine.errors import InvalidInput, UnknownName
from apps.risk import selectors, services
from apps.risk.limits import LIMITS
from apps.risk.models import LimitRevision
from apps.web.roles import Role

TS_MS = 1_767_225_600_000
DEFAULTS = {
    "max_notional_e8": 250_000 * 10**8,
    "symbol_notional_cap_e8": 100_000 * 10**8,
    "max_drawdown_bps": 500,
    "drawdown_window_trades": 50,
    "breaker_ms": 900_000,
    "orders_per_minute": 6,
    "stale_after_ms": 5_000,
    "order_cap_e8": 100_000 * 10**8,
    "hard_drawdown_bps": 1_000,
    "daily_loss_bps": 300,
    "repeat_orders": 20,
    "collar_bps": 200,
    "filters_stale_after_ms": 86_400_000,
    "cooldown_ms": 0,
    "stop_guard_trades": 0,
    "stop_guard_window_ms": 86_400_000,
    "stop_guard_pause_ms": 3_600_000,
    "low_profit_trades": 0,
    "low_profit_bps": 0,
    "low_profit_window_ms": 86_400_000,
    "low_profit_pause_ms": 3_600_000,
}


def change(role: Role = Role.OPERATOR, **changes: Any) -> dict[str, int]:
    return services.limits_set(changes=changes, actor="operator:bo", reason="because", ts_ms=TS_MS + 1, role=role)


def test_the_first_start_seeds_every_control_as_one_record(seeded: Path) -> None:
    (record,) = audit_latest(10)
    assert record.kind == "risk.seed"
    assert selectors.limits_current() == DEFAULTS
    assert {key: control.value for key, control in controls_current().items()} == {
        **{f"limit.{name}": value for name, value in DEFAULTS.items()},
        "state.desk": "ACTIVE",
        "kill": {"engaged": False, "actor": "environment", "reason": "first start", "tsMs": TS_MS},
    }
    services.seed_controls(ts_ms=TS_MS + 5)
    assert len(audit_latest(10)) == 1


def test_a_changed_setting_becomes_a_revision_once(seeded: Path, settings: Any) -> None:
    change(role=Role.OWNER, max_drawdown_bps=700)
    settings.ORDERS_PER_MINUTE = 9
    services.seed_controls(ts_ms=TS_MS + 2)
    services.seed_controls(ts_ms=TS_MS + 3)
    assert selectors.limits_current() == {**DEFAULTS, "max_drawdown_bps": 700, "orders_per_minute": 9}
    assert [record.kind for record in audit_latest(10)] == ["risk.seed", "risk.limits", "risk.seed"]


@pytest.mark.parametrize(("name", "value"), [("MAX_NOTIONAL", Decimal(0)), ("ORDERS_PER_MINUTE", 61)])
def test_a_setting_out_of_bounds_is_named(desk_db: Path, settings: Any, name: str, value: Any) -> None:
    setattr(settings, name, value)
    with pytest.raises(InvalidInput) as caught:
        services.seed_controls(ts_ms=TS_MS)
    assert caught.value.field in {"max_notional_e8", "orders_per_minute"}
    assert audit_latest(1) == []


def test_before_the_seed_limits_are_the_settings(desk_db: Path) -> None:
    assert selectors.limits_current() == DEFAULTS


def test_an_operator_tightens_and_it_is_audited(seeded: Path) -> None:
    assert change(orders_per_minute=3, breaker_ms=1_800_000) == {
        **DEFAULTS,
        "orders_per_minute": 3,
        "breaker_ms": 1_800_000,
    }
    record = audit_latest(1)[0]
    assert (record.kind, record.actor) == ("risk.limits", "operator:bo")
    assert record.content["before"] == {"orders_per_minute": 6, "breaker_ms": 900_000}
    assert record.content["after"] == {"orders_per_minute": 3, "breaker_ms": 1_800_000}
    assert controls_current()["limit.orders_per_minute"] == (3, record.sequence)
    assert list(LimitRevision.objects.values_list("name", "value", "previous", "source")[:2]) == [
        ("breaker_ms", 1_800_000, 900_000, "person"),
        ("orders_per_minute", 3, 6, "person"),
    ]
    assert audit_verify().intact


LOOSER = {
    "max_notional_e8": 1,
    "symbol_notional_cap_e8": 1,
    "max_drawdown_bps": 1,
    "drawdown_window_trades": -1,
    "breaker_ms": -1,
    "orders_per_minute": 1,
    "stale_after_ms": 1,
    "order_cap_e8": 1,
    "hard_drawdown_bps": 1,
    "daily_loss_bps": 1,
    "repeat_orders": 1,
    "collar_bps": 1,
    "filters_stale_after_ms": 1,
    "cooldown_ms": -1,
    "stop_guard_trades": 1,
    "stop_guard_window_ms": -1,
    "stop_guard_pause_ms": -1,
    "low_profit_trades": 1,
    "low_profit_bps": -1,
    "low_profit_window_ms": -1,
    "low_profit_pause_ms": -1,
}
# Protections that are off by default, where nothing is looser: they are switched on first.
SWITCHED_ON = {"cooldown_ms": 60_000, "stop_guard_trades": 2, "low_profit_trades": 2}


@pytest.mark.parametrize("name", LIMITS)
def test_only_an_owner_loosens(seeded: Path, name: str) -> None:
    if name in SWITCHED_ON:
        change(**{name: SWITCHED_ON[name]})
    before = selectors.limits_current()
    looser = before[name] + LOOSER[name]
    with pytest.raises(PermissionDenied, match=name):
        change(**{name: looser, "max_drawdown_bps": 400} if name != "max_drawdown_bps" else {name: looser})
    assert selectors.limits_current() == before
    assert change(role=Role.OWNER, **{name: looser})[name] == looser


@pytest.mark.parametrize("name", [name for name, limit in LIMITS.items() if limit.is_off_at_zero])
def test_switching_a_rule_off_is_the_loosest_of_all(seeded: Path, name: str) -> None:
    change(role=Role.OWNER, **{name: LIMITS[name].high})
    with pytest.raises(PermissionDenied, match=name):
        change(**{name: 0})
    assert change(role=Role.OWNER, **{name: 0})[name] == 0
    assert change(**{name: LIMITS[name].high})[name] == LIMITS[name].high, "an operator may switch it on again"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_leverage": 3}, "max_leverage"),
        ({"orders_per_minute": 61}, "orders_per_minute"),
        ({"orders_per_minute": 0}, "orders_per_minute"),
        ({"orders_per_minute": -1}, "orders_per_minute"),
        ({"orders_per_minute": True}, "orders_per_minute"),
        ({"orders_per_minute": 5.0}, "orders_per_minute"),
        ({"orders_per_minute": float("nan")}, "orders_per_minute"),
        ({"orders_per_minute": None}, "orders_per_minute"),
        ({"orders_per_minute": "5"}, "orders_per_minute"),
        ({"drawdown_window_trades": 513}, "drawdown_window_trades"),
        ({"max_drawdown_bps": 10_001}, "max_drawdown_bps"),
        ({"max_notional_e8": 2**53}, "max_notional_e8"),
        ({}, "body"),
    ],
)
def test_it_refuses_by_name_and_changes_nothing(seeded: Path, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        change(role=Role.OWNER, **changes, **({"stale_after_ms": 1000} if changes else {}))
    assert caught.value.field == field
    assert isinstance(caught.value, UnknownName) == (field == "max_leverage")
    assert selectors.limits_current() == DEFAULTS


def test_the_same_value_writes_nothing_and_a_reason_is_needed(seeded: Path) -> None:
    assert change(orders_per_minute=6) == DEFAULTS
    with pytest.raises(InvalidInput, match="why"):
        services.limits_set(changes={"orders_per_minute": 3}, actor="a", reason=" ", ts_ms=TS_MS)
    assert len(audit_latest(9)) == 1


@pytest.mark.parametrize("table", ["risk_limitrevision", "risk_tradingstaterevision"])
@pytest.mark.parametrize(
    "change_sql", ["UPDATE {} SET actor = 'x'", "DELETE FROM {}", "REPLACE INTO {0} SELECT * FROM {0}"]
)
def test_revisions_only_grow(seeded: Path, table: str, change_sql: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(change_sql.format(table))
