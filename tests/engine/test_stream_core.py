"""The stream core: which of its events are news, and what got lost between them."""

from __future__ import annotations

from apps.engine.stream import Connect, Gapped, Recheck
from tests.engine.stream_rig import (
    MINUTE,
    START,
    STEADY,
    SYMBOLS,
    depth,
    kline,
    quote,
    started,
    trade,
)


def test_it_connects_at_once_and_asks_to_check_what_it_missed() -> None:
    rig = started()
    assert rig.log == [(0, Connect(1, 0, "start")), (0, Recheck(SYMBOLS))]
    assert rig.core.is_connected


def test_quotes_books_and_running_bars_conflate_to_the_newest() -> None:
    rig = started()
    for at in range(1, 101):
        rig.tell(quote("BTCUSDT", at, bid=at), depth("BTCUSDT", at), kline("BTCUSDT", START, START + at, close=at))
    drained = rig.core.drain()
    assert drained.latest == [
        kline("BTCUSDT", START, START + 100, close=100),
        depth("BTCUSDT", 100),
        quote("BTCUSDT", 100, bid=100),
    ]
    assert (drained.bars, drained.trades) == ([], [])
    assert rig.core.lanes.conflated == 297
    assert rig.core.drain() == ([], [], [])


def test_what_is_older_than_the_latest_is_not_news() -> None:
    rig = started()
    rig.tell(
        quote("BTCUSDT", 10), depth("BTCUSDT", 10), kline("BTCUSDT", START, START + 10), trade("BTCUSDT", 7, START)
    )
    rig.core.drain()
    rig.tell(quote("BTCUSDT", 9), depth("BTCUSDT", 10), kline("BTCUSDT", START, START + 9), trade("BTCUSDT", 6, START))
    assert rig.core.drain() == ([], [], [])
    assert rig.core.lanes.duplicates == 4


def test_a_closed_bar_ends_the_running_one() -> None:
    rig = started()
    rig.tell(kline("BTCUSDT", START, START + MINUTE - 1), kline("BTCUSDT", START, START + MINUTE, closed=True))
    rig.tell(kline("BTCUSDT", START, START + MINUTE + 5))
    assert rig.core.drain() == ([kline("BTCUSDT", START, START + MINUTE, closed=True)], [], [])


def test_a_closed_bar_told_twice_counts_once_and_a_corrected_one_twice() -> None:
    rig = started()
    bar = kline("BTCUSDT", START, START + MINUTE, closed=True)
    rig.tell(bar, bar._replace(event_ms=bar.event_ms + 3), bar._replace(close_e8=104))
    assert [event.close_e8 for event in rig.core.drain().bars] == [101, 104]


def test_a_long_overlap_repeats_many_bars_and_none_counts_twice() -> None:
    rig = started()
    bars = [kline("BTCUSDT", START + at * MINUTE, START + (at + 1) * MINUTE, closed=True) for at in range(60)]
    rig.tell(*bars, *bars)
    assert rig.core.drain().bars == bars


def test_a_jump_in_trade_ids_is_a_gap() -> None:
    rig = started()
    rig.core.actions()
    for trade_id in (5, 6, 9, 10, 14):
        rig.tell(trade("BTCUSDT", trade_id, START + trade_id))
    rig.tell(trade("ETHUSDT", 100, START))
    assert rig.core.actions() == [Gapped("BTCUSDT", "trades", 7, 13)]
    assert [event.trade_id for event in rig.core.drain().trades] == [5, 6, 9, 10, 14, 100]
    assert rig.core.actions() == []


def test_trade_ids_that_begin_anew_are_followed() -> None:
    rig = started()
    rig.tell(trade("BTCUSDT", 5_000, START), trade("BTCUSDT", 3, START + 1), trade("BTCUSDT", 4, START + 1))
    assert [event.trade_id for event in rig.core.drain().trades] == [5_000, 3, 4]


def test_an_absurd_trade_does_not_silence_those_after_it() -> None:
    rig = started()
    rig.tell(trade("BTCUSDT", 5, START), trade("BTCUSDT", 2**60, START + 2**40), trade("BTCUSDT", 6, START + 1))
    assert [event.trade_id for event in rig.core.drain().trades] == [5, 2**60, 6]
    assert rig.core.lanes["BTCUSDT"].event_ms == START + 1


def test_a_missing_closed_bar_is_a_gap() -> None:
    rig = started()
    for at in (0, 1, 4):
        rig.now = (at + 1) * MINUTE
        rig.tell(kline("BTCUSDT", START + at * MINUTE, rig.ts, closed=True))
    assert rig.core.actions() == [Gapped("BTCUSDT", "bars", START + 2 * MINUTE, START + 3 * MINUTE)]


def test_a_bar_from_the_future_is_handed_on_but_opens_no_gap() -> None:
    rig = started()
    rig.tell(kline("BTCUSDT", START, START + MINUTE, closed=True))
    rig.tell(kline("BTCUSDT", START + 500 * MINUTE, START + MINUTE + 1, closed=True))
    rig.tell(kline("BTCUSDT", START + 10**9 * MINUTE, START + 10**9 * MINUTE + 1, closed=True))
    rig.tell(kline("BTCUSDT", START + MINUTE, START + 2 * MINUTE, closed=True))
    assert len(rig.core.drain().bars) == 4
    assert rig.core.actions() == []


def test_the_backlog_is_bounded_and_what_falls_out_is_told() -> None:
    rig = started(STEADY._replace(backlog=100))
    for trade_id in range(250):
        rig.tell(trade("BTCUSDT", trade_id, START + trade_id))
        assert rig.core.backlog <= 100
    for at in range(103):
        rig.now = (at + 1) * MINUTE
        rig.tell(kline("ETHUSDT", START + at * MINUTE, rig.ts, closed=True))
    assert rig.core.actions() == [
        Gapped("BTCUSDT", "trades", 0, 149),
        Gapped("ETHUSDT", "bars", START, START + 2 * MINUTE),
    ]
    drained = rig.core.drain()
    assert [event.trade_id for event in drained.trades] == list(range(150, 250))
    assert len(drained.bars) == 100
    assert rig.core.lanes.dropped == 153


def test_other_symbols_are_counted_and_ignored() -> None:
    rig = started()
    rig.tell(quote("DOGEUSDT", 1), depth("DOGEUSDT", 1), trade("DOGEUSDT", 1, START), kline("DOGEUSDT", START, START))
    assert rig.core.drain() == ([], [], [])
    assert rig.core.lanes.foreign == 4


def test_a_price_is_stale_after_five_seconds_by_either_clock() -> None:
    rig = started()
    core = rig.core
    rig.chat()
    assert not core.is_stale("BTCUSDT", 5_000, START + 5_000)
    assert core.is_stale("BTCUSDT", 5_001, START + 5_000)  # no quote arrived
    assert core.is_stale("BTCUSDT", 5_000, START + 5_001)  # the exchange's time is behind
    assert core.is_stale("BTCUSDT", 5_000, START - 5_001)  # or impossibly ahead
    rig.cut(1)
    assert core.is_stale("BTCUSDT", 0, START)


def test_a_symbol_without_any_price_is_stale() -> None:
    rig = started()
    rig.tell(kline("BTCUSDT", START, START))
    assert rig.core.is_stale("BTCUSDT", 0, START)
