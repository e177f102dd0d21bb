"""Failpoints: each is on the way of an order, an unknown one is refused, and without one nothing is installed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.test import Client

from apps.engine.errors import UnknownName
from apps.execution import failpoints
from apps.execution.desk_thread import desk_thread
from tests.support.live_desk import LiveMarket, buy


def armed(name: str, seen: list[str]) -> None:
    failpoints.arm(connections["default"], name, lambda: seen.append(name))


@pytest.fixture
def on_desk(market: LiveMarket) -> Any:
    yield desk_thread()
    desk_thread().run(_disarm)


def _disarm() -> None:
    connections["default"].execute_wrappers.clear()
    vars(connections["default"]).pop("commit", None)


def test_an_order_passes_each_in_its_order(on_desk: Any, local: Client) -> None:
    """The transaction's own order: locks, rows, the record last, COMMIT."""
    seen: list[str] = []
    for name in failpoints.FAILPOINTS:
        on_desk.run(lambda name=name: armed(name, seen))
    assert buy(local, key="k").status_code == 201
    assert len(failpoints.FAILPOINTS) >= 12 and sorted(seen) == sorted(failpoints.FAILPOINTS)
    assert seen[0] == "locked" and seen[-4:] == ["record-written", "head-written", "before-commit", "committed"]
    assert buy(local, "0.02").status_code == 201 and len(seen) == len(failpoints.FAILPOINTS), "the first passage alone"


def test_the_second_passage_can_be_meant(on_desk: Any, local: Client) -> None:
    seen: list[str] = []
    on_desk.run(lambda: armed("order-written:2", seen))
    assert buy(local).status_code == 201 and seen == []
    assert buy(local, "0.02").status_code == 201 and seen == ["order-written:2"]


def test_an_unknown_one_is_refused(desk_db: Any) -> None:
    with pytest.raises(UnknownName, match="there is no failpoint nowhere"):
        armed("nowhere", [])


def test_without_the_variable_nothing_is_installed(desk_db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(failpoints.VARIABLE, raising=False)
    failpoints.arm_from_environment(connections["default"])
    assert connections["default"].execute_wrappers == [] and "commit" not in vars(connections["default"])
