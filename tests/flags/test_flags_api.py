"""GET and POST /api/flags."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.services import token_create, user_create
from apps.audit.selectors import audit_latest
from apps.flags.models import FlagRevision
from apps.web.roles import Role


def client_of(role: Role) -> Client:
    user_create(username=role.value, password="x", role=role, actor="test", ts_ms=1)
    token = token_create(username=role.value, actor="test", ts_ms=1)
    return Client(headers={"host": "localhost", "authorization": f"Bearer {token}"})


def post(client: Client, body: Any, query: str = "") -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(f"/api/flags{query}", data=text, content_type="application/json")


def test_an_operator_flips_and_everybody_sees_it(desk_db: object) -> None:
    operator = client_of(Role.OPERATOR)
    answer = post(operator, {"ExecutionRouter": False}, "?reason=drill")
    assert (answer.status_code, answer.json()["ExecutionRouter"]) == (200, False)
    assert Client(headers={"host": "localhost"}).get("/api/flags").json() == {
        "ExecutionRouter": False, "StrategyRouter": True, "BOCPD": True, "DataQuality": "strict",
    }  # fmt: skip
    detail = operator.get("/api/flags?detail=1").json()["ExecutionRouter"]
    assert (detail["source"], detail["changedBy"], detail["reason"]) == ("db", "operator:operator", "drill")
    assert detail["changedAt"].endswith("Z") and detail["safetyCritical"] is True


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"Nope": True}, ["Nope"]),
        ({"executionRouter": False}, ["executionRouter"]),
        ({"execution_router": False}, ["execution_router"]),
        ({"ExecutionRouter": "false"}, ["ExecutionRouter"]),
        ({"ExecutionRouter": 0}, ["ExecutionRouter"]),
        ({"ExecutionRouter": None}, ["ExecutionRouter"]),
        ({"DataQuality": "loose"}, ["DataQuality"]),
        ({"DataQuality": True}, ["DataQuality"]),
        ({"DataQuality": ["strict"]}, ["DataQuality"]),
        ({"BOCPD": False, "Nope": 1, "DataQuality": {}}, ["Nope", "DataQuality"]),
        ({}, ["body"]),
        ('{"BOCPD": false, "BOCPD": true}', ["BOCPD"]),
        ("[]", ["body"]),
        ("", ["body"]),
    ],
)
def test_a_wrong_change_is_a_400_and_nothing_changes(desk_db: object, body: Any, fields: list[str]) -> None:
    operator = client_of(Role.OPERATOR)
    before = audit_latest(1)[0].sequence
    answer = post(operator, body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == fields
    assert (FlagRevision.objects.count(), audit_latest(1)[0].sequence) == (0, before)


def test_loopback_alone_may_not_flip(desk_db: object) -> None:
    assert post(Client(headers={"host": "localhost"}), {"BOCPD": False}).status_code == 401
    assert FlagRevision.objects.count() == 0


def test_a_viewer_may_not_flip(desk_db: object) -> None:
    assert post(client_of(Role.VIEWER), {"BOCPD": False}).status_code == 403
    assert FlagRevision.objects.count() == 0
