"""Backtests over HTTP and on the dashboard: lists, one of them, and what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.dashboard.fragments import CACHE
from apps.research.backtests.history import Window, history_file
from apps.research.backtests.request import request_default
from apps.research.selectors import Backtest
from apps.research.services import backtest
from tests.support.bars import START_MS, walk_bars
from tests.support.klines import write_klines

pytestmark = pytest.mark.usefixtures("compiled", "desk_db")


@pytest.fixture
def run(desk_db: Path, tmp_path: Path, settings: Any) -> Backtest:
    settings.HORIZON_BARS = 5
    path = write_klines(tmp_path / "BTCUSDT-1m-x.csv", walk_bars(600, seed=7, sigma=0.003))
    history = history_file(path, symbol="", interval="", window=Window(), now_ms=START_MS + 10**10)
    return backtest(request=request_default("BTCUSDT", "1m"), history=history, ts_ms=START_MS)


@pytest.fixture
def client() -> Client:
    """A reader who meets no card of a test before."""
    CACHE.clear()
    return Client(headers={"host": "localhost"})


def test_the_list_and_the_one(client: Client, run: Backtest) -> None:
    (row,) = client.get("/api/research/backtests").json()
    assert (row["runId"], row["symbol"], row["cash"], row["bars"]) == (run.run_id, "BTCUSDT", "1000000", 600)
    found = client.get(f"/api/research/backtests/{run.run_id}").json()
    assert found["resultHash"] == run.result_hash and found["inputsHash"] == run.inputs_hash
    assert set(found["parameters"]["policies"]["vol_target"]) == {"sigma_target", "grid"}
    assert "context_missing" in found["figures"]["counts"]["byReason"]
    assert found["figures"]["desk"]["maxDrawdown"]["value"] <= 0.0
    assert "columns" not in found


def test_what_is_not_there_is_a_404_and_what_is_wrong_a_400(client: Client, run: Backtest) -> None:
    missing = client.get("/api/research/backtests/bt_nothing")
    assert (missing.status_code, missing["Content-Type"]) == (404, "application/problem+json")
    for query, field in (("limit=0", "limit"), ("limit=201", "limit"), ("nope=1", "nope")):
        answer = client.get(f"/api/research/backtests?{query}")
        assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == field
    assert client.get("/research/backtests/bt_nothing").status_code == 404
    assert client.post("/api/research/backtests").status_code in {403, 405}


def test_a_stranger_reads_nothing(run: Backtest) -> None:
    stranger = Client(headers={"host": "localhost", "x-forwarded-for": "203.0.113.7"})
    for path in ("/api/research/backtests", f"/api/research/backtests/{run.run_id}", "/research"):
        assert stranger.get(path).status_code in {401, 302, 403}, path


def test_the_pages(client: Client, run: Backtest) -> None:
    listed = client.get("/research").content.decode()
    assert f"/research/backtests/{run.run_id}" in listed
    shown = client.get(f"/research/backtests/{run.run_id}").content.decode()
    for text in (run.result_hash, "Returns by month", "The three fill settings", "What trading cost"):
        assert text in shown


def test_an_empty_desk_says_so(client: Client) -> None:
    assert client.get("/api/research/backtests").json() == []
    assert "No backtest yet." in client.get("/research").content.decode()
