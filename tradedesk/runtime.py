"""The running desk: which tasks and threads a role has, and how they start and stop together."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings

from apps.execution.desk_thread import desk_thread
from apps.execution.lifecycle import held_off_list
from apps.marketdata.exchange.binance import venue
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.simulated.process import ExchangeProcess, start_exchange
from apps.marketdata.market import market_view
from apps.marketdata.redis_bridge import run_publisher, run_subscriber
from apps.marketdata.replacing import Replacer, second_client
from apps.marketdata.stream import run_stream
from apps.marketdata.sync import keep_symbols
from apps.marketdata.trade_reader import TradeReader
from tradedesk.acting import Acting
from tradedesk.bars import store_bars
from tradedesk.startup import Say

log = logging.getLogger(__name__)
ROLES = ("all", "web", "stream", "autopilot")


class Runtime:
    """Everything besides HTTP that a role runs. `start` and `stop` are called on the event loop's thread."""

    def __init__(self, role: str, say: Say, exchange_options: dict[str, Any]) -> None:
        self.role = role
        self.failed: BaseException | None = None
        self._say = say
        self._options = exchange_options
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._exchange: ExchangeProcess | None = None
        self._acting: Acting | None = None

    def exchange_start(self) -> None:
        """Start the simulated exchange when this role needs one and none is named."""
        if self.role in ("all", "stream") and settings.EXCHANGE == "simulated" and not settings.EXCHANGE_REST_URL:
            market: dict[str, Any] = {"symbols": (*settings.SYMBOLS, *held_off_list())}
            if "from_file" in self._options:
                market = {"symbol": settings.SYMBOLS[0], **self._options}
            self._exchange = start_exchange(port=settings.SIM_PORT, seed=settings.SIM_SEED, **market)
            self._say(f"simulated exchange: {self._exchange.rest_url}")

    def start(self, on_failure: Any) -> None:
        """Start the role's tasks and threads; `on_failure()` is called when one of them ends with an error."""
        if self.role in ("all", "web", "autopilot"):
            desk_thread().start()
        if self.role in ("all", "autopilot"):
            self._acting = Acting(self._say, on_failure)
        if self.role in ("all", "stream"):
            self._spawn(self._stream(on_failure), on_failure)
        if settings.REDIS_URL:
            owns = self.role in ("all", "stream")
            view = market_view()
            self._spawn(run_publisher(view, self._stop, url=settings.REDIS_URL, owns_stream=owns), on_failure)
            if not owns:
                self._spawn(run_subscriber(view, self._stop, url=settings.REDIS_URL), on_failure)
        if self._acting is not None:
            self._acting.start(has_stream=self.role == "all")
            if self.role == "autopilot":
                self._spawn(self._ask_exchange(self._acting), on_failure)

    async def stop(self) -> None:
        """End tasks first, then what acts on its own, then the desk thread, last the exchange."""
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._acting is not None:
            await asyncio.to_thread(self._acting.stop)
            self.failed = self.failed or self._acting.failed
        await asyncio.to_thread(desk_thread().stop)
        self.exchange_stop()

    def exchange_stop(self) -> None:
        if self._exchange is not None:
            self._exchange.stop()
            self._exchange = None

    def _spawn(self, work: Any, on_failure: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, on_failure))
        return task

    def _ended(self, on_failure: Any, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failed = task.exception()
            log.error("a task of the desk ended: %s", self.failed, exc_info=self.failed)
            on_failure()

    async def _stream(self, on_failure: Any) -> None:
        rest_url = self._exchange.rest_url if self._exchange else settings.EXCHANGE_REST_URL
        ws_url = self._exchange.ws_url if self._exchange else settings.EXCHANGE_WS_URL
        symbols = (*settings.SYMBOLS, *await database_sync_to_async(held_off_list)())
        where = venue(settings.EXCHANGE, rest_url=rest_url, ws_url=ws_url)
        async with (
            ExchangeClient(where) as client,
            second_client(where, settings.EXCHANGE_SECOND_REST_URL) as second,
        ):
            doubts = self._spawn(Replacer(client, second, store_bars, market_view()).run(), on_failure)
            rules = self._spawn(keep_symbols(client, symbols, market_view().now_ms), on_failure)
            trades = TradeReader(client=client, feed=market_view().feed)
            if self._acting is not None:
                self._acting.exchange_is(client)
                trades.on_trades(self._acting.matcher.on_trades)
            try:
                await run_stream(
                    view=market_view(),
                    client=client,
                    symbols=symbols,
                    interval=settings.INTERVAL,
                    store=store_bars,
                    stop=self._stop,
                    n_history=settings.HISTORY_BARS,
                    progress=self._synced,
                    trades=trades,
                )
            finally:
                doubts.cancel()
                rules.cancel()

    async def _ask_exchange(self, acting: Acting) -> None:
        """Without a stream of its own this process still asks the exchange for trades that did not reach it."""
        if settings.EXCHANGE == "simulated" and not (settings.EXCHANGE_REST_URL and settings.EXCHANGE_WS_URL):
            self._say("autopilot: EXCHANGE_REST_URL is not set, so trades that do not arrive are stated as lost")
            return
        where = venue(settings.EXCHANGE, rest_url=settings.EXCHANGE_REST_URL, ws_url=settings.EXCHANGE_WS_URL)
        async with ExchangeClient(where) as client:
            acting.exchange_is(client)
            await self._stop.wait()

    def _synced(self, seen: Any) -> None:
        if seen.fraction >= 1:
            self._say(f"history: {seen.symbol} synced")
