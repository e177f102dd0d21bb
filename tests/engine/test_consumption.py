"""Displayed lots can be taken once, until new data changes what is displayed."""

from __future__ import annotations

import json

import pytest

from apps.engine.consumption import (
    MAX_LEVELS_PER_SIDE,
    available,
    consumption_from_json,
    empty_consumption,
    refresh,
    take,
    taken_at,
)
from apps.engine.errors import IntegrityBreach
from apps.engine.order_types import BUY, SELL
from tests.engine.orders import BOOK_MS, EMPTY, MARKET, buy, depth, met, rows, sell

ASKS = ((10_001, 30), (10_002, 50), (10_010, 20))


def test_what_was_taken_is_not_there_for_the_next_order() -> None:
    """30 at 100.01 and 10 of 50 at 100.02; then 40 of 50 are left, then 20 at 100.10, then nothing."""
    first = met(buy(MARKET, 40))
    assert [row[1:3] for row in rows(first.fills)] == [(10_001, 30), (10_002, 10)]
    second = met(buy(MARKET, 50, name="b"), ledger=first.ledger)
    assert [row[1:3] for row in rows(second.fills)] == [(10_002, 40), (10_010, 10)]
    third = met(buy(MARKET, 50, name="c"), ledger=second.ledger)
    assert [row[1:3] for row in rows(third.fills)] == [(10_010, 10)] and third.reason == "book_exhausted"
    assert met(buy(MARKET, 1, name="d"), ledger=third.ledger).reason == "book_empty"


def test_the_sides_do_not_share() -> None:
    bought = met(buy(MARKET, 100)).ledger
    assert [row[1:3] for row in rows(met(sell(MARKET, 30, name="b"), ledger=bought).fills)] == [(9_999, 30)]
    assert taken_at(bought, SELL, 10_001) == 30 and taken_at(bought, BUY, 10_001) == 0
    higher = depth(bids=((10_001, 30),), asks=((10_002, 50),))
    assert available(bought, higher, BUY) == [(10_001, 30)]


def test_only_a_changed_size_makes_a_level_whole() -> None:
    ledger = met(buy(MARKET, 40)).ledger
    same = refresh(ledger, depth(ts_ms=BOOK_MS + 100))
    assert same.levels == ledger.levels
    moved = depth(ts_ms=BOOK_MS + 100, asks=((10_001, 31), (10_002, 50), (10_010, 20)))
    after = refresh(ledger, moved)
    assert available(after, moved, SELL) == [(10_001, 31), (10_002, 40), (10_010, 20)]


def test_a_level_that_vanished_inside_the_window_has_changed() -> None:
    ledger = met(buy(MARKET, 40)).ledger
    gone = refresh(ledger, depth(ts_ms=BOOK_MS + 100, asks=((10_002, 50), (10_010, 20))))
    back = refresh(gone, depth(ts_ms=BOOK_MS + 200))
    assert taken_at(back, SELL, 10_001) == 0 and taken_at(back, SELL, 10_002) == 10


def test_a_level_beyond_the_window_is_remembered() -> None:
    """Nobody said that 100.10 changed while only two levels were displayed."""
    ledger = take(EMPTY, depth(), SELL, [(10_010, 15)])
    narrow = refresh(ledger, depth(ts_ms=BOOK_MS + 100, asks=ASKS[:2]))
    again = depth(ts_ms=BOOK_MS + 200)
    assert available(refresh(narrow, again), again, SELL) == [(10_001, 30), (10_002, 50), (10_010, 5)]
    bids = take(EMPTY, depth(), BUY, [(9_990, 15)])
    narrow = refresh(bids, depth(ts_ms=BOOK_MS + 100, bids=((9_999, 30),)))
    assert taken_at(narrow, BUY, 9_990) == 15
    assert taken_at(refresh(bids, depth(ts_ms=BOOK_MS + 100, bids=((9_980, 30),))), BUY, 9_990) == 0


def test_an_older_book_is_no_news() -> None:
    ledger = met(buy(MARKET, 40)).ledger
    assert refresh(ledger, depth(ts_ms=BOOK_MS - 1, asks=((10_001, 99),))) == ledger


def test_broken_levels_offer_nothing() -> None:
    broken = depth(asks=((0, 5), (10_001, 0), (10_002, -3), (10_003, 7)))
    assert available(EMPTY, broken, SELL) == [(10_003, 7)]


def test_a_book_of_another_symbol_is_a_breach() -> None:
    with pytest.raises(IntegrityBreach, match="ETHUSDT"):
        refresh(empty_consumption("ETHUSDT"), depth())


def test_it_survives_json() -> None:
    ledger = met(sell(MARKET, 60, name="b"), ledger=met(buy(MARKET, 40)).ledger).ledger
    assert consumption_from_json(json.loads(json.dumps(ledger.to_json()))) == ledger
    assert len(ledger.levels) == 4


def test_it_is_bounded_and_keeps_what_is_near_the_touch() -> None:
    """Asks are taken one by one while the market falls out of their sight; the highest are forgotten first."""
    ledger = EMPTY
    for n in range(MAX_LEVELS_PER_SIDE + 40):
        top = 50_000 - n
        book = depth(ts_ms=BOOK_MS + n, asks=((top, 5),), bids=((top - 10, 5),))
        ledger = take(refresh(ledger, book), book, SELL, [(top, 1)])
    asks = [level.price_ticks for level in ledger.levels if level.book_side == SELL]
    assert len(asks) == MAX_LEVELS_PER_SIDE and min(asks) == top and max(asks) == top + MAX_LEVELS_PER_SIDE - 1
