"""What fills do to a position, by hand and over long random walks: nothing is lost to the last unit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apps.engine.portfolio import (
    FLAT,
    MAX_NOTIONAL_E8,
    PositionRecord,
    dust_value_nb,
    fee_nb,
    fee_worth_e8,
    notional_nb,
    position_after,
)
from tests.support.engine import plain

INT64_MAX = 2**63 - 1


def trade(position: PositionRecord, *fills: tuple[int, int]) -> PositionRecord:
    """Fills as (signed lots, ticks), at a unit of 10 and no fee."""
    for signed, ticks in fills:
        side = 1 if signed > 0 else -1
        notional = abs(signed) * ticks * 10
        position = position_after(position, side=side, quantity_e8=abs(signed), notional_e8=notional, fee_e8=0)
    return position


@pytest.mark.parametrize(
    ("notional", "bps", "fee"),
    [(0, 10, 0), (1, 10, 1), (1_000, 10, 1), (1_001, 10, 2), (10_000, 10, 10), (12_345_678, 7, 8_642), (5, 0, 0)],
)
def test_fees_are_rounded_up(notional: int, bps: int, fee: int) -> None:
    assert fee_nb(notional, bps) == fee


@settings(max_examples=300, deadline=None)
@given(notional=st.integers(0, MAX_NOTIONAL_E8), bps=st.integers(0, 10_000))
def test_fees_are_exact_up_to_the_largest_notional(notional: int, bps: int) -> None:
    assert fee_nb(notional, bps) == -(-notional * bps // 10_000)


@settings(max_examples=500, deadline=None)
@given(lots=st.integers(-5, INT64_MAX), ticks=st.integers(-5, INT64_MAX), unit=st.integers(-5, INT64_MAX))
def test_notionals_stop_at_a_ceiling_instead_of_wrapping(lots: int, ticks: int, unit: int) -> None:
    exact = lots * ticks * unit if min(lots, ticks, unit) >= 0 else MAX_NOTIONAL_E8
    assert notional_nb(lots, ticks, unit) == min(exact, MAX_NOTIONAL_E8)


def test_compiled_and_plain_arithmetic_agree() -> None:
    for kernel in (fee_nb, notional_nb):
        arguments = (987_654_321_987, 17) if kernel is fee_nb else (3_000, 6_000_001, 10)
        assert kernel(*arguments) == plain(kernel)(*arguments)


def test_buying_twice_averages_the_cost() -> None:
    """100 lots at 50 and 300 at 70: 50,000 + 210,000."""
    assert trade(FLAT, (100, 50), (300, 70)) == PositionRecord(400, 260_000, 0, 0)


def test_selling_a_part_takes_its_share_of_the_cost() -> None:
    """A quarter of 260,000 is 65,000; 100 lots at 80 bring 80,000."""
    assert trade(FLAT, (100, 50), (300, 70), (-100, 80)) == PositionRecord(300, 195_000, 15_000, 0)


def test_the_last_lot_takes_all_the_cost_that_is_left() -> None:
    """Three lots cost 10 x (1 + 1 + 2) = 40; each sale takes a third rounded down: 13, 13, 14."""
    bought = trade(FLAT, (2, 1), (1, 2))
    assert bought == PositionRecord(3, 40, 0, 0)
    once = trade(bought, (-1, 2))
    twice = trade(once, (-1, 2))
    assert [once.cost_e8, twice.cost_e8] == [27, 14]
    assert trade(twice, (-1, 2)) == PositionRecord(0, 0, 3 * 20 - 40, 0)


def test_a_short_gains_when_it_is_bought_back_lower() -> None:
    assert trade(FLAT, (-100, 80)) == PositionRecord(-100, 80_000, 0, 0)
    assert trade(FLAT, (-100, 80), (40, 50)) == PositionRecord(-60, 48_000, 12_000, 0)
    assert trade(FLAT, (-100, 80), (100, 90)) == PositionRecord(0, 0, -10_000, 0)


def test_crossing_zero_closes_first_and_opens_the_rest() -> None:
    """Sell 150 of 100 held at 50: 100 are closed at 60, 50 are opened short at 60."""
    assert trade(FLAT, (100, 50), (-150, 60)) == PositionRecord(-50, 30_000, 10_000, 0)
    assert trade(FLAT, (-100, 50), (150, 40)) == PositionRecord(50, 20_000, 10_000, 0)


def test_fees_are_kept_apart_from_the_cost() -> None:
    position = position_after(FLAT, side=1, quantity_e8=100, notional_e8=50_000, fee_e8=50)
    assert position == PositionRecord(100, 50_000, 0, 50)
    assert position_after(position, side=-1, quantity_e8=100, notional_e8=50_000, fee_e8=51) == (0, 0, 0, 101)


def test_a_fee_in_base_brings_less_and_costs_less() -> None:
    """1,000 for 50,000 with a fee of 3 in base, worth 150: 997 for 49,850. Selling 500 of it leaves a dust of 497."""
    bought = position_after(FLAT, side=1, quantity_e8=1_000, notional_e8=50_000, fee_e8=3, is_base_fee=True)
    assert bought == PositionRecord(997, 49_850, 0, 150)
    sold = position_after(bought, side=-1, quantity_e8=500, notional_e8=30_000, fee_e8=30)
    closed = 49_850 * 500 // 997
    assert sold == PositionRecord(497, 49_850 - closed, 30_000 - closed, 180)


def test_the_worth_of_a_fee_in_base_is_rounded_up() -> None:
    """1 of 3 for 100 is worth 33.3; a fee of the whole quantity is worth all that was paid."""
    assert fee_worth_e8(1, 3, 100) == 34
    assert fee_worth_e8(3, 3, 100) == 100
    eaten = position_after(FLAT, side=1, quantity_e8=3, notional_e8=100, fee_e8=3, is_base_fee=True)
    assert eaten == PositionRecord(0, 0, 0, 100)


@pytest.mark.parametrize(
    ("dust", "lot", "step", "worth"),
    [
        (0, 6 * 10**7, 1_000, 0),
        (999, 6 * 10**7, 1_000, 999 * 60_000),
        (-999, 6 * 10**7, 1_000, -999 * 60_000),
        (7, 10, 4, 17),
        (-7, 10, 4, -18),
        (10**11 - 1, 10**18, 10**11, 10**18 - 10**7),
    ],
)
def test_dust_is_worth_its_share_of_a_lot(dust: int, lot: int, step: int, worth: int) -> None:
    """Rounded down, and a lot of 10^11 times its worth leaves int64 by far."""
    assert dust_value_nb(dust, lot, step) == plain(dust_value_nb)(dust, lot, step) == worth == dust * lot // step


def test_a_coin_of_many_lots_does_not_wrap() -> None:
    """10^10 lots at 1e5 quote cost 10^13; the product with the lots leaves int64 by far."""
    held = PositionRecord(10**10, 10**13 + 7, 0, 0)
    after = position_after(held, side=-1, quantity_e8=9_999_999_999, notional_e8=9_999_999_999 * 1_000, fee_e8=0)
    closed = (10**13 + 7) * 9_999_999_999 // 10**10
    assert after == PositionRecord(1, 10**13 + 7 - closed, 9_999_999_999 * 1_000 - closed, 0)


class Conservation(RuleBasedStateMachine):
    """Random fills, long and short, through zero and back, against plain sums."""

    def __init__(self) -> None:
        super().__init__()
        self.position, self.cash, self.quantity, self.fees = FLAT, 0, 0, 0

    @rule(
        side=st.sampled_from([1, -1]),
        quantity=st.integers(1, 500),
        price=st.integers(1, 10**6),
        bps=st.integers(0, 50),
        is_base_fee=st.booleans(),
    )
    def fill(self, side: int, quantity: int, price: int, bps: int, is_base_fee: bool) -> None:
        notional, is_base_fee = quantity * price * 10, is_base_fee and side > 0
        fee = int(fee_nb(quantity if is_base_fee else notional, bps))
        self.position = position_after(
            self.position, side=side, quantity_e8=quantity, notional_e8=notional, fee_e8=fee, is_base_fee=is_base_fee
        )
        self.cash -= side * notional + (0 if is_base_fee else fee)
        self.quantity += side * quantity - (fee if is_base_fee else 0)
        self.fees += fee_worth_e8(fee, quantity, notional) if is_base_fee else fee

    @rule(price=st.integers(1, 10**6))
    def close(self, price: int) -> None:
        if self.quantity:
            self.fill(-1 if self.quantity > 0 else 1, abs(self.quantity), price, 10, False)
            assert self.position.cost_e8 == 0

    @invariant()
    def everything_is_accounted_for(self) -> None:
        """Cash is what was realized, less fees, less what is tied up in the holding (a short ties up less than 0)."""
        sign = 1 if self.quantity > 0 else -1
        assert (self.position.quantity_e8, self.position.fees_e8) == (self.quantity, self.fees)
        assert self.cash == self.position.realized_e8 - self.fees - sign * self.position.cost_e8
        assert self.position.cost_e8 >= 0 and (self.quantity != 0 or self.position.cost_e8 == 0)


TestConservation = Conservation.TestCase
TestConservation.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
