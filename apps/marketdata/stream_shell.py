"""Who does what the stream core asks? The sockets, the timers, and what hands news to the view, bars and trades."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException

from apps.engine.errors import DataError, Unavailable
from apps.engine.stream import Close, Connect, Gapped, Recheck, Send, StreamCore, StreamLimits
from apps.engine.stream_events import AggTradeEvent, ControlEvent, KlineEvent, MarketEvent
from apps.marketdata.bar_writer import BarWriter
from apps.marketdata.exchange.binance import combined_url, stream_names
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.frames import BadKline, FrameParser
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.market import MarketView
from apps.marketdata.stream_socket import StreamSocket, open_socket
from apps.marketdata.trade_reader import TradeReader

log = logging.getLogger(__name__)
Publish = Callable[[MarketEvent], None]


def monotonic_ms() -> int:
    return int(time.monotonic() * 1_000)


class StreamShell:
    """Owns the sockets of one stream. It decides nothing: the core does.

    Frames are parsed and given to the core as they are read; once per turn of the event loop what is news is handed on.
    """

    def __init__(
        self,
        *,
        view: MarketView,
        client: ExchangeClient,
        symbols: Sequence[str],
        interval: str,
        writer: BarWriter,
        trades: TradeReader | None,
        publish: Publish | None,
        limits: StreamLimits,
    ) -> None:
        names = stream_names(symbols, interval)
        self.core = StreamCore(symbols, names, interval_ms(interval), limits, random.random)
        self._view = view
        self._client = client
        self._writer = writer
        self._trades = trades
        self._publish = publish
        self._length_ms = interval_ms(interval)
        self._url = combined_url(client.venue.ws_url, names)
        self._parser = FrameParser()
        self._tell = self.core.frame
        self._half_full = limits.backlog // 2
        self._attempts: dict[int, asyncio.Task[None]] = {}
        self._sockets: dict[int, StreamSocket] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._error: BaseException | None = None
        self._is_turn_due = False
        self._mono_ms, self._ts_ms = monotonic_ms(), 0
        self._counted = (0, 0, 0)
        self._dropped_told = view.feed.dropped

    async def run(self) -> None:
        """Stream until cancelled. Raises only what a listener or the hand-over raised."""
        try:
            while self._error is None:
                self.socket_reads()
                self.core.tick(self._mono_ms, self._ts_ms)
                self._turn()
                self._beat()
                self._wake.clear()
                await self._rest()
            raise self._error
        finally:
            await self._end()

    def socket_reads(self) -> None:
        self._mono_ms = monotonic_ms()
        self._ts_ms = self._view.now_ms() if self._view.clock.is_set else 0

    def socket_opened(self, conn: int) -> None:
        self.core.opened(conn, self._mono_ms)
        self._turn_soon()

    def socket_pinged(self, conn: int, payload: bytes) -> None:
        self.core.pinged(conn, payload, self._mono_ms, is_answered=True)

    def socket_frame(self, conn: int, data: Any) -> None:
        try:
            event = self._parser.parse(data)
        except DataError as error:
            self._reject(error)
            return
        if event is None:
            return
        self._tell(conn, event, self._mono_ms, self._ts_ms)
        if isinstance(event, ControlEvent):
            log.log(logging.WARNING if event.error else logging.DEBUG, "price stream control: %s", event)
        kind = type(event)
        # Only these two wait in order; one read can hold more of them than may wait.
        if (kind is AggTradeEvent or kind is KlineEvent) and self.core.backlog >= self._half_full:
            self._turn()
        elif not self._is_turn_due:
            self._turn_soon()

    def _reject(self, error: DataError) -> None:
        self._view.feed.malformed += 1
        self._view.feed.count_dropped()
        log.debug("price stream: %s", error)
        if isinstance(error, BadKline):
            self._writer.reject(error)

    def _turn_soon(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Do what the core asks and hand on what is news. What goes wrong here ends the stream, in its own task."""
        self._is_turn_due = False
        try:
            self._hand_on(self._perform())
            self._count()
        except Exception as error:
            self._error = error
            self._wake.set()

    def _perform(self) -> list[Gapped]:
        """Returns what got lost, to be told in its place among what did not."""
        gaps: list[Gapped] = []
        for action in self.core.actions():
            match action:
                case Connect():
                    self._attempts[action.conn] = asyncio.ensure_future(self._hold(action))
                case Close(conn, reason):
                    log.info("price stream: connection %d closed: %s", conn, reason)
                    self._leave(conn)
                case Send(conn, text):
                    self._chore(self._say(conn, text))
                case Gapped():
                    gaps.append(action)
                case Recheck(symbols):
                    self._view.connection_reset()
                    self._chore(self._recheck(symbols))
                case _:
                    pass  # a pong: the library sent it before the core was told
        self._view.feed.connected = self.core.is_connected
        return gaps

    def _hand_on(self, gaps: Sequence[Gapped]) -> None:
        bars, trades, latest = self.core.drain()
        events: list[MarketEvent] = [*bars, *trades, *latest]
        if gaps:
            self._note_gaps(gaps)
        if not events:
            return
        self._view.apply_all(events)
        for bar in bars:
            self._writer.take(bar)
        for event in latest:
            if isinstance(event, KlineEvent):
                self._writer.take(event)
        if self._trades is not None:
            self._hand_on_trades(self._trades, trades, [gap for gap in gaps if gap.kind == "trades"])
        if self._publish is not None:
            for event in events:
                self._publish(event)

    def _count(self) -> None:
        feed, lanes = self._view.feed, self.core.lanes
        counted = (self.core.frames, lanes.dropped + lanes.foreign, lanes.conflated)
        n_frames, n_dropped, n_conflated = (new - old for new, old in zip(counted, self._counted, strict=True))
        self._counted = counted
        if n_frames:
            feed.count_messages(n_frames, self._view.now_ms() if self._view.clock.is_set else None)
        if n_dropped:
            feed.count_dropped(n_dropped)
        if n_conflated:
            feed.count_conflated(n_conflated)

    def _beat(self) -> None:
        feed = self._view.feed
        if self.core.is_connected:
            feed.last_beat_ms = self._ts_ms or None
        feed.unknown = self._parser.unknown.total()
        feed.reconnects = self.core.lost
        n_dropped, self._dropped_told = feed.dropped - self._dropped_told, feed.dropped
        if n_dropped:
            waiting = (feed.backlog_size, feed.backlog_limit)
            log.warning("price stream: %d dropped since the last beat; %d of at most %d wait", n_dropped, *waiting)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self.core.limits.beat_ms / 1_000):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _hold(self, plan: Connect) -> None:
        """One connection from its plan to its end, and the word to the core."""
        wait_ms = max(0, plan.at_mono_ms - monotonic_ms())
        log.info("price stream: connection %d in %.2f s: %s", plan.conn, wait_ms / 1_000, plan.reason)
        await asyncio.sleep(wait_ms / 1_000)
        reason = "the connection ended"
        try:
            timeout_s = self.core.limits.connect_ms / 2_000
            async with open_socket(self._url, plan.conn, self, timeout_s=timeout_s) as socket:
                assert isinstance(socket, StreamSocket)
                self._sockets[plan.conn] = socket
                await socket.wait_closed()
                reason = str(socket.protocol.close_exc)
        except (OSError, WebSocketException) as error:
            reason = str(error) or type(error).__name__
        finally:
            self._sockets.pop(plan.conn, None)
            self._attempts.pop(plan.conn, None)
        self.core.closed(plan.conn, monotonic_ms(), reason)
        self._wake.set()

    def _leave(self, conn: int) -> None:
        if conn in self._sockets:
            self._chore(self._sockets[conn].close())
        elif conn in self._attempts:
            self._attempts[conn].cancel()

    async def _say(self, conn: int, text: str) -> None:
        socket = self._sockets.get(conn)
        if socket is not None:
            try:
                await socket.send(text)
            except ConnectionClosed:
                log.debug("price stream: connection %d ended before it was told %s", conn, text)

    def _note_gaps(self, gaps: Sequence[Gapped]) -> None:
        for gap in gaps:
            log.info("price stream: %s of %s from %d to %d are missing", gap.kind, gap.symbol, gap.from_, gap.until_)
            if gap.kind == "bars":
                self._writer.check(gap.symbol, gap.until_ + self._length_ms)

    def _hand_on_trades(self, reader: TradeReader, trades: Sequence[AggTradeEvent], gaps: Sequence[Gapped]) -> None:
        """A gap that begins before the trades that wait is told before them, any other after."""
        first = {trade.symbol: trade.trade_id for trade in reversed(trades)}
        early = [gap for gap in gaps if gap.from_ < first.get(gap.symbol, gap.from_)]
        for gap in early:
            reader.gapped(gap.symbol, gap.from_, gap.until_)
        for trade in trades:
            reader.take(trade)
        for gap in gaps:
            if gap not in early:
                reader.gapped(gap.symbol, gap.from_, gap.until_)

    async def _recheck(self, symbols: Sequence[str]) -> None:
        """Ask for the bars that closed while nobody listened."""
        try:
            self._view.clock.observe_server(await self._client.time())
        except (Unavailable, DataError) as error:
            log.warning("price stream: the exchange does not tell its time: %s", error)
        self._writer.recheck(symbols, self._view.now_ms())

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()
            self._wake.set()

    async def _end(self) -> None:
        tasks = [*self._attempts.values(), *self._chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
