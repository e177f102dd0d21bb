"""The whole desk over a file or stored bars: the run that the engine makes, kept once, the same bits each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import DatabaseError, connection, transaction

from apps.engine.decision import FILL_BARS
from apps.engine.errors import IntegrityBreach, InvalidInput, UnknownName
from apps.engine.observer import Observer
from apps.engine.policies import arms
from apps.engine.run import run
from apps.engine.values import Bars
from apps.marketdata import services as market
from apps.research import services
from apps.research.backtests import simulation
from apps.research.backtests.history import History, Window, history_file, history_stored
from apps.research.backtests.outcome import NO_STEP
from apps.research.backtests.request import BacktestRequest, request_check, request_default, ruleset
from apps.research.models import BacktestRun
from apps.research.selectors import Backtest, backtest_get, backtests_latest
from apps.research.services import backtest
from tests.support.bars import FILTERS, MINUTE_MS, START_MS, walk_bars
from tests.support.klines import write_klines

pytestmark = pytest.mark.usefixtures("compiled", "desk_db")
N, NOW_MS = 1_500, START_MS + 10**10


@pytest.fixture(autouse=True)
def rules(desk_db: Path, settings: Any) -> None:
    settings.HORIZON_BARS, settings.SYMBOLS = 5, ("BTCUSDT",)
    settings.SYMBOL_NOTIONAL_CAP = settings.MAX_NOTIONAL = settings.MAX_ORDER_NOTIONAL = 10**6
    market.filters_record(symbol="BTCUSDT", filters=FILTERS, ts_ms=START_MS)


def wild() -> Bars:
    return walk_bars(N, seed=7, sigma=0.003)


def history(tmp_path: Path, bars: Bars | None = None) -> History:
    path = write_klines(tmp_path / "BTCUSDT-1m-test.csv", wild() if bars is None else bars)
    return history_file(path, symbol="", interval="", window=Window(), now_ms=NOW_MS)


def request(**changes: Any) -> BacktestRequest:
    return replace(request_default("BTCUSDT", "1m"), **changes)


def test_the_run_is_the_engines(tmp_path: Path) -> None:
    """Decisions and equity are those of one call of the compiled loop over all bars."""
    data, asked = history(tmp_path), request()
    made = backtest(request=asked, history=data, ts_ms=1)
    held = ruleset(asked, FILTERS)
    assert held.terms.fill_kind == FILL_BARS and held.terms.is_router_on == 1 and held.terms.slippage_scale == 1
    whole = run([Observer(held.observe)], [data.bars], [FILTERS], held.run_settings(asked, "base"),
                inactive=np.zeros(len(arms()), np.int64), is_bocpd=True)  # fmt: skip
    assert made.columns["equity_base_e8"].tobytes() == whole.equity_e8.tobytes()
    assert made.columns["decision_arm"].tolist() == whole.decisions["arm"].tolist()
    assert made.columns["decision_regime"].tolist() == whole.regime.tolist()
    assert made.figures["counts"]["decisions"] == len(whole.decisions) == N // 5
    filled = whole.decisions[whole.decisions["filled_lots"] > 0]
    assert len(filled) >= 20 and made.columns["fill_lots"].tolist() == filled["filled_lots"].tolist()


def test_slices_change_no_bit_and_the_same_inputs_are_one_row(tmp_path: Path, monkeypatch: Any) -> None:
    data, told = history(tmp_path), []
    first = backtest(request=request(), history=data, ts_ms=1, progress=told.append)
    assert told == [N] * 3
    monkeypatch.setattr(simulation, "SLICE_BARS", 97)
    again = backtest(request=request(), history=data, ts_ms=2, progress=told.append)
    assert (again.result_hash, again.run_id, again.created_ts_ms) == (first.result_hash, first.run_id, 1)
    assert sum(told) == 6 * N and len(told) == 3 + 3 * 16
    assert BacktestRun.objects.count() == 1 and backtest_get(first.run_id).columns.keys() == first.columns.keys()


def test_stored_bars_give_what_the_file_gave(tmp_path: Path) -> None:
    market.bars_store(symbol="BTCUSDT", interval="1m", bars=wild(), source="test", ts_ms=NOW_MS)
    stored = history_stored("BTCUSDT", "1m", Window())
    one = backtest(request=request(), history=history(tmp_path), ts_ms=1)
    other = backtest(request=request(), history=stored, ts_ms=2)
    assert (one.inputs_hash, one.result_hash) == (other.inputs_hash, other.result_hash)


@pytest.mark.parametrize(
    "changes", [{"seed": 5}, {"cash_e8": 10**13}, {"horizon_bars": 15}, {"fills": "pessimistic"},
                {"policy": "ema_cross"}, {"values": {"ema_cross": {"fast": 12}}}, {"rehearsal_bps": 1_000}]
)  # fmt: skip
def test_another_question_is_another_row(tmp_path: Path, changes: dict[str, Any]) -> None:
    data = history(tmp_path)
    one = backtest(request=request(), history=data, ts_ms=1)
    other = backtest(request=request(**changes), history=data, ts_ms=2)
    assert one.inputs_hash != other.inputs_hash and one.result_hash != other.result_hash
    assert [row["run_id"] for row in backtests_latest(5)] == [other.run_id, one.run_id]


def test_trades_costs_and_equity_agree_to_the_last_unit(tmp_path: Path) -> None:
    """What all trades earned is what the account gained; prices without costs would have given the rest."""
    made = backtest(request=request(), history=history(tmp_path), ts_ms=1)
    columns, figures = made.columns, made.figures
    gain = figures["equity_e8"] - made.parameters["cash_e8"]
    assert int(columns["trade_profit_e8"].sum()) == gain
    assert int(columns["trade_fees_e8"].sum()) == figures["costs"]["fee_e8"]
    assert (columns["fill_impact_e8"] >= 0).all() and (columns["fill_half_spread_e8"] > 0).all()
    assert (columns["trade_exit_step"] == NO_STEP).sum() <= 1
    # At the opens, without any cost: position changes times open, and the last position at its mark.
    signed = columns["fill_side"].astype(np.int64) * columns["fill_lots"]
    worth = int(signed.sum()) * int(columns["close_ticks"][-1]) - int((signed * columns["fill_open_ticks"]).sum())
    assert worth * FILTERS.unit_e8 == gain + sum(figures["costs"].values())


def test_worse_fills_cost_more(tmp_path: Path) -> None:
    sides = backtest(request=request(), history=history(tmp_path), ts_ms=1).figures["fill_settings"]
    slipped = [sides[name]["costs"]["half_spread_e8"] + sides[name]["costs"]["impact_e8"] for name in sides]
    assert slipped[0] == 0 and list(sides) == ["optimistic", "base", "pessimistic"]
    assert 1.8 < slipped[2] / slipped[1] < 2.2
    assert sides["optimistic"]["equity_e8"] > sides["base"]["equity_e8"] > sides["pessimistic"]["equity_e8"]


def test_one_policy_decides_alone(tmp_path: Path) -> None:
    made = backtest(request=request(policy="vol_target"), history=history(tmp_path), ts_ms=1)
    names = [policy.policy_id for policy in arms()]
    chosen = set(made.columns["decision_arm"].tolist())
    assert names.index("vol_target") in chosen and chosen <= {-1, names.index("vol_target"), len(names)}


def test_it_cannot_see_ahead(tmp_path: Path) -> None:
    """Other bars from step 1,000 on change nothing before."""
    bars, cut = wild(), 1_000
    other = Bars(*(column.copy() for column in bars))
    for column in other[1:5]:
        column[cut:] = column[cut:] * 2 // FILTERS.tick_e8 * FILTERS.tick_e8
    data = history(tmp_path)
    one, two = (
        backtest(request=request(), history=data._replace(bars=block), ts_ms=1).columns["equity_base_e8"]
        for block in (bars, other)
    )
    assert one[:cut].tobytes() == two[:cut].tobytes() and one[cut:].tobytes() != two[cut:].tobytes()


def test_the_rehearsal_gets_its_share(tmp_path: Path) -> None:
    made = backtest(request=request(rehearsal_bps=1_000), history=history(tmp_path), ts_ms=1)
    plain = backtest(request=request(), history=history(tmp_path), ts_ms=1)
    # More than a tenth where the cap on volume cut the paper fill and not the rehearsal.
    sent = int(made.columns["fill_notional_e8"].sum())
    assert 0.099 * sent < made.figures["rehearsal"]["notional_e8"] < 0.105 * sent
    assert made.figures["equity_e8"] == plain.figures["equity_e8"] and plain.figures["rehearsal"]["orders"] == 0


def test_a_run_is_never_changed(tmp_path: Path) -> None:
    made = backtest(request=request(), history=history(tmp_path), ts_ms=1)
    for statement in ("UPDATE research_backtestrun SET fills = 'x'", "DELETE FROM research_backtestrun"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert backtest_get(made.run_id).fills == "base"


def test_another_result_of_the_same_inputs_is_a_breach(tmp_path: Path, monkeypatch: Any) -> None:
    data = history(tmp_path)
    made = backtest(request=request(), history=data, ts_ms=1)
    monkeypatch.setattr(
        services.figures, "cost_figures", lambda columns: {"fee_e8": 1, "half_spread_e8": 0, "impact_e8": 0}
    )
    with pytest.raises(IntegrityBreach, match=made.run_id):
        backtest(request=request(), history=data, ts_ms=2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"horizon_bars": 0}, "horizon"), ({"seed": -1}, "seed"), ({"cash_e8": 0}, "cash"),
        ({"cash_e8": 10**18}, "cash"),
        ({"weight_e9": 0}, "weight"), ({"rehearsal_bps": 10_001}, "rehearsal"), ({"fills": "worst"}, "fills"),
        ({"policy": "nobody"}, "policy"), ({"values": {"nobody": {}}}, "param"),
        ({"values": {"ema_cross": {"fast": 1}}}, "fast"), ({"values": {"ema_cross": {"slwo": 1}}}, "slwo"),
        ({"interval": "7m"}, "interval"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        request_check(request(**changes))
    assert refused.value.field == field


def test_an_unknown_run_is_unknown() -> None:
    with pytest.raises(UnknownName):
        backtest_get("bt_nothing")


def test_a_backtest_is_a_value(tmp_path: Path) -> None:
    made = backtest(request=request(), history=history(tmp_path), ts_ms=1)
    assert isinstance(made, Backtest) and made.interval_ms == MINUTE_MS
    assert (made.first_ms, made.end_ms) == (START_MS, START_MS + N * MINUTE_MS)
