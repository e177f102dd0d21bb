"""Health answers within a second whatever its parts do, and says which of them is unwell."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from apps.telemetry import health, probes
from apps.telemetry.health import Board

CLIENT_HEADERS = {"host": "localhost"}


@pytest.fixture
def fresh(desk_db: object) -> Iterator[Client]:
    """A client whose health answers are not from before."""
    forget()
    yield Client(headers=CLIENT_HEADERS)
    forget()


def forget() -> None:
    health.BOARD._cached = None
    health.READINESS._cached = None


def replace(board: Board, name: str, probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(board._probes, name, (probe, True))


def raising(error: Exception) -> Any:
    def probe() -> dict[str, Any]:
        raise error

    return probe


def test_the_contract_s_members_are_there(fresh: Client) -> None:
    answer = fresh.get("/api/health").json()
    assert {
        *("status", "db", "ws", "router", "exec", "ohlcv", "channelLayer", "audit", "version", "uptimeSeconds")
    } <= set(answer)
    assert answer["db"]["engine"] == "sqlite" and answer["db"]["latencyMs"] >= 0
    assert answer["channelLayer"]["backend"] == "InMemoryChannelLayer"
    assert answer["uptimeSeconds"] > 0


def test_a_database_that_is_gone_is_a_503_and_not_a_500(fresh: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(health.BOARD, "db", raising(DatabaseError("disk gone")), monkeypatch)
    replace(health.READINESS, "db", raising(DatabaseError("disk gone")), monkeypatch)
    answer = fresh.get("/api/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["db"] == {"status": "down", "error": "DatabaseError: disk gone"}
    ready = fresh.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert fresh.get("/livez").status_code == 200


def test_livez_touches_no_database(fresh: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a query")

    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", refuse)
    answer = fresh.get("/livez", headers={"authorization": "Bearer tdk_whatever", "cookie": "sessionid=abc"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_readyz_asks_for_a_write_and_for_the_migrations(fresh: Client) -> None:
    answer = fresh.get("/readyz").json()
    assert answer["ready"] is True
    assert {"db", "migrations"} <= set(answer["checks"])


def test_a_database_without_its_tables_is_not_ready(fresh: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pending:
        def __init__(self, connection: Any) -> None:
            self.loader = type("Loader", (), {"graph": type("Graph", (), {"leaf_nodes": lambda self: []})()})()

        def migration_plan(self, targets: Any) -> list[Any]:
            return [("flags.0001_initial", False)]

    monkeypatch.setattr(probes, "MigrationExecutor", Pending)
    monkeypatch.setattr(probes, "_migrated", set())
    answer = fresh.get("/readyz")
    assert answer.status_code == 503
    assert "flags.0001_initial" in answer.json()["checks"]["migrations"]["error"]


@pytest.mark.parametrize("path", ["/api/health", "/livez", "/readyz"])
def test_they_answer_anybody_and_on_the_page_too(desk_db: object, path: str) -> None:
    client = Client(headers={"host": "localhost", "accept": "text/html"}, REMOTE_ADDR="192.0.2.1")
    answer = client.get(path)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/html; charset=utf-8")


# What a part does, whether it is critical -> the status of the part and of the desk.
MATRIX = [
    ({}, True, "ok", "ok"),
    ({"status": "ok"}, False, "ok", "ok"),
    ({"status": "degraded"}, True, "degraded", "degraded"),
    ({"status": "degraded"}, False, "degraded", "degraded"),
    ({"status": "down"}, True, "down", "down"),
    ({"status": "down"}, False, "down", "degraded"),
    (RuntimeError("boom"), True, "down", "down"),
    (RuntimeError("boom"), False, "down", "degraded"),
    ("hangs", True, "down", "down"),
    ("hangs", False, "down", "degraded"),
    ({"status": "fine"}, True, "down", "down"),
    (None, True, "down", "down"),
]


@pytest.mark.parametrize(("behavior", "critical", "part", "desk"), MATRIX)
def test_what_a_part_does_decides(behavior: Any, critical: bool, part: str, desk: str) -> None:
    release = threading.Event()

    def probe() -> Any:
        if isinstance(behavior, Exception):
            raise behavior
        if behavior == "hangs":
            release.wait(5)
            return {}
        return behavior

    board = Board(timeout_s=0.05, cache_s=0)
    board.register("probe", probe, critical=critical)
    parts = board.parts()
    release.set()
    assert (parts["probe"]["status"], board.overall(parts)) == (part, desk)


def test_ten_hanging_parts_cost_one_timeout_and_no_second_thread() -> None:
    release = threading.Event()
    calls: list[int] = []

    def probe() -> dict[str, Any]:
        calls.append(1)
        release.wait(5)
        return {}

    board = Board(timeout_s=0.1, cache_s=0)
    for number in range(10):
        board.register(f"probe-{number}", probe)
    started = time.monotonic()
    board.parts()
    board.parts()
    assert time.monotonic() - started < 1.0
    assert len(calls) == 10
    release.set()


def test_a_part_that_comes_back_is_asked_again() -> None:
    release = threading.Event()
    board = Board(timeout_s=0.05, cache_s=0)
    board.register("slow", lambda: {"n": 1} if release.wait(5) else {})
    assert board.parts()["slow"]["status"] == "down"
    release.set()
    time.sleep(0.05)
    assert board.parts()["slow"] == {"n": 1, "status": "ok"}


def test_a_flood_of_questions_asks_once_a_second() -> None:
    calls: list[int] = []
    board = Board()
    board.register("probe", lambda: calls.append(1) or {})
    for _ in range(100):
        board.parts()
    assert len(calls) == 1


def test_a_part_answers_for_itself_once() -> None:
    board = Board(expected=("ws",))
    board.register("ws", dict)
    with pytest.raises(ValueError, match="twice"):
        board.register("ws", dict)
    board.unregister("ws")
    assert board.parts() == {"ws": {"status": "unknown"}}


def test_a_part_nobody_answers_for_yet_is_unknown_and_does_no_harm() -> None:
    board = Board(expected=("router",))
    assert (board.parts(), board.overall(board.parts())) == ({"router": {"status": "unknown"}}, "ok")
