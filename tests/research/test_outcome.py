"""From decisions to columns, by hand: what a fill cost, where a trade begins and ends, what holding would be worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apps.engine.decision import DECISION_INTS
from apps.engine.ledger import book_state
from apps.engine.observer import ObserveSettings
from apps.research.backtests.history import History
from apps.research.backtests.outcome import (
    NO_STEP,
    Market,
    buy_and_hold,
    fill_columns,
    held_lots,
    market_of,
    trade_columns,
)
from apps.research.backtests.request import BacktestRequest, Ruleset
from apps.research.backtests.simulation import Simulated
from tests.support.bars import FILTERS, MINUTE_MS, START_MS, walk_bars
from tests.support.engine import build_terms

FIRST = START_MS // MINUTE_MS


def rules(**terms: Any) -> Ruleset:
    return Ruleset(ObserveSettings("BTCUSDT", MINUTE_MS, 5), FILTERS, {}, build_terms(**terms), True)


def run_of(*rows: dict[str, int]) -> Simulated:
    """Decisions with these fields, all others 0."""
    decisions = np.zeros(len(rows), DECISION_INTS)
    for at, row in enumerate(rows):
        for name, value in row.items():
            decisions[name][at] = value
    nothing = np.zeros(0, np.int64)
    return Simulated(decisions, None, nothing, nothing, book_state(1, 0))


def fills_of(*rows: tuple[int, int, int, int, int, int]) -> dict[str, Any]:
    """Rows of (step, side, lots, notional, fee, position after)."""
    table = np.array(rows, np.int64).reshape(-1, 6)
    names = ("step", "side", "lots", "notional_e8", "fee_e8", "after_lots")
    return {f"fill_{name}": table[:, at] for at, name in enumerate(names)} | {"fill_arm": np.zeros(len(table), int)}


def trades(fills: dict[str, Any], worth: int = 0) -> list[tuple[int, ...]]:
    columns = trade_columns(fills, worth)
    names = ("entry_step", "exit_step", "side", "lots", "profit_e8", "fees_e8", "fills")
    return list(zip(*(columns[f"trade_{name}"].tolist() for name in names), strict=True))


def test_a_fill_is_taken_apart_into_fee_half_spread_and_impact() -> None:
    """10 lots at an open of 6,000,000 ticks are worth 6e8; 2 bps are 1,200 ticks a lot, the price is 1,500 worse."""
    run = run_of(
        {"bar_index": FIRST, "side": 1, "filled_lots": 10, "notional_e8": 10 * 6_001_500 * 10, "fee_e8": 7},
        {"bar_index": FIRST + 5},
        {"bar_index": FIRST + 10, "side": -1, "filled_lots": 4, "notional_e8": 4 * 5_998_000 * 10, "fee_e8": 3},
    )
    opens = np.array([0, 6_000_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6_000_000])
    found = fill_columns(run, FIRST, Market(opens, opens), rules(), "base")
    assert found["fill_step"].tolist() == [1, 11]
    assert found["fill_half_spread_e8"].tolist() == [10 * 1_200 * 10, 4 * 1_200 * 10]
    assert found["fill_impact_e8"].tolist() == [10 * 300 * 10, 4 * 800 * 10]
    assert found["fill_fee_e8"].tolist() == [7, 3]
    twice = fill_columns(run, FIRST, Market(opens, opens), rules(), "pessimistic")
    # Twice the half-spread would be more than the first price is worse by: it is all half-spread.
    assert twice["fill_half_spread_e8"].tolist() == [150_000, 80_000] and twice["fill_impact_e8"].tolist() == [0, 0]


def test_a_fee_in_base_counts_at_the_price_of_its_fill() -> None:
    """A buy of 10 lots (10,000 counts of base) for 60,000 charged 10 of base: 60 in quote; the sale paid in quote."""
    bought = {"bar_index": FIRST, "side": 1, "filled_lots": 10, "notional_e8": 60_000, "fee_e8": 10}
    sold = {"bar_index": FIRST + 1, "side": -1, "filled_lots": 10, "notional_e8": 60_000, "fee_e8": 55}
    market = Market(np.full(3, 600), np.full(3, 600))
    found = fill_columns(run_of(bought, sold), FIRST, market, rules(is_fee_in_base=1), "optimistic")
    assert found["fill_fee_e8"].tolist() == [60, 55]


def test_a_trade_runs_from_flat_to_flat_over_all_its_fills() -> None:
    fills = fills_of((3, 1, 10, 1_000, 1, 10), (5, 1, 5, 600, 1, 15), (9, -1, 7, 840, 1, 8), (12, -1, 8, 900, 1, 0))
    assert trades(fills) == [(3, 12, 1, 15, 1_740 - 1_600 - 4, 4, 4)]


def test_a_fill_through_zero_ends_one_trade_and_begins_another() -> None:
    """Sell 30 while 10 are held: a third of notional and fee closes, the rest opens a short of 20."""
    fills = fills_of((1, 1, 10, 1_000, 3, 10), (4, -1, 30, 3_300, 9, -20), (6, 1, 20, 2_000, 2, 0))
    assert trades(fills) == [(1, 4, 1, 10, 1_100 - 1_000 - 6, 6, 2), (4, 6, -1, 20, 2_200 - 2_000 - 8, 8, 2)]


@pytest.mark.parametrize(("side", "profit"), [(1, 1_200 - 1_000 - 5), (-1, 1_000 - 1_200 - 5)])
def test_a_trade_that_is_open_at_the_end_is_worth_its_mark(side: int, profit: int) -> None:
    fills = fills_of((2, side, 10, 1_000, 5, side * 10))
    assert trades(fills, side * 1_200) == [(2, NO_STEP, side, 10, profit, 5, 1)]


def test_no_fill_is_no_trade() -> None:
    assert trades(fills_of()) == []


def test_lots_held_at_every_close() -> None:
    fills = fills_of((1, 1, 10, 0, 0, 10), (3, -1, 4, 0, 0, 6), (4, -1, 6, 0, 0, 0))
    assert held_lots(fills, 6).tolist() == [0, 10, 10, 6, 0, 0]


def history_of(rows: list[int], n: int) -> History:
    bars = walk_bars(n, seed=3)
    kept = type(bars)(*(np.ascontiguousarray(column[rows]) for column in bars))
    end = START_MS + n * MINUTE_MS
    return History("BTCUSDT", "1m", kept, (), (), START_MS, end, "file", ("file",), FILTERS, False, 0)


def test_a_missing_bar_repeats_the_close_before_it_and_has_no_open() -> None:
    bars = walk_bars(5, seed=3)
    market = market_of(history_of([0, 1, 4], 5), MINUTE_MS)
    close = (bars.close_e8 // FILTERS.tick_e8).tolist()
    opened = (bars.open_e8 // FILTERS.tick_e8).tolist()
    assert market.close_ticks.tolist() == [close[0], close[1], close[1], close[1], close[4]]
    assert market.open_ticks.tolist() == [opened[0], opened[1], 0, 0, opened[4]]


def test_buy_and_hold_by_hand() -> None:
    """1,000 quote at 60,000.00: a lot of 0.00001 costs 0.6 + 2 bps (0.60012) + 10 bps of fee: 1,664 lots fit."""
    market = Market(np.array([6_000_000, 0]), np.array([6_000_000, 6_600_000]))
    request = BacktestRequest("BTCUSDT", "1m", cash_e8=1_000 * 10**8)
    worth = buy_and_hold(market, request, rules())
    paid = 1_664 * 60_012_000
    rest = 1_000 * 10**8 - paid - -(-paid // 1_000)
    assert 0 <= rest < 61_000_000
    assert worth.tolist() == [rest + 1_664 * 60_000_000, rest + 1_664 * 66_000_000]
