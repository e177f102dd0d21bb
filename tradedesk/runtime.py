"""The running desk: which tasks and threads a role has, and how they start and stop together."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections

from apps.engine.errors import IntegrityBreach
from apps.execution.autopilot import Autopilot
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.desk_thread import desk_thread
from apps.marketdata.exchange.binance import venue
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.simulated.process import ExchangeProcess, start_exchange
from apps.marketdata.market import market_view
from apps.marketdata.redis_bridge import run_publisher, run_subscriber
from apps.marketdata.replacing import Replacer, second_client
from apps.marketdata.stream import run_stream
from apps.risk import services as risk
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
        self._autopilot: Autopilot | None = None
        self._threads: list[threading.Thread] = []

    def exchange_start(self) -> None:
        """Start the simulated exchange when this role needs one and none is named."""
        if self.role in ("all", "stream") and settings.EXCHANGE == "simulated" and not settings.EXCHANGE_REST_URL:
            market: dict[str, Any] = {"symbols": settings.SYMBOLS}
            if "from_file" in self._options:
                market = {"symbol": settings.SYMBOLS[0], **self._options}
            self._exchange = start_exchange(port=settings.SIM_PORT, seed=settings.SIM_SEED, **market)
            self._say(f"simulated exchange: {self._exchange.rest_url}")

    def start(self, on_failure: Any) -> None:
        """Start the role's tasks and threads; `on_failure()` is called when one of them ends with an error."""
        if self.role in ("all", "web", "autopilot"):
            desk_thread().start()
        if self.role in ("all", "stream"):
            self._spawn(self._stream(on_failure), on_failure)
        if settings.REDIS_URL:
            owns = self.role in ("all", "stream")
            view = market_view()
            self._spawn(run_publisher(view, self._stop, url=settings.REDIS_URL, owns_stream=owns), on_failure)
            if not owns:
                self._spawn(run_subscriber(view, self._stop, url=settings.REDIS_URL), on_failure)
        if self.role in ("all", "autopilot"):
            fail = partial(asyncio.get_running_loop().call_soon_threadsafe, on_failure)
            thread = threading.Thread(target=self._autopilot_thread, args=(fail,), name="autopilot", daemon=True)
            self._threads.append(thread)
            thread.start()

    async def stop(self) -> None:
        """End tasks first, then the autopilot, then the desk thread, last the exchange."""
        self._stop.set()
        if self._autopilot is not None:
            self._autopilot.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 10.0)
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
        where = venue(settings.EXCHANGE, rest_url=rest_url, ws_url=ws_url)
        async with (
            ExchangeClient(where) as client,
            second_client(where, settings.EXCHANGE_SECOND_REST_URL) as second,
        ):
            doubts = self._spawn(Replacer(client, second, store_bars, market_view()).run(), on_failure)
            try:
                await run_stream(
                    view=market_view(),
                    client=client,
                    symbols=settings.SYMBOLS,
                    interval=settings.INTERVAL,
                    store=store_bars,
                    stop=self._stop,
                    n_history=settings.HISTORY_BARS,
                    progress=self._synced,
                )
            finally:
                doubts.cancel()

    def _synced(self, seen: Any) -> None:
        if seen.fraction >= 1:
            self._say(f"history: {seen.symbol} synced")

    def _autopilot_thread(self, on_failure: Callable[[], Any]) -> None:
        """Run the autopilot. Facts that contradict each other halt the desk; any other end of it is a failure."""
        try:
            self._autopilot_loop()
        except IntegrityBreach as error:
            self._say(f"HALTED: {error}")
            risk.kill_engage(actor="recovery", reason=str(error)[:500], ts_ms=market_view().now_ms())
        except BaseException as error:
            self.failed = error
            log.exception("the autopilot ended")
            on_failure()
        finally:
            connections.close_all()

    def _autopilot_loop(self) -> None:
        """Wait for the market, rebuild, then run."""
        market = market_view()
        while not market.feed.connected or not market.clock.is_set:
            if self._stop_wait(0.2):
                return
        autopilot = BarsAutopilot() if settings.FILLS == "bars" else Autopilot()
        self._autopilot = autopilot
        market.on_bar_closed(autopilot.nudge)
        autopilot.warm(self._say)
        self._say("autopilot: running" if settings.AUTOPILOT else "autopilot: folding bars, not deciding")
        autopilot.nudge()
        autopilot.run()

    def _stop_wait(self, seconds: float) -> bool:
        threading.Event().wait(seconds)
        return self._stop.is_set()
