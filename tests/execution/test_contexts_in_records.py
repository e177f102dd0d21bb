"""The embedding in force goes into views and records; forecasts are judged live as a rebuild judges them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from apps.audit import selectors as audit
from apps.engine.codec import float_from
from apps.engine.embedding import embed, embedding_from
from apps.execution.autopilot import Autopilot
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.marketdata.market import MarketView, market_view
from apps.strategy.cards import forecasts_context
from apps.strategy.fitting import window_contexts
from apps.strategy.fold import Fold
from apps.strategy.models import View
from apps.strategy.selectors import coverage_current, situation_current, view_of
from apps.strategy.situations import ContextRing
from tests.dashboard.contract import plain_breaches, query_budget
from tests.execution.test_autopilot import BTC, arrive, opened
from tests.support.bars import MINUTE_MS, START_MS, walk_bars
from tests.support.desk import seed_desk, store
from tests.support.live_desk import LiveMarket, plan

N_BARS = 2_600
FIT_END = START_MS + 2_400 * MINUTE_MS
# The last of the missing bars is on the grid, so one shadow position ends void and another is learned late.
HOLE = slice(1_446, 1_451)


def fit(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("fit_embedding", "--symbol", BTC, "--json", *words, stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def ring_of(bar_open_ms: int) -> np.ndarray:
    """Contexts of the 25 bars up to this one, from the snapshots of their views."""
    rows = View.objects.filter(symbol=BTC, bar_open_ms__lte=bar_open_ms).order_by("-bar_open_ms")[:25]
    return np.array([view_of(row.snapshot_hash).context for row in reversed(rows)])


def require_rebuilt_is_stored() -> Fold:
    """State, situation and coverage of a fold from bars and rows equal what the desk stored at its newest view."""
    fold = Fold(BTC)
    fold.rebuild()
    newest = View.objects.filter(symbol=BTC).order_by("-bar_open_ms").first()
    assert newest is not None and fold.observer.state_hash() == newest.state_hash
    assert fold.situation == situation_current(BTC)
    grid = View.objects.filter(symbol=BTC, is_grid=True).order_by("-bar_open_ms").first()
    assert grid is not None and json.loads(json.dumps(fold.coverage_values())) == grid.coverage
    return fold


@pytest.fixture
def bars_desk(compiled: None, desk_db: Path, settings: Any) -> Iterator[Any]:
    """Most bars of a walk with a hole, stored and not folded."""
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", 5, (BTC,)
    seed_desk((BTC,))
    bars = walk_bars(N_BARS, seed=3, sigma=0.003)
    keep = np.ones(N_BARS, bool)
    keep[HOLE] = False
    holed = type(bars)(*(np.ascontiguousarray(column[keep]) for column in bars))
    market_view().clock.observe(int(bars.open_time_ms[-1]) + 10 * MINUTE_MS)
    settings.WALK = holed
    yield settings
    desk_thread().stop()


def test_records_hold_the_embedding_of_their_bar(bars_desk: Any) -> None:
    walk = bars_desk.WALK
    row = int(np.searchsorted(walk.open_time_ms, FIT_END))
    store(BTC, walk.slice(0, row))
    autopilot = BarsAutopilot()
    autopilot.step()
    before = json.loads(bytes(audit.audit_latest(1, kind="execution.decision")[0].body))
    assert before["context"]["embedding"] is None and "embedding" not in before["versions"]
    assert before["context"]["nullReasons"]["embedding"] == "its projection has not been fitted"
    version = fit("--from", str(START_MS + 1_000 * MINUTE_MS), "--to", str(FIT_END))["version"]
    store(BTC, walk.slice(row, walk.n))
    autopilot.step()
    records = [json.loads(bytes(record.body)) for record in audit.audit_latest(30, kind="execution.decision")]
    model = embedding_from(audit.snapshot_get(version))
    for body in records:
        assert body["versions"]["embedding"] == version
        expected = embed(model, ring_of(body["inputs"]["draw"]["bar_open_ms"]))
        assert [float_from(text) for text in body["context"]["embedding"]] == list(expected.values or ())
        assert float_from(body["context"]["novelty"]) == expected.novelty
    fold = require_rebuilt_is_stored()
    judged = [report.judged for report in fold.coverage.report()]
    assert max(judged) > 300 and all(report.alpha != 0.1 for report in fold.coverage.report() if report.judged > 100)
    call_command("replay", "--all", stdout=StringIO())


def test_the_fit_sees_the_contexts_that_the_desk_saw(bars_desk: Any) -> None:
    store(BTC, bars_desk.WALK)
    BarsAutopilot().step()
    contexts, times_ms = window_contexts(BTC, START_MS + 1_300 * MINUTE_MS, START_MS + 1_700 * MINUTE_MS)
    for row in range(0, len(times_ms), 37):
        stored = View.objects.get(symbol=BTC, bar_open_ms=int(times_ms[row]))
        assert contexts[row].tobytes() == view_of(stored.snapshot_hash).context.tobytes()
    require_rebuilt_is_stored()


def test_a_fit_is_on_record_once_and_refused_by_name(bars_desk: Any) -> None:
    with pytest.raises(CommandError, match="no bars") as none:
        fit()
    assert none.value.returncode == 4
    store(BTC, bars_desk.WALK)
    first = fit("--to", str(FIT_END))
    record = audit.audit_latest(1)[0]
    assert record.kind == "strategy.embedding" and record.content["version"] == first["version"] and first["isNew"]
    assert audit.controls_current()["embedding.BTCUSDT.1m"].value == first["version"]
    head = audit.audit_head()
    assert fit("--to", str(FIT_END)) == {**first, "isNew": False} and audit.audit_head() == head
    second = fit("--from", str(START_MS + 500 * MINUTE_MS))
    assert second["version"] != first["version"]
    assert audit.audit_latest(1)[0].content["replaces"] == first["version"]
    audit.audit_verify()
    for words, field in (
        (("--from", str(FIT_END), "--to", str(FIT_END + 100 * MINUTE_MS)), "contexts"),
        (("--from", str(FIT_END), "--to", str(FIT_END)), "from"),
        (("--from", "yesterday"), "from"),
        (("--symbol", "DOGEUSDT"), "symbol"),
    ):
        with pytest.raises(CommandError, match=f"--{field}") as refused:
            fit(*words)
        assert refused.value.returncode == 2


def test_a_person_gets_a_null_with_its_reason(market: LiveMarket, local: Client) -> None:
    answer = local.post(
        "/api/trading/paper/order",
        data={"symbol": BTC, "side": "BUY", "type": "MARKET", "quantity": "0.01"},
        content_type="application/json",
    )
    body = audit.audit_get(answer.json()["auditId"]).content
    assert body["context"]["embedding"] is None
    assert body["context"]["nullReasons"]["embedding"] == "the decision rests on no view"


def test_a_process_that_only_answers_reads_the_situation_from_the_row(
    quiet_desk: MarketView, market: LiveMarket, local: Client
) -> None:
    """400 bars warm no feature up that needs more, so the reason travels with the view."""
    answer = plan(local).json()
    assert audit.audit_get(answer["auditId"]).content["context"]["nullReasons"]["embedding"].startswith("its proj")
    pilot = Autopilot()
    pilot.warm()
    arrive(0)
    market.later(opened(1) - market.view.now_ms() + 100)
    pilot.step()
    assert situation_current(BTC) == pilot.folds[BTC].situation
    assert coverage_current(BTC) == [] or len(coverage_current(BTC)) == len(pilot.folds[BTC].coverage_values())


def test_api_card_and_metrics_tell_the_same(bars_desk: Any, local_only: Client) -> None:
    store(BTC, bars_desk.WALK)
    fit("--to", str(FIT_END))
    BarsAutopilot().step()
    told = local_only.get(f"/api/regime/state?symbol={BTC}").json()
    situation = situation_current(BTC)
    assert told["situation"]["embedding"] == list(situation.embedding.values or ())
    assert told["situation"]["version"] == situation.version and told["situation"]["reason"] is None
    distances = [found["distance"] for found in told["situation"]["nearest"]]
    assert len(distances) == 5 and distances == sorted(distances)
    assert [arm["policyId"] for arm in told["coverage"]] == [arm["policy_id"] for arm in coverage_current(BTC)]
    assert all(arm["coverage"] is None and "of 500 forecasts judged" in arm["reason"] for arm in told["coverage"])
    newest = View.objects.filter(symbol=BTC, is_grid=True).order_by("-bar_open_ms").first()
    assert newest is not None
    newest.coverage[0] |= {"coverage": 0.862, "reason": "", "alert": True}
    newest.save()
    scraped = local_only.get("/metrics").content.decode()
    name = newest.coverage[0]["policy_id"]
    assert f'router_forecast_coverage{{policy="{name}",symbol="BTCUSDT"}} 0.862' in scraped
    assert 'router_forecast_coverage_alerts{symbol="BTCUSDT"} 1.0' in scraped
    assert f'market_situation_novelty{{symbol="BTCUSDT"}} {situation.embedding.novelty}' in scraped
    with query_budget(2):
        context = forecasts_context()
    assert plain_breaches(context) == [] and context["alerts"] == 1
    assert context["rows"][0] == {"name": name, "cells": [{"coverage": 0.862, "why": "", "tone": "warn"}]}


@pytest.fixture
def local_only() -> Client:
    return Client(headers={"host": "localhost"})


def test_a_gap_empties_the_ring() -> None:
    ring = ContextRing()
    for index in (*range(10, 34), *range(36, 60)):
        ring.push(index, np.full(11, float(index)))
    rows = np.array(ring._rows)
    assert rows.shape == (24, 11) and rows[0, 0] == 36.0
    ring.push(60, np.full(11, 60.0))
    ring.push(61, np.full(11, 61.0))
    assert [float(row[0]) for row in ring._rows] == [float(index) for index in range(37, 62)]
