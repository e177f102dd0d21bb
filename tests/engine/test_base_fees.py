"""FEE_ASSET=base: what a buy brings, what it leaves as dust, and that nothing is lost; worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.decide import decide
from apps.engine.decision import Decision, TermsRecord
from apps.engine.matching import holding_after_nb
from apps.engine.reasons import Reason, Status
from tests.support.engine import (
    ASK,
    BID,
    CASH_E8,
    FULL_LOTS,
    MARK,
    build_desk,
    build_inputs,
    build_limits,
    build_terms,
    levels,
    plain,
)

STEP = 1_000


def person(lots: int, **terms: Any) -> TermsRecord:
    return build_terms(source=1, lots=lots, is_fee_in_base=1, step_e8=STEP, **terms)


def trade(lots: int, *, fee_bps: int = 10, **desk: int) -> Decision:
    """A person's market order on a book of 10^6 lots at one price each side."""
    return decide(
        build_inputs(
            desk=build_desk(**desk),
            terms=person(lots, fee_bps=fee_bps),
            limits=build_limits(allow_short=1),
            bids=levels((BID, 10**6)),
            asks=levels((ASK, 10**6)),
        )
    )


def test_a_buy_pays_in_base_and_leaves_dust() -> None:
    """2,500 lots of 1,000 are 2,500,000; 10 bps of it is 2,500: 2,497 lots and 500 of dust. Cash pays the price."""
    found = trade(2_500)
    ints = found.ints
    assert (Status(ints.status), found.fills) == (Status.FILLED, ((ASK, 2_500, 2_500),))
    assert (ints.position_after_lots, ints.dust_after_e8, ints.fee_e8) == (2_497, 500, 2_500)
    assert ints.cash_after_e8 == CASH_E8 - 2_500 * ASK * 10
    worth = 2_497 * MARK * 10 + MARK * 10 * 500 // STEP
    assert ints.equity_after_e8 == ints.cash_after_e8 + worth


def test_the_fee_is_rounded_up() -> None:
    """One lot of 1,000 at 7 bps is 0.7: a whole unit."""
    found = trade(10, fee_bps=7)
    assert found.fills == ((ASK, 10, 7),)
    assert trade(11, fee_bps=7).fills[0][2] == 8


def test_a_sale_pays_in_quote_and_keeps_the_dust() -> None:
    found = trade(-100, position_lots=100, dust_e8=900, cash_e8=CASH_E8)
    notional = 100 * BID * 10
    assert found.fills == ((BID, 100, -(-notional * 10 // 10_000)),)
    assert (found.ints.position_after_lots, found.ints.dust_after_e8) == (0, 900)
    assert found.ints.cash_after_e8 == CASH_E8 + notional - found.fills[0][2]


def test_two_dusts_make_a_lot() -> None:
    """9 lots less 9 units, on a dust of 900: 9,000 - 9 + 900 is 9 lots and 891; on one of 10 it is 9 lots and 1."""
    assert [trade(9, dust_e8=dust).ints.position_after_lots for dust in (900, 10)] == [9, 9]
    assert [trade(9, dust_e8=dust).ints.dust_after_e8 for dust in (900, 10, 0)] == [891, 1, 991]


def test_a_buy_needs_no_cash_for_its_fee() -> None:
    """Cash for exactly 1,000 lots at the ask buys them; in quote the fee would not fit."""
    cash = 1_000 * ASK * 10
    given = {"cash_e8": cash, "equity_e8": cash, "high_water_e8": cash, "day_start_e8": cash, "peak_e8": cash}
    assert trade(1_000, **given).ints.cash_after_e8 == 0
    in_quote = decide(
        build_inputs(desk=build_desk(**given), terms=build_terms(source=1, lots=1_000), asks=levels((ASK, 10**6)))
    )
    assert Reason(in_quote.ints.reason) is Reason.FREE_BALANCE


def test_no_more_than_whole_lots_are_for_sale() -> None:
    """100 lots were bought and 99 are whole: the hundredth is refused."""
    found = decide(
        build_inputs(
            desk=build_desk(position_lots=99, dust_e8=900),
            terms=person(-100),
            limits=build_limits(allow_short=0),
            bids=levels((BID, 10**6)),
        )
    )
    assert (found.ints.sent_lots, Reason(found.ints.reason)) == (0, Reason.FREE_BALANCE)


@pytest.mark.parametrize(
    ("lots", "dust", "side", "traded", "fee", "expected"),
    [
        (0, 0, 1, 5, 0, (5, 0)),
        (0, 0, 1, 1, 1, (0, 999)),
        (-5, 0, 1, 5, 5, (0, -5)),
        (-5, 0, 1, 4, 4, (-1, -4)),
        (-5, -5, 1, 5, 5, (0, -10)),
        (0, -10, 1, 1, 1, (0, 989)),
        (3, 989, -1, 3, 0, (0, 989)),
        (0, 999, -1, 1, 0, (0, -1)),
    ],
)
def test_whole_lots_are_counted_toward_zero(
    lots: int, dust: int, side: int, traded: int, fee: int, expected: tuple[int, int]
) -> None:
    desk = build_desk(position_lots=lots, dust_e8=dust)
    assert holding_after_nb(desk, side, traded, fee, STEP) == expected
    assert plain(holding_after_nb)(desk, side, traded, fee, STEP) == expected


@settings(max_examples=400, deadline=None)
@given(
    lots=st.integers(-FULL_LOTS, FULL_LOTS), dust=st.integers(-999, 999), side=st.sampled_from([1, -1]),
    traded=st.integers(1, 10**6), bps=st.integers(0, 100),
)  # fmt: skip
def test_no_unit_of_base_is_lost(lots: int, dust: int, side: int, traded: int, bps: int) -> None:
    dust = abs(dust) if lots > 0 else -abs(dust)
    fee = -(-traded * STEP * bps // 10_000) if side > 0 else 0
    whole, rest = holding_after_nb(build_desk(position_lots=lots, dust_e8=dust), side, traded, fee, STEP)
    assert whole * STEP + rest == lots * STEP + dust + side * traded * STEP - fee
    assert abs(rest) < STEP and (rest == 0 or whole == 0 or np.sign(rest) == np.sign(whole))
