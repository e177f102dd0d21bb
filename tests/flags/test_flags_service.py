"""Flipping flags: all or nothing, kept for good, audited, fenced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connection

from apps.audit.selectors import audit_latest, controls_current
from apps.engine.errors import InvalidInput, StaleState, UnknownName
from apps.flags import selectors, services
from apps.flags.checks import check_environment
from apps.flags.models import FlagRevision

WHO = {"actor": "operator:olga", "reason": "a drill", "ts_ms": 1_767_225_600_000}


@pytest.fixture
def fence(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened at the fence, in order."""
    events: list[str] = []

    @contextmanager
    def factory() -> Iterator[None]:
        events.append(f"taken, atomic={connection.in_atomic_block}")
        yield
        events.append(f"released with {FlagRevision.objects.count()} revisions")

    monkeypatch.setattr(services, "_fence", services._fence)
    services.register_fence(factory)
    return events


def test_the_defaults_stand_until_somebody_changes_them(desk_db: object) -> None:
    assert selectors.flags_current() == {
        "ExecutionRouter": True, "StrategyRouter": True, "BOCPD": True, "DataQuality": "strict",
    }  # fmt: skip


def test_a_change_is_a_revision_a_record_and_a_control(desk_db: object) -> None:
    changed = services.flags_set(changes={"BOCPD": False, "DataQuality": "relaxed"}, **WHO)
    assert changed == {"BOCPD": False, "DataQuality": "relaxed"}
    assert selectors.flag_value("BOCPD") is False
    record = audit_latest(1)[0]
    assert (record.kind, record.actor) == ("flags.set", "operator:olga")
    controls = controls_current()
    assert controls["flag.BOCPD"].value is False and controls["flag.DataQuality"].value == "relaxed"
    assert controls["flag.BOCPD"].sequence == record.sequence
    assert selectors.flags_of_controls(controls) == selectors.flags_current()


def test_flags_can_be_read_from_plain_control_values(desk_db: object) -> None:
    assert selectors.flags_of_controls({"flag.BOCPD": False, "kill": True})["BOCPD"] is False


def test_the_same_value_again_writes_nothing(desk_db: object) -> None:
    services.flags_set(changes={"BOCPD": False}, **WHO)
    records = len(audit_latest(100))
    assert services.flags_set(changes={"BOCPD": False}, **WHO) == {}
    assert (FlagRevision.objects.count(), len(audit_latest(100))) == (1, records)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"BOCPD": False, "Nope": True}, UnknownName),
        ({"BOCPD": False, "DataQuality": "loose"}, InvalidInput),
        ({"BOCPD": False, "StrategyRouter": 1}, InvalidInput),
        ({}, InvalidInput),
    ],
)
def test_one_wrong_change_changes_nothing(desk_db: object, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        services.flags_set(changes=changes, **WHO)
    assert FlagRevision.objects.count() == 0 and audit_latest(1) == []


def test_revisions_are_kept_for_good(desk_db: object) -> None:
    services.flags_set(changes={"BOCPD": False}, **WHO)
    with pytest.raises(DatabaseError, match="append-only"):
        FlagRevision.objects.update(value=True)
    with pytest.raises(DatabaseError, match="append-only"):
        FlagRevision.objects.all().delete()
    services.flags_set(changes={"BOCPD": True}, **WHO)
    assert list(FlagRevision.objects.values_list("number", "value")) == [(1, False), (2, True)]


def test_a_faster_change_is_a_conflict(desk_db: object, monkeypatch: pytest.MonkeyPatch) -> None:
    services.flags_set(changes={"BOCPD": False}, **WHO)
    monkeypatch.setattr(services, "revisions_latest", lambda using: {})
    with pytest.raises(StaleState):
        services.flags_set(changes={"BOCPD": True}, **WHO)
    assert FlagRevision.objects.count() == 1


def test_a_critical_flag_changes_under_the_fence_which_is_taken_first(desk_db: object, fence: list[str]) -> None:
    services.flags_set(changes={"ExecutionRouter": False}, **WHO)
    assert fence == ["taken, atomic=False", "released with 1 revisions"]


def test_an_ordinary_flag_needs_no_fence(desk_db: object, fence: list[str]) -> None:
    services.flags_set(changes={"BOCPD": False}, **WHO)
    assert fence == []


def test_the_environment_holds_a_critical_flag_down(desk_db: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTION_ROUTER", "off")
    services.flags_set(changes={"ExecutionRouter": True}, **WHO)
    assert selectors.flag_value("ExecutionRouter") is False
    detail = selectors.flags_detail()["ExecutionRouter"]
    assert (detail["source"], detail["db_value"], detail["changed_by"]) == ("env", True, "operator:olga")


def test_the_database_overrides_the_environment_of_an_ordinary_flag(
    desk_db: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOCPD", "0")
    assert selectors.flag_value("BOCPD") is False
    services.flags_set(changes={"BOCPD": True}, **WHO)
    assert selectors.flag_value("BOCPD") is True


def test_an_unknown_flag_has_no_value(desk_db: object) -> None:
    with pytest.raises(UnknownName):
        selectors.flag_value("Nope")


@pytest.mark.parametrize(("text", "found"), [("true", []), ("OFF", []), ("ture", ["flags.E001"]), ("", ["flags.E001"])])
def test_a_variable_that_cannot_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, text: str, found: list[str]
) -> None:
    monkeypatch.setenv("EXECUTION_ROUTER", text)
    assert [message.id for message in check_environment(None)] == found
