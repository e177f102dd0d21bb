"""Live against backtest over the same span: equal where nothing differs, and every planted cause named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection

from apps.engine.decision import SOURCE_FLATTEN, SOURCE_PERSON, SOURCE_ROUTER
from apps.engine.ledger import TOTAL_WINDOW, BookState, orders_within_nb
from apps.engine.values import E8, Bars, Book
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.execution.facts import MarketFacts, mid_e8
from apps.execution.models import Account, EquityPoint, Position
from apps.execution.requests import AUTOPILOT, DecisionRequest, Prepared
from apps.execution.services import decide_and_record
from apps.marketdata.market import market_view
from apps.marketdata.services import bars_store
from apps.research.backtests.history import Window
from apps.research.divergence.baseline import baseline
from apps.research.divergence.compare import diverge
from apps.research.divergence.live import first_decisions, live_of
from apps.research.divergence.opening import opening_book
from apps.research.divergence.request import span_of
from apps.research.divergence.result import BACKTEST_ONLY, LIVE_ONLY, Divergence
from apps.risk import services as risk
from apps.strategy.selectors import fold_watermark_ms
from apps.web.roles import Role
from tests.support.bars import MINUTE_MS, START_MS, walk_bars
from tests.support.desk import seed_desk, store

N, HALF = 600, 402
SYMBOL = "BTCUSDT"
BARS = walk_bars(N, seed=4, sigma=0.003)


class BookAutopilot(BarsAutopilot):
    """Decides at the same bars, on a displayed book around the close; `facts_of` shapes what the order meets."""

    facts_of: Callable[[str, int, int], MarketFacts]

    def _commit(self, symbol: str, following: Bars | None) -> None:
        ref = self.latest[symbol]
        facts = self.facts_of(symbol, self.closes[symbol][1], ref.view.close_ms)
        request = DecisionRequest(symbol=symbol, source=SOURCE_ROUTER, actor=AUTOPILOT, reason="grid bar")
        decide_and_record(prepared=Prepared(request, ref, facts.seen, ref.view.close_ms), read_facts=lambda: facts)


def book_around(symbol: str, mid: int, ts_ms: int) -> Book:
    """Deep enough for anything: 50 a level, a dollar apart."""
    sides = [tuple((mid + sign * (level + 1) * E8, 50 * E8) for level in range(20)) for sign in (-1, 1)]
    return Book(symbol, ts_ms, ts_ms, sides[0], sides[1])


def facts_on_book(symbol: str, close_e8: int, ts_ms: int, *, moved: int = 0, latency_ms: int = 0) -> MarketFacts:
    seen, arrival = book_around(symbol, close_e8, ts_ms), book_around(symbol, close_e8 + moved, ts_ms + latency_ms)
    return MarketFacts(ts_ms + latency_ms, {symbol: mid_e8(arrival)}, 0, 0, seen, arrival)


def by_person(source: int, ts_ms: int, close_e8: int, **request: Any) -> None:
    asked = DecisionRequest(symbol=SYMBOL, source=source, actor="owner:alice", reason="a test", **request)
    facts = facts_on_book(SYMBOL, close_e8, ts_ms)
    decide_and_record(prepared=Prepared(asked, None, facts.seen, ts_ms), read_facts=lambda: facts)


@pytest.fixture
def desk(compiled: None, desk_db: Path, settings: Any) -> Any:
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", 5, (SYMBOL,)
    seed_desk((SYMBOL,))
    yield settings
    desk_thread().stop()


def trade(autopilot: BarsAutopilot, *spans: tuple[int, int]) -> None:
    for start, stop in spans:
        store(SYMBOL, BARS.slice(start, stop))
        autopilot.step()


def compared(start_ms: int | None = None, end_ms: int | None = None) -> Divergence:
    """The comparison, its money checked against the rows of the account."""
    found = diverge(span_of(Window(start_ms, end_ms)))
    if end_ms is None:
        held = sum(row.quantity_e8 * found.marks[row.symbol] for row in Position.objects.all())
        assert found.live_e16 == Account.objects.get().cash_e8 * E8 + held
    parts = sum(money for _, money in found.by_cause().values())
    assert parts == found.live_e16 - found.backtest_e16
    assert sum(n for n, _ in found.by_cause().values()) == len(found.differences)
    return found


def causes(found: Divergence) -> set[str]:
    assert found.differences, "nothing was planted"
    return {one.cause for one in found.differences}


def test_under_bar_fills_there_is_no_difference(desk: Any) -> None:
    """Two symbols on one account; and the same from the middle on, where the account is put together from rows."""
    desk.SYMBOLS = (SYMBOL, "ETHUSDT")
    seed_desk(desk.SYMBOLS)
    blocks = [BARS, walk_bars(N, seed=2, sigma=0.003)]
    for symbol, block in zip(desk.SYMBOLS, blocks, strict=True):
        store(symbol, block)
    BarsAutopilot().step()
    found = compared()
    assert found.differences == []
    assert found.n_same == found.n_live == found.n_backtest >= 200
    assert found.live_e16 == found.backtest_e16 != found.start_e16
    points = dict(EquityPoint.objects.values_list("ts_ms", "equity_e8"))
    assert [points[int(ts)] for ts in BARS.open_time_ms + MINUTE_MS] == found.backtest_curve
    part = compared(START_MS + HALF * MINUTE_MS, START_MS + 550 * MINUTE_MS)
    assert part.differences == [] and 50 <= part.n_same == part.n_live == part.n_backtest < 70


def test_the_book_instead_of_the_bar_is_fill(desk: Any) -> None:
    autopilot = BookAutopilot()
    autopilot.facts_of = facts_on_book
    trade(autopilot, (0, N))
    found = compared()
    assert causes(found) == {"fill"}
    first = found.differences[0]
    # By hand: a buy fills one dollar above the close, a level of 50 holds it; the fee is 10 bps, rounded up.
    (fill,) = first.live.fills
    close = int(BARS.close_e8[(first.ts_ms - START_MS) // MINUTE_MS - 1])
    assert fill.price_e8 == close + fill.side * E8
    assert fill.fee_e8 == -(-fill.notional_e8 // 1_000)
    other = first.backtest
    cost = [sum(one.side * one.notional_e8 + one.fee_e8 for one in side) for side in (first.live.fills, other.fills)]
    lots = fill.quantity_e8 - sum(one.quantity_e8 for one in other.fills)
    assert first.money_e16 == {"fill": (cost[1] - cost[0]) * E8 + fill.side * lots * found.marks[SYMBOL]}
    assert "the book gave" in first.detail and not first.follows
    assert all(one.follows for one in found.differences[1:] if one.detail.startswith("the account"))


def test_a_book_that_moved_is_latency(desk: Any) -> None:
    autopilot = BookAutopilot()
    autopilot.facts_of = lambda *given: facts_on_book(*given, moved=40 * E8, latency_ms=70)
    trade(autopilot, (0, N))
    found = compared()
    assert causes(found) == {"latency"}
    assert "decided 70 ms after the close, 40 from it; the book moved by 40" in found.differences[0].detail
    assert set(found.by_cause()) == {"latency", "fill"}, "the rest of the price is the book's"


def test_what_the_price_did_on_the_way_is_latency_also_where_size_and_clock_stay(desk: Any) -> None:
    """Only the book moved: the bar's open moves with it, and what is left of the price is the book's."""
    autopilot = BookAutopilot()
    autopilot.facts_of = lambda symbol, close, ts_ms: replace(
        facts_on_book(symbol, close, ts_ms, moved=40 * E8), marks={symbol: close}
    )
    trade(autopilot, (0, N))
    found = compared(None, START_MS + 500 * MINUTE_MS)
    assert causes(found) == {"latency"}
    first = found.differences[0]
    (fill,) = first.backtest.fills
    # By hand: the same lots 40 dearer, give or take what impact and rounding make of 40 in 75,000.
    assert -first.money_e16["latency"] / fill.held_e8 / E8 == pytest.approx(40.0, rel=0.01)


def test_the_account_at_the_start_is_that_of_the_run_before(desk: Any) -> None:
    """Put together from rows and a record, it is what the batch run holds at that moment: compared array by array."""
    trade(BarsAutopilot(), (0, N))
    sides = []
    for bar in range(420, 560, 7):
        middle_ms = START_MS + bar * MINUTE_MS
        before = span_of(Window(None, middle_ms + MINUTE_MS))
        run = baseline(before, opening_book(before, first_decisions(live_of(before)))).book
        after = span_of(Window(middle_ms, None))
        built = opening_book(after, first_decisions(live_of(after)))
        for name in ("positions", "dust", "trips", "last_signals", "repeat_latched"):
            assert getattr(built, name).tolist() == getattr(run, name).tolist(), (bar, name)
        for name in ("closed_times", "closed_profits"):
            assert sorted(getattr(built, name)[0]) == sorted(getattr(run, name)[0]), (bar, name)
        assert np.delete(built.totals, TOTAL_WINDOW).tolist() == np.delete(run.totals, TOTAL_WINDOW).tolist()
        sides.append(counted(built, after.start_ms))
        assert sides[-1] == counted(run, after.start_ms)
    assert len({position for position, *_ in sides}) > 3


def counted(book: BookState, ts_ms: int) -> tuple[int, int, int]:
    """Position, orders that the throttle counts, and the high water of the last 20 trades."""
    n = int(book.totals[TOTAL_WINDOW])
    sent = orders_within_nb(book.order_times[0], book.order_sides[0], 0, ts_ms)
    return int(book.positions[0]), int(sent), max([0, *book.window[max(0, n - 20) : n].tolist()])


def test_an_old_price_is_data(desk: Any) -> None:
    autopilot = BookAutopilot()
    stale = {"data_age_ms": 60_000}
    autopilot.facts_of = lambda *given: MarketFacts(**{**facts_on_book(*given).__dict__, **stale})
    trade(autopilot, (0, N))
    found = compared()
    assert "data" in causes(found)
    assert all("60000 ms old" in one.detail for one in found.differences if one.cause == "data" and not one.follows)


def test_a_late_bar_is_data(desk: Any) -> None:
    keep = np.ones(N, bool)
    keep[HALF : HALF + 2] = False
    store(SYMBOL, Bars(*(np.ascontiguousarray(column[keep]) for column in BARS)))
    market_view().clock.observe(int(BARS.open_time_ms[-1]) + 600_000)
    BarsAutopilot().step()
    assert compared().differences == [], "what is missing is missing on both sides"
    bars_store(
        symbol=SYMBOL, interval="1m", bars=BARS.slice(HALF, HALF + 2), source="test", ts_ms=int(BARS.open_time_ms[-1]),
        fold_watermark_ms=fold_watermark_ms(SYMBOL),
    )  # fmt: skip
    found = compared()
    assert causes(found) == {"data"}
    assert "came too late" in found.differences[0].detail
    assert min(one.ts_ms for one in found.differences) >= START_MS + HALF * MINUTE_MS


def test_a_revised_bar_is_data(desk: Any) -> None:
    trade(BarsAutopilot(), (0, N))
    opened = int(BARS.open_time_ms[HALF])
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE marketdata_bar SET close_e8 = low_e8, volume_e8 = volume_e8 * 9 WHERE open_time_ms = %s", [opened]
        )
        assert cursor.rowcount == 1
    found = compared()
    assert causes(found) == {"data"}
    assert "revised" in found.differences[0].detail


def test_a_changed_limit_is_configuration(desk: Any) -> None:
    autopilot = BarsAutopilot()
    trade(autopilot, (0, HALF))
    risk.limits_set(
        changes={"symbol_notional_cap_e8": 1000 * E8}, actor="test", reason="test", ts_ms=START_MS, role=Role.OWNER
    )
    trade(autopilot, (HALF, N))
    found = compared()
    assert causes(found) == {"configuration"}
    assert "symbol_notional_cap_e8 was 10000000000000 and is 100000000000" in found.differences[0].detail


def test_a_state_of_the_desk_is_risk(desk: Any) -> None:
    autopilot = BarsAutopilot()
    trade(autopilot, (0, 300))
    for state, span in (("REDUCING", (300, 500)), ("ACTIVE", (500, N))):
        risk.trading_state_set(state=state, actor="test", reason="test", ts_ms=START_MS, role=Role.OWNER)
        trade(autopilot, span)
    found = compared()
    assert causes(found) == {"risk"}
    assert "reduce_only" in found.differences[0].detail and "REDUCING" in found.differences[0].detail


def test_a_person_is_named(desk: Any) -> None:
    autopilot = BarsAutopilot()
    trade(autopilot, (0, HALF))
    close, closed_ms = int(BARS.close_e8[HALF - 1]), START_MS + HALF * MINUTE_MS
    by_person(SOURCE_PERSON, closed_ms + 1_000, close, side=1, quantity_e8=E8 // 2)
    by_person(SOURCE_FLATTEN, closed_ms + 2_000, close)
    trade(autopilot, (HALF, N))
    found = compared()
    assert causes(found) == {"person"}
    first, second = found.differences[:2]
    assert (first.side, first.detail) == (LIVE_ONLY, "an order of owner:alice")
    assert (second.side, second.detail) == (LIVE_ONLY, "a flatten of owner:alice")
    assert first.live.fills[0].quantity_e8 == E8 // 2 and second.live.fills[0].side == -1


def test_a_desk_that_stood_still_is_named(desk: Any) -> None:
    autopilot = BarsAutopilot()
    trade(autopilot, (0, 300))
    desk.AUTOPILOT = False
    trade(autopilot, (300, HALF))
    desk.AUTOPILOT = True
    trade(autopilot, (HALF, N))
    found = compared()
    alone = [one for one in found.differences if one.side == BACKTEST_ONLY]
    assert len(alone) in {20, 21} and {one.cause for one in alone} == {"latency"}
    assert all("not running" in one.detail for one in alone)
    assert causes(found) == {"latency"}
