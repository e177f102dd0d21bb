"""The whole reader through real sockets, a fault proxy in between and every duration divided by a hundred."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apps.engine.stream import StreamLimits
from apps.engine.stream_events import AggTradeEvent
from apps.marketdata import services
from apps.marketdata.clock import MarketClock
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.market import MarketView
from apps.marketdata.stream import run_stream
from apps.marketdata.trade_reader import TradeReader
from tests.support.fault_proxy import Fault, FaultProxy, Injected
from tests.support.quick_exchange import SYMBOLS, QuickExchange, ms_of, now_ms, number_at, price_e8

DIVISOR = 100
LIMITS = StreamLimits(late_market_ms=50).scaled(DIVISOR)
STALE_MS = LIMITS.stale_after_ms
LONGEST_FAULT_S = 60 / DIVISOR
# What is not divided by a hundred: how long this machine takes to pass a frame on and to wake a task. The virtual clock
# of the core's tests has no such grain.
GRAIN_MS = 40
RECOVERY_S = (
    2 * (LIMITS.frozen_ms + LIMITS.backoff_cap_ms + LIMITS.connect_ms) / 1_000 + LIMITS.connects_window_ms / 1_000
)
CATCH_UP_S = 0.5
START_S = 30.0  # history and the first rows, on a busy machine


class Desk:
    """A running stream, and somebody who would decide on every price that is called fresh."""

    def __init__(self, view: MarketView, trades: TradeReader, proxy: FaultProxy, task: asyncio.Task[None]) -> None:
        self.view = view
        self.proxy = proxy
        self.task = task
        self.n_decisions = 0
        self.oldest_ms = 0
        self.trades: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
        trades.on_trades(self._traded)

    def _traded(self, symbol: str, trades: Sequence[AggTradeEvent]) -> None:
        self.trades[symbol] += [trade.trade_id for trade in trades]

    async def decide(self) -> None:
        """Ask all the time for a price to act on, and note how old it really is."""
        while True:
            await asyncio.sleep(0.004)
            for symbol in SYMBOLS:
                asked_ms = now_ms()
                if self.view.is_stale(symbol, STALE_MS):
                    continue
                quote = self.view.quote(symbol)
                number = self.shown(symbol)
                assert quote is not None and quote.bid_e8 == price_e8(number)
                self.n_decisions += 1
                self.oldest_ms = max(self.oldest_ms, asked_ms - ms_of(number, asked_ms))

    def shown(self, symbol: str) -> int:
        """The number of the quote in view. Prices repeat after a thousand, which is ten seconds."""
        quote = self.view.quote(symbol)
        if quote is None:
            return -1
        newest = number_at(now_ms())
        return newest - (newest % 1_000 - (quote.bid_e8 // 1_000_000 - 100_00)) % 1_000

    def is_well(self) -> bool:
        return all(not self.view.is_stale(symbol, STALE_MS) for symbol in SYMBOLS)

    async def until_well(self, within_s: float = RECOVERY_S) -> float:
        """How long until every symbol is fresh again; then the last price shown is the source's."""
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while not self.is_well():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.002)
        well = time.monotonic()
        # From the moment that data flows again the view must show what the source says.
        while (late := max(number_at(now_ms()) - self.shown(symbol) for symbol in SYMBOLS)) > 3:
            assert time.monotonic() - well <= CATCH_UP_S, f"{late} quotes behind the source"
            await asyncio.sleep(0.002)
        return well - began


@asynccontextmanager
async def desk_behind_proxy(seed: int) -> AsyncIterator[Desk]:
    view, stop = MarketView(clock=MarketClock(max_rate=1.0)), asyncio.Event()
    async with (
        QuickExchange() as exchange,
        FaultProxy(exchange.port, seed=seed) as proxy,
        ExchangeClient(exchange.venue(proxy.ws_url)) as client,
    ):
        trades = TradeReader(client=client, feed=view.feed)
        stream = run_stream(
            **{"view": view, "client": client, "symbols": SYMBOLS, "interval": "1m", "store": services.bars_store},
            **{"stop": stop, "n_history": 5, "limits": LIMITS, "trades": trades},
        )
        desk = Desk(view, trades, proxy, asyncio.ensure_future(stream))
        deciding = asyncio.ensure_future(desk.decide())
        try:
            await desk.until_well(START_S)
            yield desk
            assert not deciding.done(), deciding
        finally:
            deciding.cancel()
            stop.set()
            await asyncio.gather(desk.task, deciding, return_exceptions=True)


async def suffer(desk: Desk, seed: int, n_faults: int) -> list[float]:
    """Faults one after another, sometimes two at once; after each the desk gets well again."""
    recoveries: list[float] = []
    history: list[Injected] = []
    try:
        for number in range(n_faults):
            history.append(desk.proxy.inject_random(longest_s=LONGEST_FAULT_S))
            await asyncio.sleep(0.02 + number % 4 * 0.03)
            if number % 5 == 4:
                history.append(desk.proxy.inject_random(longest_s=LONGEST_FAULT_S))
            recoveries.append(await desk.until_well())
            assert not desk.task.done(), desk.task
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(f"seed {seed}, after {history[-3:]}: {error!r}") from error
    return recoveries


def resident_mb() -> float:
    """The memory of this process now: proxy, exchange and desk together."""
    gc.collect()
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return n_pages * resource.getpagesize() / 2**20


def check(desk: Desk, recoveries: Sequence[float], n_faults: int) -> None:
    assert len(recoveries) == n_faults and desk.n_decisions > n_faults
    assert desk.oldest_ms <= STALE_MS + GRAIN_MS, f"a decision on a price {desk.oldest_ms} ms old"
    for symbol, ids in desk.trades.items():
        assert ids == sorted(set(ids)), f"{symbol}: trades out of order or twice"
        assert ids[-1] - ids[0] + 1 == len(ids), f"{symbol}: trades are missing"
    accepted = desk.proxy.accepted_at
    window_s = LIMITS.connects_window_ms / 1_000
    assert max(sum(at <= other < at + window_s for other in accepted) for at in accepted) <= LIMITS.connects


async def test_thirty_faults_through_real_sockets(desk_db: Path) -> None:
    seed = 20_260
    async with desk_behind_proxy(seed) as desk:
        recoveries = await suffer(desk, seed, 30)
        check(desk, recoveries, 30)
        print(
            f"30 faults: longest recovery {max(recoveries) * DIVISOR:.0f} s, {desk.n_decisions} decisions, "
            f"oldest price {desk.oldest_ms * DIVISOR / 1000:g} s (scaled by {DIVISOR})"
        )


@pytest.mark.soak
async def test_three_hundred_faults_through_real_sockets(desk_db: Path) -> None:
    seed = 77
    async with desk_behind_proxy(seed) as desk:
        await suffer(desk, seed, 30)
        before_mb = resident_mb()
        recoveries = await suffer(desk, seed, 300)
        grown_mb = round(resident_mb() - before_mb, 1)
        check(desk, recoveries, 300)
        print(f"300 faults: longest recovery {max(recoveries) * DIVISOR:.0f} s scaled, memory +{grown_mb} MB")
        assert grown_mb <= 20


@pytest.mark.parametrize("fault", list(Fault))
async def test_each_fault_alone_is_survived(desk_db: Path, fault: Fault) -> None:
    async with desk_behind_proxy(1) as desk:
        desk.proxy.inject(fault, n=10, seconds=0.3)
        await asyncio.sleep(0.1)
        await desk.until_well()
        check(desk, [0.0], 1)
