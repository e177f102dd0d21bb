"""Who may rely on every trade? Listeners here: each trade once, in the order of its id, and a word on what is lost.

The stream's reader hands trades over and returns at once. What the stream did not bring is asked for over REST, at
most so many trades at a time; what nobody has is counted as lost, never made up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from apps.engine.errors import DataError, Unavailable
from apps.engine.stream_events import AggTradeEvent
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.feed import FeedState

FETCH_LIMIT = 5_000  # trades of one gap that are asked for: five pages; a longer gap loses its older part
TRIES = 3
RETRY_S = 1.0

log = logging.getLogger(__name__)
Trades = Callable[[str, Sequence[AggTradeEvent]], None]


class TradeCounts(NamedTuple):
    """What became of the trades so far. `fetched` ones came over REST, `lost` ones from nowhere."""

    delivered: int
    fetched: int
    repeated: int
    dropped: int
    lost: int


@dataclass
class _Lane:
    """The trades of one symbol: up to `next_id` they are handed on, up to `known_id` they are known to exist."""

    next_id: int | None = None
    known_id: int = -1
    waiting: deque[AggTradeEvent] = field(default_factory=deque)
    is_busy: bool = False


class TradeReader:
    """Takes trades from the stream's reader through a bounded queue for each symbol and hands them to listeners."""

    def __init__(self, *, client: ExchangeClient, feed: FeedState, n_limit: int = 1_000) -> None:
        self._client = client
        self._feed = feed
        self._limit = n_limit
        self._lanes: dict[str, _Lane] = {}
        self._listeners: list[Trades] = []
        self._news = asyncio.Event()
        self._delivered = self._fetched = self._repeated = self._dropped = self._lost = 0

    def on_trades(self, callback: Trades) -> Callable[[], None]:
        """Call `callback(symbol, trades)` with trades in the order of their ids. Returns how to stop."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def counts(self) -> TradeCounts:
        return TradeCounts(self._delivered, self._fetched, self._repeated, self._dropped, self._lost)

    def take(self, event: AggTradeEvent) -> None:
        """A trade arrived. Returns at once; without a listener nothing is kept."""
        if not self._listeners:
            return
        lane = self._lane(event.symbol)
        trade_id = event.trade_id
        if trade_id <= lane.known_id and (lane.next_id is None or trade_id <= self._newest(lane)):
            self._repeated += 1
            return
        if len(lane.waiting) >= self._limit:
            self._dropped += 1
            self._feed.count_dropped()
        else:
            lane.waiting.append(event)
            if lane.next_id is None:
                lane.next_id = trade_id
        lane.known_id = max(lane.known_id, trade_id)
        self._news.set()

    def gapped(self, symbol: str, from_id: int, until_id: int) -> None:
        """The trades from one id to another, both inclusive, did not get through the stream."""
        if not self._listeners:
            return
        lane = self._lane(symbol)
        if lane.next_id is None:
            lane.next_id = from_id
        lane.known_id = max(lane.known_id, until_id)
        self._news.set()

    async def run(self) -> None:
        """Hand trades on until cancelled. A symbol that waits for the exchange does not hold up the others."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                for symbol, lane in self._lanes.items():
                    if not lane.is_busy and self._is_due(lane):
                        lane.is_busy = True
                        group.create_task(self._work_off(symbol, lane))

    def _lane(self, symbol: str) -> _Lane:
        lane = self._lanes.get(symbol)
        if lane is None:
            lane = self._lanes[symbol] = _Lane()
        return lane

    def _newest(self, lane: _Lane) -> int:
        """The newest id that waits or has been handed on; what is known beyond it was dropped and may come again."""
        return lane.waiting[-1].trade_id if lane.waiting else (lane.next_id or 0) - 1

    def _is_due(self, lane: _Lane) -> bool:
        return bool(lane.waiting) or (lane.next_id is not None and lane.next_id <= lane.known_id)

    async def _work_off(self, symbol: str, lane: _Lane) -> None:
        try:
            while self._is_due(lane):
                self._hand_on(symbol, lane, self._contiguous(lane))
                if self._is_due(lane):
                    await self._close_gap(symbol, lane)
        finally:
            lane.is_busy = False

    def _contiguous(self, lane: _Lane) -> list[AggTradeEvent]:
        """The waiting trades that follow on what was handed on."""
        found: list[AggTradeEvent] = []
        while lane.waiting and lane.waiting[0].trade_id <= (lane.next_id or 0) + len(found):
            trade = lane.waiting.popleft()
            if trade.trade_id == (lane.next_id or 0) + len(found):
                found.append(trade)
        return found

    def _hand_on(self, symbol: str, lane: _Lane, trades: Sequence[AggTradeEvent]) -> None:
        if not trades:
            return
        lane.next_id = trades[-1].trade_id + 1
        self._delivered += len(trades)
        for listener in list(self._listeners):
            try:
                listener(symbol, trades)
            except Exception:
                log.exception("a listener failed on %d trades of %s", len(trades), symbol)

    async def _close_gap(self, symbol: str, lane: _Lane) -> None:
        """Fetch what is missing before the next waiting trade, or give it up."""
        first = lane.next_id or 0
        until = lane.waiting[0].trade_id - 1 if lane.waiting else lane.known_id
        self._give_up(symbol, lane, until - FETCH_LIMIT + 1)
        for attempt in range(TRIES):
            try:
                await self._fetch(symbol, lane, until)
                break
            except (Unavailable, DataError) as error:
                log.warning("trades of %s from %d to %d are missing for now: %s", symbol, first, until, error)
                await asyncio.sleep(RETRY_S * 2**attempt)
        self._give_up(symbol, lane, until + 1)

    async def _fetch(self, symbol: str, lane: _Lane, until: int) -> None:
        async for page in self._client.agg_trades(symbol, from_id=lane.next_id or 0, until_id=until):
            for trade in page:
                self._give_up(symbol, lane, trade.trade_id)
                if trade.trade_id == lane.next_id:
                    self._fetched += 1
                    self._hand_on(symbol, lane, [trade])

    def _give_up(self, symbol: str, lane: _Lane, before_id: int) -> None:
        """Go on at an id; the trades before it that were not handed on are lost."""
        n_lost = before_id - (lane.next_id or 0)
        if n_lost > 0:
            self._lost += n_lost
            lane.next_id = before_id
            log.warning("%d trades of %s before id %d are lost", n_lost, symbol, before_id)
