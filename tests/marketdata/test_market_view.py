"""The view of the present: what is latest, when it arrived, who waits for it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from apps.engine.errors import Unavailable
from apps.engine.values import Book
from apps.marketdata.clock import MarketClock
from apps.marketdata.exchange.frames import AggTradeEvent, BookTickerEvent, DepthEvent, KlineEvent
from apps.marketdata.feed import FeedState
from apps.marketdata.market import MarketView

T0 = 1_600_000_000_000


class Wall:
    def __init__(self) -> None:
        self.s = 10.0

    def __call__(self) -> float:
        return self.s


def trade(event_ms: int, price: int = 100, trade_id: int = 1, symbol: str = "AAA") -> AggTradeEvent:
    return AggTradeEvent(symbol, event_ms, trade_id, price, 5, event_ms, False)


def kline(event_ms: int, *, open_ms: int = T0, close: int = 100, closed: bool = False) -> KlineEvent:
    return KlineEvent("AAA", event_ms, "1m", open_ms, open_ms + 59_999, 100, 100, 100, close, 0, 0, closed)


def depth(update_id: int, bid: int = 99, ask: int = 101, symbol: str = "AAA") -> DepthEvent:
    return DepthEvent(symbol, update_id, ((bid, 5),), ((ask, 5),))


def ticker(update_id: int, bid: int, ask: int) -> BookTickerEvent:
    return BookTickerEvent("AAA", update_id, bid, 1, ask, 1)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def view(wall: Wall) -> MarketView:
    return MarketView(clock=MarketClock(monotonic=wall), symbols=["AAA"])


def test_nothing_is_known_before_the_first_event(view: MarketView) -> None:
    assert view.book("AAA") is None and view.quote("AAA") is None and view.book("ZZZ") is None
    assert view.is_stale("AAA", 5_000)
    with pytest.raises(Unavailable):
        view.now_ms()
    view.apply(depth(1))  # no market time yet to stamp it with
    assert view.book("AAA") is None


def test_books_are_stamped_with_their_arrival_in_market_time(view: MarketView, wall: Wall) -> None:
    view.apply(trade(T0))
    wall.s += 0.25
    view.apply(depth(7))
    assert view.book("AAA") == Book("AAA", T0 + 250, 7, ((99, 5),), ((101, 5),))
    quote = view.quote("AAA")
    assert quote is not None
    assert (quote.bid_e8, quote.ask_e8, quote.last_e8, quote.ts_ms, quote.event_ms) == (99, 101, 100, T0 + 250, T0)


def test_an_older_update_does_not_overwrite_the_best_price(view: MarketView) -> None:
    view.apply(trade(T0))
    view.apply(ticker(10, 100, 102))
    view.apply(depth(9, 90, 110))
    assert (view.quote("AAA").bid_e8, view.quote("AAA").ask_e8) == (100, 102)
    assert view.book("AAA").update_id == 9
    view.connection_reset()  # the exchange was restarted and counts anew
    view.apply(ticker(1, 70, 72))
    assert view.quote("AAA").bid_e8 == 70


def test_an_empty_side_leaves_the_price_to_grow_old(view: MarketView, wall: Wall) -> None:
    view.apply(trade(T0))
    view.apply(ticker(1, 99, 101))
    wall.s += 6
    view.apply(ticker(2, 0, 101))
    view.apply(DepthEvent("AAA", 3, (), ((101, 5),)))
    view.apply(trade(T0 + 6_000))
    assert view.quote("AAA").ts_ms == T0 and view.book("AAA") is None
    assert view.is_stale("AAA", 5_000) and not view.is_stale("AAA", 7_000)


def test_a_frozen_symbol_is_stale_although_its_books_keep_coming(view: MarketView, wall: Wall) -> None:
    view.follow(["BBB"])
    view.apply(trade(T0))
    view.apply(trade(T0, symbol="BBB"))
    for update in range(51):
        view.apply(depth(update))
        view.apply(depth(update, symbol="BBB"))
        assert not view.is_stale("AAA", 5_000), update
        wall.s += 0.1
        view.apply(trade(T0 + (update + 1) * 100, symbol="BBB"))
    view.apply(depth(51))
    assert view.now_ms() == view.quote("AAA").ts_ms == T0 + 5_100
    assert view.is_stale("AAA", 5_000) and not view.is_stale("BBB", 5_000)
    assert (view.last_event_ms("AAA"), view.last_event_ms(), view.last_event_ms("ZZZ")) == (T0, T0 + 5_100, 0)
    view.apply(kline(T0 + 5_100))
    view.apply(depth(52))
    assert not view.is_stale("AAA", 5_000)


def test_prices_of_a_late_line_are_no_newer_than_the_event_before_them(wall: Wall) -> None:
    """The line is 4 s late: a quote that is 2 s here tells of 6 s ago, whatever the exchange says meanwhile."""
    view = MarketView(clock=MarketClock(monotonic=wall, max_rate=1.0), symbols=["AAA"])
    view.clock.observe_server(T0)
    view.apply(trade(T0))
    wall.s += 4
    view.apply(depth(1))
    assert not view.is_stale("AAA", 5_000)
    wall.s += 2
    view.apply(trade(T0 + 2_000))
    assert view.is_stale("AAA", 5_000)
    view.apply(depth(2))
    assert not view.is_stale("AAA", 5_000)


def test_prices_without_any_time_of_the_exchange_are_stale(view: MarketView) -> None:
    view.follow(["BBB"])
    view.apply(trade(T0))
    view.apply(depth(1, symbol="BBB"))
    assert view.quote("BBB") is not None and view.is_stale("BBB", 5_000)


def test_a_symbol_whose_newest_bar_is_in_doubt_is_stale_until_it_is_not(view: MarketView) -> None:
    view.follow(["BBB"])
    for symbol in ("AAA", "BBB"):
        view.apply(trade(T0, symbol=symbol))
        view.apply(depth(1, symbol=symbol))
    view.set_unconfirmed("AAA", True)
    view.set_unconfirmed("ZZZ", True)  # nobody follows it
    assert view.is_unconfirmed("AAA") and not view.is_unconfirmed("BBB") and not view.is_unconfirmed("ZZZ")
    assert view.is_stale("AAA", 5_000) and not view.is_stale("BBB", 5_000)
    assert view.quote("AAA").bid_e8 == 99  # shown all the same
    view.set_unconfirmed("AAA", False)
    assert not view.is_stale("AAA", 5_000)


def test_events_that_arrive_together_are_told_once_a_symbol(view: MarketView) -> None:
    view.follow(["BBB"])
    told: list[str] = []
    view.on_update(told.append)
    ready = view._book_future("AAA", T0)
    trades = [trade(T0 + number, price=100 + number, trade_id=number) for number in range(20)]
    view.apply_all([*trades, depth(1), ticker(2, 100, 102), trade(T0 + 30, symbol="BBB"), trade(T0, symbol="ZZZ")])
    assert sorted(told) == ["AAA", "BBB"]
    assert view.trades("AAA") == trades and ready.result(0).ts_ms == T0 + 30
    assert view.quote("AAA") == ("AAA", 100, 102, 119, T0 + 30, T0 + 19)
    assert view.feed.dropped == 1
    view.apply_all([ticker(1, 1, 2)])  # old news
    view.apply_all([])
    assert len(told) == 2


def test_the_last_price_is_the_newest_news(view: MarketView) -> None:
    view.apply(trade(T0 + 50, price=120))
    view.apply(kline(T0 + 40, close=110))
    assert view.quote("AAA") is None
    view.apply(ticker(1, 1, 2))
    assert view.quote("AAA").last_e8 == 120 and view.quote("AAA").event_ms == T0 + 50


def test_it_is_bounded(view: MarketView) -> None:
    for number in range(500):
        view.apply(trade(T0 + number, trade_id=number))
        view.apply(kline(T0 + number, open_ms=T0 + number * 60_000, closed=True))
    assert [entry.trade_id for entry in view.trades("AAA")] == list(range(300, 500))
    assert len(view.closed_bars("AAA")) == 5
    view.apply(trade(T0, symbol="ZZZ"))
    assert view.symbols() == ["AAA"] and view.feed.dropped == 1


def test_a_waiter_gets_the_first_book_at_or_after_its_time(view: MarketView, wall: Wall) -> None:
    view.apply(trade(T0))
    view.apply(depth(1))
    got: list[Book | None] = []
    waiter = threading.Thread(target=lambda: got.append(view.wait_book("AAA", T0 + 50, 5.0)))
    waiter.start()
    while not view._lanes["AAA"].waiting:
        time.sleep(0.001)
    for update, step in ((2, 0.049), (3, 0.001), (4, 0.1)):
        wall.s += step
        view.apply(depth(update))
    waiter.join()
    assert got[0] is not None and (got[0].update_id, got[0].ts_ms) == (3, T0 + 50)


def test_a_book_that_is_already_there_is_not_waited_for(view: MarketView) -> None:
    view.apply(trade(T0))
    view.apply(depth(1))
    assert view.wait_book("AAA", T0, 0.0) == view.book("AAA")


def test_a_wait_ends_and_leaves_nothing_behind(view: MarketView) -> None:
    view.apply(trade(T0))
    assert view.wait_book("AAA", T0, 0.01) is None
    assert view.wait_book("ZZZ", T0, 0.01) is None
    assert view._lanes["AAA"].waiting == []


async def test_the_event_loop_can_wait_too(view: MarketView, wall: Wall) -> None:
    view.apply(trade(T0))
    waiting = asyncio.ensure_future(view.wait_book_async("AAA", T0 + 10, 5.0))
    await asyncio.sleep(0)
    wall.s += 0.02
    await asyncio.to_thread(view.apply, depth(5))
    book = await waiting
    assert book is not None and book.update_id == 5
    assert await view.wait_book_async("AAA", T0 + 10_000, 0.01) is None
    assert view._lanes["AAA"].waiting == []


def test_a_failing_listener_does_not_keep_the_bar_from_the_others(view: MarketView) -> None:
    seen: list[tuple[str, int]] = []

    def fail(symbol: str, open_time_ms: int) -> None:
        raise RuntimeError("broken")

    view.on_bar_closed(fail)
    stop = view.on_bar_closed(lambda symbol, at: seen.append((symbol, at)))
    view.announce_bar("AAA", T0)
    stop()
    view.announce_bar("AAA", T0 + 60_000)
    assert seen == [("AAA", T0)]


def test_readers_never_see_half_an_update() -> None:
    view = MarketView(symbols=["AAA"])
    view.apply(trade(T0))
    view.apply(ticker(0, 1, 2))
    torn: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            quote, book = view.quote("AAA"), view.book("AAA")
            if quote.ask_e8 != quote.bid_e8 + 1 or (book and book.asks[0][0] != book.bids[0][0] + 1):
                torn.append((quote, book))
            view.trades("AAA")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 4_000):
        view.apply(ticker(2 * number, number, number + 1))
        view.apply(depth(2 * number + 1, number, number + 1))
        view.apply(trade(T0 + number, trade_id=number))
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert view.quote("AAA").bid_e8 == 3_999


def test_status_says_what_the_call_promises(view: MarketView) -> None:
    view.feed.connected, view.feed.source = True, "simulated"
    view.apply(trade(T0))
    view.apply(ticker(1, 99, 101))
    assert view.status().stale is False
    view.feed.connected = False
    assert view.status().stale is True


def test_messages_are_counted_alone_or_together() -> None:
    wall = Wall()
    feed = FeedState(monotonic=wall)
    assert feed.silent_s() == float("inf")
    for _ in range(4):
        feed.count_messages(250, T0)
        feed.count_message(T0 + 1)
        wall.s += 1
    assert (feed.messages, feed.last_message_ms, feed.messages_per_second()) == (1_004, T0 + 1, 251.0)
    assert feed.silent_s() == 1.0
    feed.count_dropped(3)
    feed.count_dropped()
    assert feed.dropped == 4
