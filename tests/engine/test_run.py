"""The whole desk over arrays: which decisions are due, in which order, and what the account is worth at every bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from apps.engine.breakers import DAY_MS
from apps.engine.decision import FILL_BARS, N_ARMS
from apps.engine.desk import UNKNOWN_MARK
from apps.engine.ledger import MAX_RATE, book_state, desk_of_nb, orders_within_nb
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.reasons import Reason, Status
from apps.engine.router import RouterParams
from apps.engine.run import RunResult, RunSettings, rules_of, run
from apps.engine.values import Bars, Filters
from tests.support.bars import FILTERS, MINUTE_MS, START_MS, walk_bars
from tests.support.engine import CASH_E8, build_limits, build_terms

pytestmark = pytest.mark.usefixtures("compiled")
H, N, LATE = 5, 1_100, 130
LIVELY = RouterParams(v=2.0, eps=0.3)
HOLE = range(601, 607)  # lacking in the second symbol: the bar after a grid bar, and the next grid bar
OTHER = FILTERS._replace(tick_e8=10_000_000, step_e8=100_000)  # ticks and lots of another size


class Desk(NamedTuple):
    bars: list[Bars]
    result: RunResult
    observers: list[Observer]


def second_symbol() -> Bars:
    """It begins 130 bars later and lacks six bars in the middle."""
    bars = walk_bars(N - LATE, seed=8, price=3_000.0, sigma=0.01, start_ms=START_MS + LATE * MINUTE_MS)
    keep = np.ones(bars.n, bool)
    keep[[at - LATE for at in HOLE]] = False
    return Bars(*(np.ascontiguousarray(column[keep] // 10**7 * 10**7 if 1 <= number <= 4 else column[keep])
                  for number, column in enumerate(bars)))  # fmt: skip


def run_desk(
    *, seed: int = 20260101, progress: Callable[[int, int], None] | None = None, **limits: int
) -> Desk:  # fmt: skip
    blocks = [walk_bars(N, seed=7, sigma=0.01), second_symbol()]
    observers = [Observer(ObserveSettings(symbol, MINUTE_MS, H, params=LIVELY)) for symbol in ("BTCUSDT", "ETHUSDT")]
    terms = build_terms(
        unit_e8=0, horizon_bars=H, bars_per_year=525_600, weight_e9=500_000_000, fill_kind=FILL_BARS
    )  # fmt: skip
    given = {"max_notional_e8": 10**14, "symbol_notional_cap_e8": 10**14, "max_drawdown_bps": 10_000, **limits}
    settings = RunSettings(seed, CASH_E8, build_limits(**given), terms, 50, DAY_MS)
    result = run(
        observers, blocks, [FILTERS, OTHER], settings, inactive=np.zeros(N_ARMS, np.int64), is_bocpd=True,
        progress=progress,
    )  # fmt: skip
    return Desk(blocks, result, observers)


@pytest.fixture(scope="module")
def desk(compiled: None) -> Desk:
    return run_desk()


FIRST = START_MS // MINUTE_MS


def closes(desk: Desk) -> list[dict[int, int]]:
    """Close in 1e-8 by bar index, of each symbol."""
    return [
        {int(ms) // MINUTE_MS: int(close) for ms, close in zip(bars.open_time_ms, bars.close_e8, strict=True)}
        for bars in desk.bars
    ]


def test_it_trades_both_symbols(desk: Desk) -> None:
    filled = desk.result.decisions["filled_lots"] > 0
    assert all(int((filled & (desk.result.symbol == s)).sum()) >= 10 for s in (0, 1))


def test_a_decision_per_grid_bar_that_is_there_in_order_of_bar_and_symbol(desk: Desk) -> None:
    """The last bar of the array has no bar after it, so what it makes due is never committed."""
    present = closes(desk)
    expected = [
        (index, s) for index in range(FIRST, FIRST + N - 1) for s in (0, 1) if index % H == 0 and index in present[s]
    ]
    decided = list(zip(desk.result.decisions["bar_index"].tolist(), desk.result.symbol.tolist(), strict=True))
    assert decided == expected
    assert (desk.result.decisions["ts_ms"] == (desk.result.decisions["bar_index"] + 1) * MINUTE_MS).all(), (
        "at its close"
    )


def test_a_symbol_decides_nothing_before_its_first_bars_and_across_its_hole(desk: Desk) -> None:
    rows = desk.result.decisions[desk.result.symbol == 1]
    assert rows["bar_index"].min() == FIRST + LATE
    early = rows["bar_index"] < FIRST + LATE + 240
    after_hole = (rows["bar_index"] > FIRST + HOLE.stop) & (rows["bar_index"] < FIRST + HOLE.stop + 200)
    assert early.sum() and after_hole.sum()
    assert set(rows["reason"][early | after_hole]) == {Reason.CONTEXT_MISSING}


def test_equity_is_cash_and_marks_at_every_bar(desk: Desk) -> None:
    """Rebuilt from the decisions alone: cash after the last one, positions at the newest close of each symbol."""
    decisions, present = desk.result.decisions, closes(desk)
    cash, lots, marks, at = CASH_E8, [0, 0], [0, 0], 0
    rules = (FILTERS, OTHER)
    for step in range(N):
        while at < len(decisions) and decisions["bar_index"][at] < FIRST + step:
            cash, s = int(decisions["cash_after_e8"][at]), int(desk.result.symbol[at])
            lots[s] = int(decisions["position_after_lots"][at])
            at += 1
        for s in (0, 1):
            marks[s] = present[s].get(FIRST + step, marks[s])
        worth = cash + sum(lots[s] * (marks[s] // rules[s].tick_e8) * rules[s].unit_e8 for s in (0, 1))
        assert int(desk.result.equity_e8[step]) == worth, step
    assert at == len(decisions) and int(desk.result.book.totals[0]) == cash
    assert desk.result.book.positions.tolist() == lots


def test_the_account_is_the_sum_of_its_fills(desk: Desk) -> None:
    """Each decision starts where the one before it ended, whichever symbol that was."""
    d = desk.result.decisions
    spent = [
        side * notional + fee for side, notional, fee in zip(d["side"], d["notional_e8"], d["fee_e8"], strict=True)
    ]
    assert d["cash_before_e8"].tolist() == [CASH_E8 - int(sum(spent[:row])) for row in range(len(d))]
    assert d["cash_after_e8"].tolist() == [CASH_E8 - int(sum(spent[: row + 1])) for row in range(len(d))]
    for s in (0, 1):
        own = d[desk.result.symbol == s]
        assert np.cumsum(own["side"] * own["filled_lots"]).tolist() == own["position_after_lots"].tolist()
        assert (own["position_before_lots"][1:] == own["position_after_lots"][:-1]).all()


def test_fills_are_at_the_next_open_and_worse(desk: Desk) -> None:
    opens = [
        {int(ms) // MINUTE_MS: int(open_) for ms, open_ in zip(bars.open_time_ms, bars.open_e8, strict=True)}
        for bars in desk.bars
    ]
    d, rules = desk.result.decisions, (FILTERS, OTHER)
    for row in np.flatnonzero(d["filled_lots"] > 0):
        s = int(desk.result.symbol[row])
        open_ticks = opens[s][int(d["bar_index"][row]) + 1] // rules[s].tick_e8
        price = int(d["notional_e8"][row]) // (int(d["filled_lots"][row]) * rules[s].unit_e8)
        assert 0 < int(d["side"][row]) * (price - open_ticks) < 0.01 * open_ticks


def test_an_order_into_the_hole_expires() -> None:
    """The grid bar before the hole decides; what it sends meets no bar."""
    ends = set()
    for seed in range(1, 9):
        result = run_desk(seed=seed).result
        d = result.decisions[result.symbol == 1]
        row = d[d["bar_index"] == FIRST + HOLE.start - 1][0]
        ends.add((bool(row["sent_lots"] > 0), int(row["status"]), int(row["filled_lots"])))
        assert set(d["bar_index"][d["reason"] == Reason.NEXT_BAR_MISSING]) <= {FIRST + HOLE.start - 1}
    assert (True, int(Status.EXPIRED), 0) in ends and not any(filled for _, _, filled in ends)


def test_a_held_symbol_without_its_bar_leaves_the_account_unmarked(desk: Desk) -> None:
    d, present = desk.result.decisions, closes(desk)
    held, unmarked = 0, 0
    for row in range(len(d)):
        if desk.result.symbol[row] == 1:
            held = int(d["position_after_lots"][row])
            continue
        is_unmarked = held != 0 and int(d["bar_index"][row]) not in present[1]
        assert (int(d["unknown"][row]) & UNKNOWN_MARK != 0) == is_unmarked
        unmarked += is_unmarked
    assert unmarked == 1


def test_the_states_it_leaves_are_those_of_the_fold(desk: Desk) -> None:
    for bars, observer in zip(desk.bars, desk.observers, strict=True):
        folded = Observer(observer.settings)
        folded.observe_many(bars, inactive=np.zeros(N_ARMS, np.int64), is_bocpd=True)
        assert folded.state_hash() == observer.state_hash()


def test_the_same_seed_decides_the_same_and_another_does_not(desk: Desk) -> None:
    again, other = run_desk().result, run_desk(seed=5).result
    assert again.decisions.tobytes() == desk.result.decisions.tobytes()
    assert again.floats.tobytes() == desk.result.floats.tobytes()
    assert other.decisions.tobytes() != desk.result.decisions.tobytes()


def test_the_length_of_a_stretch_does_not_matter(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches that end on grid bars, inside holes and before the second symbol begins; all of it is told."""
    monkeypatch.setattr("apps.engine.run.CHUNK_STEPS", 43)
    told: list[tuple[int, int]] = []
    cut = run_desk(progress=lambda done, total: told.append((done, total)))
    for name in ("decisions", "floats", "probabilities", "symbol", "regime", "equity_e8"):
        assert getattr(cut.result, name).tobytes() == getattr(desk.result, name).tobytes(), name
    assert [column.tobytes() for column in cut.result.book] == [column.tobytes() for column in desk.result.book]
    assert [one.state_hash() for one in cut.observers] == [one.state_hash() for one in desk.observers]
    assert told == [(min(done, N), N) for done in range(43, N + 43, 43)]


def test_a_cap_holds_over_the_whole_run() -> None:
    """At the price each order is judged at: the position after it is worth at most the cap."""
    cap = 5_000 * 10**8
    result, rules = run_desk(symbol_notional_cap_e8=cap).result, (FILTERS, OTHER)
    d = result.decisions
    assert Reason.SYMBOL_CAP in d["reason"]
    for row in np.flatnonzero(d["sent_lots"] > 0):
        unit, held = rules[int(result.symbol[row])].unit_e8, int(d["position_before_lots"][row])
        after = abs(held + int(d["side"][row]) * int(d["sent_lots"][row]))
        assert after * int(d["judged_ticks"][row]) * unit <= cap or after < abs(held)


# The account as arrays.


def test_orders_are_counted_in_a_sliding_minute() -> None:
    times = np.zeros(MAX_RATE, np.int64)
    times[:4] = [100_000, 100_001, 160_000, 160_001]
    # An order exactly a minute old has left; one of the future counts, so that no step of the clock frees it.
    sides = np.ones(MAX_RATE, np.int64)
    sides[3] = -1
    counted = [orders_within_nb(times, sides, 0, ts) for ts in (160_000, 160_001, 220_000, 220_001)]
    assert counted == [3, 2, 1, 0]
    assert [orders_within_nb(times, sides, side, 160_000) for side in (1, -1)] == [2, 1]


def test_the_desk_of_a_symbol_marks_all_and_looks_back_on_its_window() -> None:
    """Two symbols, 10 and -20 lots at 100 and 50 ticks: 1,000 x 10 - 1,000 x 10 of equity on top of the cash."""
    book = book_state(2, 5_000)
    book.positions[:] = [10, -20]
    book.marks[:] = [100, 50]
    book.mark_index[:] = 7
    book.window[:3] = [9_000, 6_000, 5_500]
    book.totals[2] = 3
    units, steps = np.array([10, 10], np.int64), np.array([1_000, 1_000], np.int64)
    found = desk_of_nb(book, units, steps, 0, 7, 480_000, 50, DAY_MS, 0)
    assert (found.equity_e8, found.cash_e8, found.other_notional_e8) == (5_000, 5_000, 10_000)
    assert (found.position_lots, found.mark_ticks, found.high_water_e8, found.unknown) == (10, 100, 9_000, 0)
    assert desk_of_nb(book, units, steps, 0, 7, 480_000, 2, DAY_MS, 0).high_water_e8 == 6_000
    book.mark_index[1] = 6
    unmarked = desk_of_nb(book, units, steps, 0, 7, 480_000, 50, DAY_MS, 0)
    assert (unmarked.unknown, unmarked.equity_e8, unmarked.other_notional_e8) == (UNKNOWN_MARK, 15_000, 0)
    book.positions[1] = 0
    assert desk_of_nb(book, units, steps, 0, 7, 480_000, 50, DAY_MS, 0).unknown == 0


def test_dust_counts_for_equity_and_not_for_what_can_be_traded() -> None:
    """Half a lot of the second symbol at 50 ticks is worth 250; it cannot be marked once its bar is missing."""
    book = book_state(2, 5_000)
    book.dust[1] = 500
    book.marks[:] = [100, 50]
    book.mark_index[:] = 7
    units, steps = np.array([10, 10], np.int64), np.array([1_000, 1_000], np.int64)
    found = desk_of_nb(book, units, steps, 0, 7, 480_000, 50, DAY_MS, 0)
    assert (found.equity_e8, found.other_notional_e8, found.dust_e8, found.unknown) == (5_250, 0, 0, 0)
    assert desk_of_nb(book, units, steps, 1, 7, 480_000, 50, DAY_MS, 0).dust_e8 == 500
    book.mark_index[1] = 6
    assert desk_of_nb(book, units, steps, 0, 7, 480_000, 50, DAY_MS, 0).unknown == UNKNOWN_MARK


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, (1, 900_000_000, 1, 500_000_000, 0)),
        ({"min_qty_e8": 1_500}, (2, 900_000_000, 1, 500_000_000, 0)),
        ({"market_min_qty_e8": 7_000}, (7, 900_000_000, 1, 500_000_000, 0)),
        ({"market_max_qty_e8": 5_999}, (1, 5, 1, 500_000_000, 0)),
        ({"max_qty_e8": 0}, (1, 0, 1, 500_000_000, 0)),
        ({"market_step_e8": 10_000}, (1, 900_000_000, 10, 500_000_000, 0)),
        ({"market_step_e8": 100}, (1, 900_000_000, 1, 500_000_000, 0)),
        # lots of 1,000 that are whole steps of 1,500: every third
        ({"market_step_e8": 1_500}, (1, 900_000_000, 3, 500_000_000, 0)),
    ],
)
def test_rules_of_a_market_order(changes: dict[str, int], rules: tuple[int, ...]) -> None:
    given: Filters = FILTERS._replace(**changes)
    assert rules_of(given) == rules
