"""Reading the log over HTTP: the contract's members, null with a reason, floats as numbers or exact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.audit.selectors import audit_head
from apps.engine.codec import float_text
from apps.engine.record import Difference

MEMBERS = [
    *("auditId", "sequence", "kind", "context", "policy", "sizing", "guards", "order", "fills", "position"),
    *("rehearsal", "versions", "inputsHash", "contentHash", "previousHash", "recordHash", "ts"),
]


@pytest.fixture
def client() -> Client:
    return Client(headers={"host": "localhost"})


def test_a_decision_has_every_member_of_the_contract(append: Callable[..., Any], client: Client) -> None:
    entry = append(
        {
            "symbol": "BTCUSDT",
            "inputs": {"bookSeen": 1},
            "policy": {"choice": {"policyId": "ema_cross", "propensity": float_text(0.1)}},
            "context": {"features": [float_text(-0.5), float_text(5e-324), float_text(float("nan"))]},
            "guards": [],
            "order": None,
            "nullReasons": {"order": "the target did not differ"},
            "outcome": {"reason": "no_change"},
        }
    )
    (record,) = client.get("/api/audit/latest?limit=1").json()
    assert [name for name in MEMBERS if name not in record] == []
    assert record["policy"] == {"choice": {"policyId": "ema_cross", "propensity": 0.1}}
    assert record["context"] == {"features": [-0.5, 5e-324, "nan"]}
    assert record["guards"] == [] and record["outcome"] == {"reason": "no_change"}
    assert record["inputs"] == {"bookSeen": 1} and record["symbol"] == "BTCUSDT" and record["actor"] == "autopilot"
    assert (record["auditId"], record["contentHash"]) == (entry.audit_id, entry.content_hash)
    assert record["ts"] == "2026-01-01T00:00:00.000Z"
    assert record["order"] is None and record["sizing"] is None
    assert record["nullReasons"]["order"] == "the target did not differ"
    assert record["nullReasons"]["sizing"] == "not recorded"
    assert set(record["nullReasons"]) == {name for name in MEMBERS if record[name] is None}


def test_a_control_change_says_why_it_has_no_decision(append: Callable[..., Any], client: Client) -> None:
    entry = append(
        {"before": {"ema_cross": 1}, "reason": "r"}, kind="flags.set", actor="owner:a", controls={"flag.snake_case": 1}
    )
    record = client.get(f"/api/audit/{entry.audit_id}").json()
    assert record["before"] == {"ema_cross": 1} and record["controls"] == {"flag.snake_case": 1}
    assert record["inputsHash"] is None
    assert record["nullReasons"]["inputsHash"] == "a record of kind flags.set takes no decision"


def test_the_raw_form_is_exact_and_can_be_hashed(append: Callable[..., Any], client: Client) -> None:
    entry = append({"policy": {"u": float_text(0.1)}})
    record = client.get(f"/api/audit/{entry.audit_id}?raw=1").json()
    assert record["policy"] == {"u": "0x1.999999999999ap-4"}
    assert hashlib.sha256(record["body"].encode()).hexdigest() == record["contentHash"]


def test_the_newest_come_first_and_can_be_filtered(log: Callable[[int], Any], client: Client) -> None:
    log(20)
    assert [record["sequence"] for record in client.get("/api/audit/latest").json()] == [20, 19, 18, 17, 16]
    changes = client.get("/api/audit/latest?kind=risk.limits&limit=2").json()
    assert [record["sequence"] for record in changes] == [20, 15]
    ether = client.get("/api/audit/latest?symbol=ETHUSDT&limit=3").json()
    assert {record["symbol"] for record in ether} == {"ETHUSDT"} and len(ether) == 3


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("order=up", "order")]
)
def test_a_bad_query_names_its_member(desk_db: Path, client: Client, query: str, field: str) -> None:
    answer = client.get(f"/api/audit/latest?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_an_unknown_record_is_not_found(desk_db: Path, client: Client) -> None:
    assert client.get("/api/audit/ad00").status_code == 404
    assert client.post("/api/audit/ad00/replay").status_code == 404


def test_a_record_whose_bytes_were_changed_does_not_hide_the_others(
    log: Callable[[int], Any], attacker: Callable[..., None], client: Client
) -> None:
    log(3)
    attacker("UPDATE audit_auditrecord SET body = x'ff00' WHERE sequence = 2")
    records = client.get("/api/audit/latest").json()
    assert [record["sequence"] for record in records] == [3, 2, 1]
    assert "the stored bytes were changed" in records[1]["nullReasons"]["policy"]


def test_verify_over_http(log: Callable[[int], Any], attacker: Callable[..., None], client: Client) -> None:
    log(7)
    head = audit_head()[1]
    expected = {"intact": True, "records": 7, "verifiedFrom": 1, "headHash": head, "firstBroken": None}
    assert client.get("/api/audit/verify").json() == expected
    attacker("UPDATE audit_auditrecord SET actor = 'x' WHERE sequence = 4")
    broken = client.get("/api/audit/verify").json()
    assert (broken["intact"], broken["records"]) == (False, 3)
    assert (broken["firstBroken"]["sequence"], broken["firstBroken"]["where"]) == (4, "actor")


def test_replay_over_http(append: Callable[..., Any], client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    decision = append({"inputs": {"a": 1}, "policy": {"u": 1}})
    change = append({}, kind="flags.set")
    monkeypatch.setattr("apps.engine.record.replay", lambda kind, body, load: [])
    answer = client.post(f"/api/audit/{decision.audit_id}/replay").json()
    assert answer == {"auditId": decision.audit_id, "matches": True, "differences": []}
    monkeypatch.setattr("apps.engine.record.replay", lambda *_: [Difference("policy.u", 1, 2)])
    assert client.post(f"/api/audit/{decision.audit_id}/replay").json() == {
        "auditId": decision.audit_id,
        "matches": False,
        "differences": [{"path": "policy.u", "recorded": 1, "recomputed": 2}],
    }
    assert client.post(f"/api/audit/{change.audit_id}/replay").status_code == 409


def test_the_log_needs_a_login_elsewhere(desk_db: Path) -> None:
    remote = Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1")
    assert remote.get("/api/audit/latest").status_code == 401


def test_health_tells_a_log_that_lost_records(log: Callable[[int], Any], attacker: Callable[..., None]) -> None:
    from apps.audit.health import probe
    from apps.audit.selectors import audit_verify
    from apps.audit.services import checkpoint_record

    log(5)
    checkpoint_record(result=audit_verify())
    assert probe() == {"status": "ok", "records": 5, "head_hash": audit_head()[1], "verified_to": 5}
    attacker("UPDATE audit_audithead SET sequence = 4")
    assert probe()["status"] == "down"


def test_the_admin_shows_and_changes_nothing(append: Callable[..., Any]) -> None:
    from django.contrib.auth import get_user_model

    append(controls={"flag.X": True})
    admin = Client(headers={"host": "localhost"})
    admin.force_login(get_user_model().objects.create_superuser(username="root", password="x"))
    for model in ("auditrecord", "controlcurrent", "audithead", "snapshot", "verifiedcheckpoint"):
        assert admin.get(f"/admin/audit/{model}/").status_code == 200
        assert admin.get(f"/admin/audit/{model}/add/").status_code == 403
    page = admin.get("/admin/audit/auditrecord/1/change/")
    assert page.status_code == 200 and b"ema_cross" in page.content
    assert admin.post("/admin/audit/auditrecord/1/change/", {"actor": "x"}).status_code == 403
    assert admin.post("/admin/audit/auditrecord/1/delete/", {"post": "yes"}).status_code == 403
