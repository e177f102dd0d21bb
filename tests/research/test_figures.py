"""Figures of trades, exposure and cost, by hand; null with a reason where there is nothing to divide by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apps.engine.decision import DECISION_INTS
from apps.engine.ledger import book_state
from apps.engine.observer import ObserveSettings
from apps.engine.reasons import Reason, Status
from apps.research.backtests import figures
from apps.research.backtests.outcome import TRADE_COLUMNS, Market, trade_columns
from apps.research.backtests.request import Ruleset
from apps.research.backtests.simulation import Simulated
from tests.support.bars import FILTERS, MINUTE_MS
from tests.support.engine import build_terms

RULES = Ruleset(ObserveSettings("BTCUSDT", MINUTE_MS, 5), FILTERS, {}, build_terms(bars_per_year=8), True)
CASH = 1_000


def account(equity: list[int]) -> tuple[Simulated, dict[str, Any]]:
    """Two trades over four bars: bought 10 for 100, sold for 130; bought 10 for 120, sold for 110. Fees 1, slips 2."""
    decisions = np.zeros(5, DECISION_INTS)
    decisions["filled_lots"], decisions["equity_before_e8"] = [10, 10, 10, 10, 0], 1_000
    decisions["status"] = [Status.FILLED] * 4 + [Status.NO_TRADE]
    decisions["reason"] = [Reason.NONE] * 4 + [Reason.CASH_CHOSEN]
    fills = {
        "fill_step": np.array([0, 1, 2, 3]), "fill_side": np.array([1, -1, 1, -1]), "fill_lots": np.full(4, 10),
        "fill_notional_e8": np.array([100, 130, 120, 110]), "fill_after_lots": np.array([10, 0, 10, 0]),
        "fill_arm": np.zeros(4, int), "fill_fee_e8": np.ones(4, int), "fill_half_spread_e8": np.full(4, 2),
        "fill_impact_e8": np.full(4, 3),
    }  # fmt: skip
    run = Simulated(decisions, None, np.zeros(5, int), np.array(equity), book_state(1, CASH))
    return run, fills | trade_columns(fills, 0)


def figures_of(equity: list[int]) -> dict[str, Any]:
    run, columns = account(equity)
    market = Market(np.ones(4, int), np.array([1, 1, 2, 2]))
    return {name: one.value for name, one in figures.desk_figures(run, columns, market, RULES, CASH).items()}


def test_trades_exposure_and_cost_by_hand() -> None:
    """Profits 28 and -12; lots held at the closes 10, 0, 10, 0, one tick of a lot worth 10."""
    found = figures_of([1_010, 1_020, 1_030, 1_016])
    assert found["hit_rate"] == 0.5 and found["profit_factor"] == pytest.approx(28 / 12)
    assert found["mean_trade_bps"] == pytest.approx((2_800 - 1_000) / 2) and found["mean_trade_bars"] == 1.0
    # Half a year of bars: (0.10 + 0.13 + 0.12 + 0.11) / 2 in it, twice that a year.
    assert found["turnover"] == pytest.approx(0.46)
    assert found["time_in_market"] == 0.5
    assert found["mean_exposure"] == pytest.approx((100 / 1_010 + 200 / 1_030) / 4)
    # 4 fees, 8 of half-spread, 12 of impact: 24 paid of 16 + 24 earned before.
    assert found["cost_share"] == pytest.approx(24 / 40)


def test_without_gross_profit_costs_have_no_share() -> None:
    run, columns = account([990, 980, 970, 976])
    market = Market(np.ones(4, int), np.ones(4, int))
    found = figures.desk_figures(run, columns, market, RULES, CASH)["cost_share"]
    assert (found.value, found.reason) == (None, "no gross profit")


def test_without_trades_their_figures_say_so() -> None:
    columns = {name: np.zeros(0, np.int64) for name in TRADE_COLUMNS}
    found = figures._trade_figures(columns)
    assert {(one.value, one.reason) for one in found.values()} == {(None, "no closed trade")}


def test_counts_and_costs() -> None:
    run, columns = account([1_010, 1_020, 1_030, 1_016])
    counted = figures.counts(run, columns)
    assert counted["by_status"] == {"filled": 4, "no_trade": 1} and counted["by_reason"] == {"cash_chosen": 1}
    assert (counted["fills"], counted["trades"], counted["is_open_at_end"]) == (4, 2, False)
    assert figures.cost_figures(columns) == {"fee_e8": 4, "half_spread_e8": 8, "impact_e8": 12}


def test_a_loss_on_the_first_bar_is_a_drawdown() -> None:
    """The cash of the start comes before the first bar."""
    found = figures.curve_figures(1_000, np.array([900, 950, 990]), 8)
    assert found["max_drawdown"].value == pytest.approx(-0.1)
    assert found["total_return"].value == pytest.approx(-0.01)
