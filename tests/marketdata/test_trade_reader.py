"""Listeners get each trade once and in order, whatever the stream drops, repeats or shuffles."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from apps.engine.errors import Unavailable
from apps.engine.stream_events import AggTradeEvent
from apps.marketdata import trade_reader
from apps.marketdata.feed import FeedState
from apps.marketdata.trade_reader import TradeReader


def trade(trade_id: int, symbol: str = "BTCUSDT") -> AggTradeEvent:
    return AggTradeEvent(symbol, 1_000 + trade_id, trade_id, 100, 5, 1_000 + trade_id, False)


class Archive:
    """The REST side: has every trade up to `newest`, except some, or does not answer."""

    def __init__(self) -> None:
        self.newest = 10**9
        self.lacks: set[int] = set()
        self.n_failures = 0
        self.asked: list[tuple[int, int]] = []

    async def agg_trades(self, symbol: str, *, from_id: int, until_id: int) -> AsyncIterator[list[AggTradeEvent]]:
        await asyncio.sleep(0)
        self.asked.append((from_id, until_id))
        if self.n_failures:
            self.n_failures -= 1
            raise Unavailable("down")
        ids = [one for one in range(from_id, min(until_id, self.newest) + 1) if one not in self.lacks]
        for start in range(0, len(ids), 1_000):
            yield [trade(one, symbol) for one in ids[start : start + 1_000]]


class Rig:
    """A running reader and what its listener got."""

    def __init__(self, n_limit: int = 1_000) -> None:
        self.archive, self.feed, self.got = Archive(), FeedState(), []
        self.reader = TradeReader(client=self.archive, feed=self.feed, n_limit=n_limit)
        self.reader.on_trades(self._keep)

    def _keep(self, symbol: str, trades: Sequence[AggTradeEvent]) -> None:
        self.got += [one.trade_id for one in trades]

    def take(self, *ids: int) -> None:
        for one in ids:
            self.reader.take(trade(one))

    async def settled(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)


@asynccontextmanager
async def reading(n_limit: int = 1_000) -> AsyncIterator[Rig]:
    rig = Rig(n_limit)
    task = asyncio.ensure_future(rig.reader.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_reader, "RETRY_S", 0.0)


async def test_trades_arrive_once_and_repeats_are_counted() -> None:
    async with reading() as rig:
        rig.take(5, 6, 6, 7, 5, 8)
        await rig.settled()
        assert rig.got == [5, 6, 7, 8]
        assert rig.reader.counts().repeated == 2 and rig.archive.asked == []


async def test_a_hole_is_fetched_before_what_came_after_it() -> None:
    async with reading() as rig:
        rig.take(5, 9, 10)
        await rig.settled()
        assert rig.got == [5, 6, 7, 8, 9, 10]
        assert rig.archive.asked == [(6, 8)] and rig.reader.counts().fetched == 3


async def test_what_the_core_dropped_is_fetched_even_when_nothing_follows() -> None:
    async with reading() as rig:
        rig.take(5)
        rig.reader.gapped("BTCUSDT", 6, 12)
        await rig.settled()
        assert rig.got == list(range(5, 13))


async def test_a_full_queue_drops_counts_and_fetches_later() -> None:
    async with reading(n_limit=10) as rig:
        rig.take(*range(1, 51))
        assert rig.reader.counts().dropped == 40 and rig.feed.dropped == 40
        await rig.settled()
        assert rig.got == list(range(1, 51))


async def test_a_trade_that_nobody_has_is_lost_and_said_so() -> None:
    async with reading() as rig:
        rig.archive.lacks = {7, 8}
        rig.take(5, 10)
        await rig.settled()
        assert rig.got == [5, 6, 9, 10] and rig.reader.counts().lost == 2


async def test_an_exchange_that_is_down_is_asked_three_times() -> None:
    async with reading() as rig:
        rig.archive.n_failures = 2
        rig.take(5, 8)
        await rig.settled()
        assert rig.got == [5, 6, 7, 8] and len(rig.archive.asked) == 3
        rig.archive.n_failures = 3
        rig.take(11)
        await rig.settled()
        assert rig.got == [5, 6, 7, 8, 11] and rig.reader.counts().lost == 2


async def test_a_very_long_gap_loses_its_older_part() -> None:
    async with reading() as rig:
        rig.take(1, 20_000)
        await rig.settled()
        assert rig.got[:2] == [1, 20_000 - trade_reader.FETCH_LIMIT] and rig.got[-1] == 20_000
        assert rig.reader.counts().lost == 20_000 - 2 - trade_reader.FETCH_LIMIT


async def test_one_symbol_that_waits_does_not_hold_up_another() -> None:
    async with reading() as rig:
        gate = asyncio.Event()
        fetch = rig.archive.agg_trades

        async def slow(symbol: str, **bounds: int) -> AsyncIterator[list[AggTradeEvent]]:
            await gate.wait()
            async for page in fetch(symbol, **bounds):
                yield page

        rig.archive.agg_trades = slow
        rig.take(1, 3)
        rig.reader.take(trade(900, "ETHUSDT"))
        await rig.settled()
        assert rig.got == [1, 900]
        gate.set()
        await rig.settled()
        assert rig.got == [1, 900, 2, 3]


async def test_a_listener_that_fails_does_not_stop_the_others() -> None:
    async with reading() as rig:
        rig.reader._listeners.insert(0, lambda symbol, trades: 1 / 0)
        rig.take(1, 2)
        await rig.settled()
        assert rig.got == [1, 2]


async def test_without_a_listener_nothing_is_kept() -> None:
    reader = TradeReader(client=Archive(), feed=FeedState())
    reader.take(trade(1))
    reader.gapped("BTCUSDT", 2, 5)
    assert reader.counts() == (0, 0, 0, 0, 0) and reader._lanes == {}


@pytest.mark.parametrize("seed", range(20))
async def test_any_mixture_of_losses_and_repeats_ends_in_every_trade_once_in_order(seed: int) -> None:
    rng = random.Random(seed)
    async with reading(n_limit=rng.choice([3, 20, 1_000])) as rig:
        newest = 0
        rig.take(0)
        for _ in range(60):
            newest += rng.choice([1, 1, 1, 2, 9])
            if rng.random() < 0.2:
                rig.reader.gapped("BTCUSDT", max(0, newest - 3), newest)
            else:
                rig.take(newest, *([rng.randrange(newest + 1)] if rng.random() < 0.3 else []))
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        await rig.settled()
        assert rig.got == list(range(newest + 1)), f"seed {seed}"
