"""What becomes of an order that was sent: runaway prices, the next bar, the rehearsal, and books that balance."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.decide import decide, no_view
from apps.engine.decision import (
    FILL_BARS,
    SOURCE_FLATTEN,
    SOURCE_PERSON,
    ArrivalRecord,
)
from apps.engine.reasons import Reason, Status
from tests.engine.decided import ends, outcome
from tests.support.engine import (
    ASK,
    CASH_E8,
    FULL_LOTS,
    MARK,
    build_desk,
    build_inputs,
    build_limits,
    build_terms,
    levels,
)


def test_a_buy_that_ran_away_is_refused_whole() -> None:
    """Judged at the touch it was affordable; the level behind it is not, and cash never goes below 0."""
    asks = levels((ASK, 10), (ASK * 20, 10**6))
    decision = decide(build_inputs(asks=asks))
    assert outcome(decision) == (Status.EXPIRED, Reason.FREE_BALANCE)
    assert (decision.ints.sent_lots, decision.ints.cash_after_e8, decision.fills) == (FULL_LOTS, CASH_E8, ())


def bars(open_ticks: int, volume_lots: int, **terms: int) -> dict[str, Any]:
    """The same decision, filled at the next bar."""
    return {
        "terms": build_terms(fill_kind=FILL_BARS, **terms),
        "arrival": ArrivalRecord(0, 0, open_ticks, volume_lots),
        "bids": levels(),
        "asks": levels(),
    }


@pytest.mark.parametrize(
    ("open_ticks", "volume", "status", "reason"),
    [
        (MARK, 10 * FULL_LOTS, Status.FILLED, Reason.NONE),
        (MARK, 500_000, Status.PARTIAL, Reason.PARTICIPATION_CAP),
        (MARK, 9, Status.EXPIRED, Reason.PARTICIPATION_CAP),
        (0, 500_000, Status.EXPIRED, Reason.NEXT_BAR_MISSING),
    ],
)
def test_how_an_order_ends_at_the_next_bar(open_ticks: int, volume: int, status: Status, reason: Reason) -> None:
    assert ends(**bars(open_ticks, volume)) == (status, reason)


def test_a_person_s_order_at_the_next_bar_has_no_impact_to_pay_and_says_so() -> None:
    record, arms, gates = no_view()
    given = {**bars(MARK, 10**6, source=SOURCE_PERSON, lots=1_000), "view": record, "arms": arms, "gates": gates}
    assert ends(**given) == (Status.EXPIRED, Reason.NUMERIC_FAULT)
    free = {**given, "terms": build_terms(fill_kind=FILL_BARS, source=SOURCE_PERSON, lots=1_000, slippage_scale=0)}
    assert ends(**free) == (Status.FILLED, Reason.NONE)


@pytest.mark.parametrize(("bps", "lots"), [(0, 0), (100, 1_041), (1_000, 10_416), (2_500, 26_041), (10_000, FULL_LOTS)])
def test_the_rehearsal_is_the_weight_s_share_floored_to_the_lot(bps: int, lots: int) -> None:
    decision = decide(build_inputs(terms=build_terms(rehearsal_bps=bps)))
    ints = decision.ints
    assert (ints.rehearsal_lots, ints.rehearsal_filled_lots) == (lots, lots)
    assert ints.rehearsal_notional_e8 == lots * ASK * 10
    assert ints._replace(rehearsal_lots=0, rehearsal_filled_lots=0, rehearsal_notional_e8=0) == (
        decide(build_inputs()).ints
    ), "the paper book does not depend on the rehearsal"


def test_a_rehearsal_takes_only_what_its_size_reaches() -> None:
    """1,041 lots on a book of 1,000 and more behind: the paper order goes deeper than the rehearsal."""
    asks = levels((ASK, 1_000), (ASK + 100, 10**6))
    ints = decide(build_inputs(asks=asks, terms=build_terms(rehearsal_bps=100))).ints
    assert ints.rehearsal_notional_e8 == (1_000 * ASK + 41 * (ASK + 100)) * 10
    short = decide(build_inputs(asks=levels((ASK, 1_000)), terms=build_terms(rehearsal_bps=100))).ints
    assert (short.rehearsal_lots, short.rehearsal_filled_lots) == (1_041, 1_000)


# Whatever comes in, the books balance.


@settings(max_examples=400, deadline=None)
@given(
    lots=st.integers(-(10**6), 10**6), held=st.integers(-(10**5), 10**5), cash=st.integers(0, 10**14),
    book=st.lists(st.tuples(st.integers(1, 10**8), st.integers(0, 10**6)), min_size=1, max_size=20),
    is_bars=st.booleans(), is_flatten=st.booleans(), bps=st.sampled_from([0, 100, 2_500]),
)  # fmt: skip
def test_books_balance_and_cash_never_goes_below_zero(
    lots: int, held: int, cash: int, book: list[tuple[int, int]], is_bars: bool, is_flatten: bool, bps: int
) -> None:
    other = 7 * 10**12
    desk = build_desk(position_lots=held, cash_e8=cash, equity_e8=cash + held * MARK * 10 + other, high_water_e8=1)
    limits = build_limits(max_notional_e8=2**60, symbol_notional_cap_e8=2**60, max_lots=0)
    terms = build_terms(
        source=SOURCE_FLATTEN if is_flatten else SOURCE_PERSON, lots=lots, rehearsal_bps=bps, slippage_scale=0,
        fill_kind=FILL_BARS if is_bars else 1,
    )  # fmt: skip
    price, shown = book[0]
    arrival = ArrivalRecord(price, price, price, shown)
    rows = levels(*book)
    inputs = build_inputs(desk=desk, limits=limits, terms=terms, arrival=arrival, bids=rows, asks=rows)
    decision = decide(inputs)
    ints = decision.ints
    assert ints.cash_after_e8 >= 0
    assert ints.cash_after_e8 == cash - sum(ints.side * t * n * 10 + fee for t, n, fee in decision.fills)
    assert ints.position_after_lots == held + ints.side * sum(n for _, n, _ in decision.fills)
    assert ints.equity_after_e8 == ints.cash_after_e8 + ints.position_after_lots * MARK * 10 + other
    assert ints.filled_lots <= ints.sent_lots <= ints.requested_lots
    assert (ints.status == Status.FILLED) == (0 < ints.filled_lots == ints.sent_lots)
    assert (ints.reason == Reason.NONE) == (ints.status == Status.FILLED)
    assert ints.rehearsal_filled_lots <= ints.rehearsal_lots == ints.sent_lots * bps // 10_000
