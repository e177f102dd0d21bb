"""`replay --deep`: views follow from bars, decisions name their views, and whatever was changed since is found."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection

from apps.audit.selectors import audit_head, audit_latest
from apps.engine.values import Bars
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.marketdata import columns
from apps.marketdata.market import market_view
from apps.marketdata.models import Bar
from apps.strategy.models import FoldControl, View
from apps.strategy.refolding import refold, viewed_symbols
from tests.support.bars import MINUTE_MS, START_MS, walk_bars
from tests.support.desk import seed_desk, store

SYMBOLS, N = ("BTCUSDT", "ETHUSDT"), 260
BTC = SYMBOLS[0]
HOLE = range(150, 153)


def opened(row: int) -> int:
    return START_MS + row * MINUTE_MS


@pytest.fixture
def traded(compiled: None, desk_db: Path, settings: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two symbols, one of them with a hole; decisions every fifth bar. Traded once, then copied."""
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", 5, SYMBOLS
    kept = tmp_path_factory.getbasetemp() / "two-symbols-with-a-hole.sqlite3"
    if kept.exists():
        connection.close()
        shutil.copy(kept, desk_db)
        return
    seed_desk(SYMBOLS)
    keep = np.ones(N, bool)
    keep[HOLE.start : HOLE.stop] = False
    store(BTC, Bars(*(np.ascontiguousarray(column[keep]) for column in walk_bars(N, seed=3, sigma=0.003))))
    store(SYMBOLS[1], walk_bars(N, seed=4, sigma=0.003))
    market_view().clock.observe(opened(N + 10))
    BarsAutopilot().step()
    desk_thread().stop()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(kept)])


def deep(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and what the command tells of the bars."""
    out = StringIO()
    try:
        call_command("replay", *(arguments or ("--all",)), "--deep", "--json", stdout=out, stderr=StringIO())
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return code, json.loads(out.getvalue())["deep"]


def places(told: dict[str, Any]) -> list[tuple[str, int, str]]:
    """What differs: symbol, row of the bar, what of it."""
    return [
        (unmet["symbol"], (unmet["bar_open_ms"] - START_MS) // MINUTE_MS, unmet["what"]) for unmet in told["different"]
    ]


def test_every_view_is_met_and_nothing_is_written(traded: None) -> None:
    before = audit_head(), FoldControl.objects.count(), View.objects.count()
    # A hole after the newest view may still be filled: replaying must not give it up.
    store(BTC, walk_bars(N + 10, seed=3, sigma=0.003).slice(N + 5, N + 10))
    code, told = deep()
    assert (code, told["different"]) == (0, [])
    assert told["symbols"] == {
        BTC: {"bars": N - len(HOLE), "views": N - len(HOLE), "foreign": 0},
        "ETHUSDT": {"bars": N, "views": N, "foreign": 0},
    }
    # The hole took a grid bar of one symbol.
    assert told["named"] == {"checked": 2 * (N // 5) - 1, "foreign": 0}
    assert (audit_head(), FoldControl.objects.count(), View.objects.count()) == before


def test_a_changed_bar_is_named_with_all_that_follows(traded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MIN_BARS", 100)
    assert deep()[0] == 0
    row = Bar.objects.filter(symbol_id=BTC, open_time_ms=opened(200))
    row.update(close_e8=row.get().close_e8 + 1_000_000)
    code, told = deep()
    assert code == 3
    found = places(told)
    assert found[:2] == [(BTC, 200, "state"), (BTC, 200, "snapshot")]
    assert {symbol for symbol, _, _ in found} == {BTC} and len(found) == 2 * (N - 200)


def test_a_bar_that_is_gone_is_named(traded: None) -> None:
    Bar.objects.filter(symbol_id=BTC, open_time_ms=opened(100)).delete()
    code, told = deep()
    assert code == 3 and places(told)[0] == (BTC, 100, "bar") and (BTC, 101, "state") in places(told)
    Bar.objects.filter(symbol_id=BTC, open_time_ms__gt=opened(N - 4)).delete()
    rows = [row for _, row, what in places(deep()[1]) if what == "bar"]
    assert rows == [100, N - 3, N - 2, N - 1]


def test_a_changed_view_is_named(traded: None) -> None:
    View.objects.filter(symbol=BTC, bar_open_ms=opened(120)).update(state_hash="0" * 64)
    assert places(deep()[1]) == [(BTC, 120, "state")]


def test_a_view_that_is_not_the_one_decided_on_is_named(traded: None) -> None:
    other = View.objects.get(symbol=BTC, bar_open_ms=opened(119)).snapshot_hash
    View.objects.filter(symbol=BTC, bar_open_ms=opened(120)).update(snapshot_hash=other)
    assert places(deep()[1]) == [(BTC, 120, "snapshot"), (BTC, 120, "named")]
    View.objects.filter(symbol=BTC, bar_open_ms=opened(120)).delete()
    code, told = deep()
    assert code == 3 and places(told) == [(BTC, 120, "named")] and told["different"][0]["recomputed"] is None


def test_a_flag_that_was_never_switched_is_noticed(traded: None) -> None:
    FoldControl.objects.create(symbol=BTC, interval="1m", bar_open_ms=opened(180), kind=FoldControl.BOCPD, value=0)
    code, told = deep()
    assert code == 3 and places(told)[0] == (BTC, 180, "state")


def test_views_of_another_engine_are_left_out(traded: None) -> None:
    View.objects.filter(bar_open_ms__lt=opened(100)).update(engine_hash="another")
    code, told = deep()
    assert (code, told["different"]) == (0, [])
    assert told["symbols"][BTC] == {"bars": N - len(HOLE), "views": N - 100 - len(HOLE), "foreign": 100}
    assert told["named"]["foreign"] == 2 * 20
    View.objects.all().update(engine_hash="another")
    assert [refold(symbol)[1:4] for symbol in viewed_symbols()] == [(0, 0, N - len(HOLE)), (0, 0, N)]


def test_one_record_needs_its_own_bars_only(traded: None) -> None:
    record = next(
        record
        for record in audit_latest(500, kind="execution.decision", symbol=BTC)
        if record.content["inputs"]["draw"]["bar_open_ms"] == opened(120)
    )
    assert deep(record.audit_id) == (
        0,
        {"symbols": {BTC: {"bars": 121, "views": 121, "foreign": 0}}, "named": {"checked": 1, "foreign": 0},
         "different": []},
    )  # fmt: skip
    Bar.objects.filter(symbol_id=BTC, open_time_ms=opened(121)).update(volume_e8=0)
    assert deep(record.audit_id)[0] == 0 and deep()[0] == 3
    Bar.objects.filter(symbol_id=BTC, open_time_ms=opened(119)).update(volume_e8=0)
    assert deep(record.audit_id)[0] == 3
    no_decision = audit_latest(1, kind="execution.epoch")[0]
    assert deep(no_decision.audit_id)[1] == {"symbols": {}, "named": {"checked": 0, "foreign": 0}, "different": []}


def test_it_says_so_in_words(traded: None) -> None:
    out = StringIO()
    View.objects.filter(symbol=BTC, bar_open_ms=opened(120)).update(state_hash="0" * 64)
    with pytest.raises(SystemExit) as end:
        call_command("replay", "--limit", "4", "--deep", stdout=out, stderr=StringIO())
    assert end.value.code == 3
    words = out.getvalue()
    assert f"BTCUSDT: {N - len(HOLE)} bars folded again, {N - len(HOLE)} stored views met, 1 different; 0 of" in words
    assert "4 decisions name their view, 0 another" in words
    assert f"DIFFERENT view of BTCUSDT at {opened(120)}\n  state: recorded '0000" in words
