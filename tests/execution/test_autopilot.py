"""The desk on its own: which bars it folds and when, when it decides, and what a restart finds."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError

from apps.audit.selectors import audit_latest, snapshot_get
from apps.engine.errors import IntegrityBreach, StaleState
from apps.engine.view import view_from_snapshot
from apps.execution import autopilot as module
from apps.execution.autopilot import Autopilot
from apps.execution.models import EquityPoint, Execution
from apps.flags.services import flags_set
from apps.marketdata.market import MarketView
from apps.marketdata.models import Bar
from apps.strategy.fold import Fold
from apps.strategy.models import FoldControl, View
from apps.strategy.selectors import view_latest
from tests.support.bars import MINUTE_MS, walk_bars
from tests.support.desk import store
from tests.support.live_desk import BLOCKS, CLOSED_MS, N_BARS, SYMBOLS, LiveMarket, plan
from tradedesk.bars import store_bars

# The blocks of the desk go on: bar n of the longer walk follows on the last stored one.
MORE = {symbol: walk_bars(N_BARS + 40, seed=5 + number, sigma=0.003) for number, symbol in enumerate(SYMBOLS)}
BTC = "BTCUSDT"


def later_bar(number: int, symbol: str = BTC) -> Any:
    """The bar `number` after the last stored one, 0 being the next; its close leaves no jump in price."""
    bars, last = MORE[symbol], BLOCKS[symbol]
    row = N_BARS + number
    bar = bars.slice(row, row + 1)
    shift = int(last.close_e8[-1]) - int(bars.open_e8[N_BARS])
    return bar._replace(**{name: getattr(bar, name) + shift for name in ("open_e8", "high_e8", "low_e8", "close_e8")})


def opened(number: int) -> int:
    return CLOSED_MS + number * MINUTE_MS


def arrive(number: int, symbol: str = BTC) -> None:
    """The stream stores a bar, late if the fold has gone past it."""
    now_ms = max(opened(number) + MINUTE_MS, CLOSED_MS + 40 * MINUTE_MS)
    store_bars(symbol=symbol, interval="1m", bars=later_bar(number, symbol), source="test", ts_ms=now_ms)


def newest_view(symbol: str = BTC) -> int:
    newest = View.objects.filter(symbol=symbol).order_by("-bar_open_ms").first()
    assert newest is not None
    return newest.bar_open_ms


def require_rebuilt_is_stored(symbol: str = BTC) -> None:
    fold = Fold(symbol)
    fold.rebuild()
    stored = View.objects.filter(symbol=symbol).order_by("-bar_open_ms").first()
    assert stored is not None and fold.observer.state_hash() == stored.state_hash
    assert fold.last_open_ms == stored.bar_open_ms


@pytest.fixture
def pilot(quiet_desk: MarketView, settings: Any) -> Autopilot:
    """Warm, and not deciding: these tests look at the fold."""
    settings.AUTOPILOT = False
    autopilot = Autopilot()
    autopilot.warm()
    return autopilot


def test_bars_are_folded_as_they_come(pilot: Autopilot, quiet_desk: MarketView) -> None:
    quiet_desk.clock.observe(opened(2))
    arrive(0)
    pilot.step()
    assert newest_view() == opened(0)
    arrive(1)
    arrive(2)
    pilot.step()
    assert newest_view() == opened(2) and View.objects.filter(symbol=BTC).count() == 4
    assert not FoldControl.objects.filter(kind=FoldControl.GAP).exists()
    require_rebuilt_is_stored()


def test_a_hole_is_waited_for_twenty_seconds_of_market_time(pilot: Autopilot, quiet_desk: MarketView) -> None:
    """Bar 0 should have closed at opened(1); until 20 s after that the fold stands still."""
    arrive(1)
    quiet_desk.clock.observe(opened(1) + 19_000)
    pilot.step()
    assert newest_view() == opened(-1)
    quiet_desk.clock.observe(opened(1) + 20_000)
    pilot.step()
    assert newest_view() == opened(1)
    row = FoldControl.objects.get(kind=FoldControl.GAP)
    assert (row.symbol, row.bar_open_ms, row.value) == (BTC, opened(1), 1)
    record = audit_latest(1, kind="strategy.fold_gap")[0]
    assert record.content["barOpenMs"] == opened(1) and record.content["value"] == 1
    require_rebuilt_is_stored()


def test_a_bar_that_comes_in_time_leaves_no_gap(pilot: Autopilot, quiet_desk: MarketView) -> None:
    arrive(1)
    quiet_desk.clock.observe(opened(1) + 19_000)
    pilot.step()
    arrive(0)
    pilot.step()
    assert newest_view() == opened(1)
    assert not FoldControl.objects.filter(kind=FoldControl.GAP).exists()
    require_rebuilt_is_stored()


def test_a_late_bar_is_stored_and_never_folded(pilot: Autopilot, quiet_desk: MarketView) -> None:
    arrive(1)
    quiet_desk.clock.observe(opened(1) + 20_000)
    pilot.step()
    before = view_latest(BTC)
    arrive(0)
    assert Bar.objects.get(symbol_id=BTC, open_time_ms=opened(0)).late
    pilot.step()
    assert view_latest(BTC) == before and newest_view() == opened(1)
    require_rebuilt_is_stored()
    arrive(2)
    pilot.step()
    Autopilot().warm()
    require_rebuilt_is_stored()


def test_a_missing_bar_that_comes_at_the_last_moment_is_not_stepped_over(pilot: Autopilot) -> None:
    """Between looking for bars and folding past the hole, the missing one is stored."""
    arrive(1)
    fold = pilot.folds[BTC]
    before = fold.observer.state_hash()
    arrive(0)
    with pytest.raises(StaleState):
        fold.advance(later_bar(1))
    assert fold.observer.state_hash() == before and not FoldControl.objects.filter(kind=FoldControl.GAP).exists()


def test_a_bar_that_comes_once_its_hole_is_given_up_is_late_at_once(pilot: Autopilot) -> None:
    """The gap is noted before the view behind it is written: a bar stored in between must not count as folded."""
    arrive(1)
    pilot.folds[BTC].advance(later_bar(1))
    assert newest_view() == opened(-1)
    arrive(0)
    assert Bar.objects.get(symbol_id=BTC, open_time_ms=opened(0)).late


def test_holes_met_while_rebuilding_are_given_up_as_well(quiet_desk: MarketView, settings: Any) -> None:
    settings.AUTOPILOT = False
    arrive(3)
    Autopilot().warm()
    row = FoldControl.objects.get(kind=FoldControl.GAP)
    assert (row.bar_open_ms, row.value) == (opened(3), 3)
    arrive(1)
    assert Bar.objects.get(symbol_id=BTC, open_time_ms=opened(1)).late
    Autopilot().warm()
    require_rebuilt_is_stored()


def test_the_first_decision_comes_right_after_the_start(market: LiveMarket) -> None:
    autopilot = Autopilot()
    autopilot.warm()
    autopilot.step()
    rows = list(Execution.objects.order_by("symbol"))
    assert [(row.symbol, row.bar_open_ms, row.attempt, row.source) for row in rows] == [
        (symbol, opened(-1), 0, "router") for symbol in SYMBOLS
    ]
    assert EquityPoint.objects.get().ts_ms == CLOSED_MS


def test_a_bar_that_closes_while_the_first_decision_waits_takes_its_place(market: LiveMarket) -> None:
    """A desk started just before the end of a minute must not wait for its grid, of which bar 0 is the last."""

    def closes(number: int) -> None:
        market.later(opened(number + 1) + 500 - market.view.now_ms())
        for symbol in SYMBOLS:
            arrive(number, symbol)

    market.pause()
    closes(0)
    autopilot = Autopilot()
    autopilot.warm()
    for number in (1, 2):
        closes(number)
        autopilot.step()
        assert not Execution.objects.exists(), "the prices are old"
    market.tick()
    autopilot.step()
    closes(3)
    market.tick()
    autopilot.step()
    assert not View.objects.filter(bar_open_ms__gt=opened(0), is_grid=True).exists()
    rows = Execution.objects.order_by("symbol").values_list("symbol", "bar_open_ms", "attempt")
    assert list(rows) == [(symbol, opened(2), 0) for symbol in SYMBOLS]


def test_it_does_not_decide_twice_on_one_bar_after_a_restart(market: LiveMarket) -> None:
    for _ in range(3):
        autopilot = Autopilot()
        autopilot.warm()
        autopilot.step()
        autopilot.step()
    assert Execution.objects.count() == len(SYMBOLS)


def test_a_person_who_decides_shifts_nothing_for_the_autopilot(market: LiveMarket, local: Any) -> None:
    asked = plan(local).json()
    autopilot = Autopilot()
    autopilot.warm()
    autopilot.step()
    attempts = Execution.objects.filter(symbol=BTC).order_by("attempt").values_list("attempt", flat=True)
    assert list(attempts) == [0, 1]
    own = Execution.objects.get(symbol=BTC, attempt=0)
    assert own.execution_id != asked["executionId"]


def test_it_decides_on_its_grid_alone(market: LiveMarket, settings: Any) -> None:
    autopilot = Autopilot()
    autopilot.warm()
    autopilot.step()
    for number in range(10):
        market.later(opened(number + 1) + 500 - market.view.now_ms())
        market.tick()
        for symbol in SYMBOLS:
            arrive(number, symbol)
        autopilot.step()
    decided = set(Execution.objects.filter(symbol=BTC).values_list("bar_open_ms", flat=True))
    grid = settings.HORIZON_BARS * MINUTE_MS
    later = {at for at in decided if at >= opened(0)}
    assert later == {opened(n) for n in range(10) if View.objects.get(symbol=BTC, bar_open_ms=opened(n)).is_grid}
    assert len(later) == 2 and max(later) - min(later) == grid
    assert EquityPoint.objects.count() == 11


def test_a_flag_becomes_a_control_row_and_the_rebuild_agrees(pilot: Autopilot, quiet_desk: MarketView) -> None:
    quiet_desk.clock.observe(opened(8))
    for number in range(9):
        if number in (3, 6):
            flags_set(changes={"BOCPD": number == 6}, actor="test", reason="test", ts_ms=opened(number))
        arrive(number)
        pilot.step()
    rows = FoldControl.objects.filter(symbol=BTC, kind=FoldControl.BOCPD).order_by("bar_open_ms")
    assert list(rows.values_list("bar_open_ms", "value")) == [(opened(3), 0), (opened(6), 1)]
    regimes = {row.bar_open_ms: row.regime["enabled"] for row in View.objects.filter(symbol=BTC)}
    assert [regimes[opened(number)] for number in range(9)] == [True] * 3 + [False] * 3 + [True] * 3
    require_rebuilt_is_stored()
    again = Autopilot()
    again.warm()
    assert again.folds[BTC].observer.state_hash() == pilot.folds[BTC].observer.state_hash()


@pytest.mark.parametrize("n_more", [0, 2], ids=["same-bar", "bars-came-meanwhile"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE marketdata_bar SET close_e8 = close_e8 + 1000000, high_e8 = high_e8 + 1000000 WHERE {row}",
        "DELETE FROM marketdata_bar WHERE {row}",
        "UPDATE marketdata_bar SET late = 1 WHERE {row}",
    ],
    ids=["changed", "deleted", "hidden"],
)
@pytest.mark.parametrize("back", [1, 50])
def test_a_bar_that_was_tampered_with_stops_the_start(
    pilot: Autopilot, quiet_desk: MarketView, desk_db: Path, statement: str, back: int, n_more: int
) -> None:
    """Whether or not bars have come since: the rebuilt view must be the stored one at the stored one's bar."""
    Autopilot().warm()
    row = f"symbol_id = '{BTC}' AND open_time_ms = {opened(-back)}"
    with sqlite3.connect(desk_db, isolation_level=None) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        assert connection.execute(statement.format(row=row)).rowcount == 1
    connection.close()
    for number in range(n_more):
        store(BTC, later_bar(number))
    with pytest.raises(IntegrityBreach, match=BTC):
        Autopilot().warm()


def test_a_view_of_another_engine_does_not_stop_the_start(pilot: Autopilot, settings: Any) -> None:
    """After an update of the engine the states differ, and a decision names the snapshot it was taken on."""
    settings.ENGINE_HASH = "another"
    other = View.objects.get(symbol="ETHUSDT")
    View.objects.filter(symbol=BTC).update(state_hash=other.state_hash, snapshot_hash=other.snapshot_hash)
    again = Autopilot()
    again.warm()
    fold = again.folds[BTC]
    assert again.latest[BTC].view.state_hash == fold.observer.state_hash()
    kept = view_from_snapshot(snapshot_get(again.latest[BTC].snapshot_hash))
    assert kept.record == again.latest[BTC].view.record and np.array_equal(kept.arms, again.latest[BTC].view.arms)


def test_a_step_that_the_database_broke_is_taken_again_from_the_rows(
    pilot: Autopilot, quiet_desk: MarketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fold has moved in memory and the view was not written: only the rows say where the desk is."""
    quiet_desk.clock.observe(opened(2))
    arrive(0)
    real, failures = module.view_write, [OperationalError("database is locked")]

    def flaky(**given: Any) -> str:
        if failures:
            raise failures.pop()
        return real(**given)

    monkeypatch.setattr(module, "view_write", flaky)
    assert pilot._try_step(True) is False
    assert newest_view() == opened(-1)
    assert pilot._try_step(False) is True
    arrive(1)
    assert pilot._try_step(True) is True
    assert newest_view() == opened(1)
    require_rebuilt_is_stored()


def test_a_breach_and_the_unexpected_end_the_run(pilot: Autopilot, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (IntegrityBreach("rows disagree"), ZeroDivisionError("a bug")):
        monkeypatch.setattr(pilot, "step", lambda error=error: (_ for _ in ()).throw(error))
        pilot.nudge()
        with pytest.raises(type(error)):
            pilot.run()


def test_it_waits_for_a_market_before_it_decides(quiet_desk: MarketView) -> None:
    autopilot = Autopilot()
    autopilot.warm()
    autopilot.step()
    assert not Execution.objects.exists() and autopilot.due == set(SYMBOLS)


def test_without_the_lease_it_waits_and_then_rebuilds_from_the_rows(
    quiet_desk: MarketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby does nothing; what the holder wrote meanwhile is where it begins."""
    may_act, warmed = threading.Event(), threading.Event()
    standby = Autopilot(may_act=may_act.is_set)
    monkeypatch.setattr(module, "POLL_S", 0.02)
    real = standby.warm

    def warm(*given: Any) -> None:
        real(*given)
        warmed.set()

    monkeypatch.setattr(standby, "warm", warm)
    thread = threading.Thread(target=standby.run)
    thread.start()
    assert not warmed.wait(0.3) and not View.objects.exists()
    may_act.set()
    assert warmed.wait(20)
    standby.stop()
    thread.join()
    assert newest_view() == opened(-1)
    require_rebuilt_is_stored()
