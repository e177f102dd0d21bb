"""Fills by hand: down the displayed book, and at the next bar's open."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.fills import FILL_WIDTH, MAX_FILLS, fill_bar_next_nb, fill_depth_nb, impact_rate_nb
from tests.support.engine import levels

BOOK = levels((6_000_100, 300), (6_000_200, 500), (6_000_900, 50))


def walk(lots: int, book: np.ndarray = BOOK, rows: int = MAX_FILLS) -> list[list[int]]:
    fills = np.zeros((rows, FILL_WIDTH), np.int64)
    return fills[: fill_depth_nb(book, lots, 10, 10, fills)].tolist()


def next_bar(**changes: object) -> list[list[int]]:
    """A buy of 1,000 lots at an open of 60,000, of a bar of 100,000 lots, sigma 0.004, ADV of 1,000,000."""
    given = {
        "side": 1, "lots": 1_000, "open_ticks": 6_000_000, "volume_lots": 100_000, "sigma_bar": 0.004,
        "adv_quote": 1e6, "unit_e8": 10, "fee_bps": 10, "slippage_scale": 1,
    }  # fmt: skip
    assert set(changes) <= set(given)
    fills = np.zeros((MAX_FILLS, FILL_WIDTH), np.int64)
    return fills[: fill_bar_next_nb(*{**given, **changes}.values(), fills)].tolist()


def test_a_small_order_fills_at_the_touch() -> None:
    """100 lots at 60,001.00: notional 6,000,100 x 100 x 10 = 6,000,100,000, of which 10 bps."""
    assert walk(100) == [[6_000_100, 100, 6_000_100]]
    assert walk(300) == [[6_000_100, 300, 18_000_300]]


def test_each_level_fills_at_its_own_price() -> None:
    assert walk(820) == [[6_000_100, 300, 18_000_300], [6_000_200, 500, 30_001_000], [6_000_900, 20, 1_200_180]]


def test_what_exceeds_the_book_is_not_priced_at_the_last_level() -> None:
    filled = walk(10_000)
    assert [row[1] for row in filled] == [300, 500, 50] and sum(row[1] for row in filled) == 850


def test_an_empty_book_and_broken_levels_fill_nothing() -> None:
    assert walk(100, levels()) == []
    assert walk(100, levels((6_000_100, 0), (0, 500), (-5, 500), (6_000_300, -1))) == []
    assert walk(100, levels((6_000_100, 0), (6_000_300, 70))) == [[6_000_300, 70, 4_200_210]]


def test_a_book_longer_than_the_rows_for_fills_stops_there() -> None:
    assert len(walk(10, levels(*((6_000_000 + n, 1) for n in range(6))), rows=4)) == 4


def test_fees_are_rounded_up_level_by_level() -> None:
    """Notional 10 x 3 x 10 = 300 and 10 bps of it is 0.3: one unit."""
    assert walk(3, levels((10, 3))) == [[10, 3, 1]]


@settings(max_examples=200, deadline=None)
@given(book=st.lists(st.tuples(st.integers(1, 10**7), st.integers(0, 10**6)), max_size=20), lots=st.integers(1, 10**7))
def test_a_walk_takes_the_cheapest_lots_that_are_there(book: list[tuple[int, int]], lots: int) -> None:
    filled, left = [], lots
    for price, shown in book:
        if shown and left:
            filled.append([price, min(left, shown)])
            left -= filled[-1][1]
    rows = walk(lots, levels(*book))
    assert [row[:2] for row in rows] == filled
    assert all(row[2] == -(-row[0] * row[1] * 10 // 1_000) for row in rows)


def test_impact_by_hand() -> None:
    """0.1 x 0.004 x sqrt(62,500 / 1,000,000) = 0.0004 x 0.25."""
    assert impact_rate_nb(0.004, 62_500 * 10**8, 1e6) == pytest.approx(0.0001, rel=1e-14)
    assert impact_rate_nb(0.004, 0, 1e6) == 0.0
    for sigma, adv in ((0.004, 0.0), (0.004, math.nan), (math.nan, 1e6), (-0.1, 1e6)):
        assert impact_rate_nb(sigma, 10**8, adv) == math.inf


@pytest.mark.parametrize(
    ("side", "scale", "ticks"),
    [
        # notional 600: impact 0.0004 x sqrt(0.0006) = 9.79796e-6, rate 2.0979796e-4, times 6,000,000 = 1,258.78
        (1, 0, 6_000_000),
        (1, 1, 6_001_259),
        (1, 2, 6_002_518),
        (-1, 0, 6_000_000),
        (-1, 1, 5_998_741),
        (-1, 2, 5_997_482),
    ],
)
def test_the_next_bar_s_open_worsened_and_rounded_against_us(side: int, scale: int, ticks: int) -> None:
    assert next_bar(side=side, slippage_scale=scale) == [[ticks, 1_000, -(-ticks * 10_000 // 1_000)]]


def test_at_most_a_tenth_of_the_bar_s_volume_fills() -> None:
    assert [row[1] for row in next_bar(volume_lots=10_009)] == [1_000]
    assert [row[1] for row in next_bar(volume_lots=9_999)] == [999]
    assert next_bar(volume_lots=9) == [] and next_bar(volume_lots=0) == []


def test_a_bar_that_never_came_fills_nothing() -> None:
    assert next_bar(open_ticks=0) == [] and next_bar(open_ticks=-1) == []


@pytest.mark.parametrize("change", [{"adv_quote": 0.0}, {"adv_quote": math.nan}, {"sigma_bar": math.nan}])
def test_without_an_impact_nothing_fills_unless_slippage_is_off(change: dict[str, float]) -> None:
    assert next_bar(**change) == []
    assert next_bar(slippage_scale=0, **change) == [[6_000_000, 1_000, 60_000_000]]


def test_a_sale_never_falls_below_one_tick() -> None:
    assert next_bar(side=-1, open_ticks=1) == [[1, 1_000, 10]]


def test_a_slippage_of_half_the_price_is_no_price() -> None:
    assert next_bar(sigma_bar=300.0) == [] and next_bar(sigma_bar=200.0) != []
