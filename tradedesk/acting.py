"""What the desk does on its own, where the lease is held: open orders, bars, decisions, the check of the book."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections

from apps.engine.errors import IntegrityBreach, TradedeskError, Unavailable
from apps.engine.stream_events import AggTradeEvent
from apps.execution.autopilot import Autopilot
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.lease import LeaseKeeper
from apps.execution.matcher import Matcher
from apps.execution.reconciler import Reconciler
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.market import market_view
from apps.risk import services as risk
from tradedesk.startup import Say

log = logging.getLogger(__name__)
FETCH_WAIT_S = 60.0


class Acting:
    """Threads of the roles `all` and `autopilot`. Nothing acts before the lease is held and missed trades are met."""

    def __init__(self, say: Say, on_failure: Callable[[], Any]) -> None:
        self.failed: BaseException | None = None
        self.keeper = LeaseKeeper()
        self.matcher = Matcher(market_view(), may_act=lambda: self.keeper.is_held)
        self._say = say
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._client: ExchangeClient | None = None
        self._autopilot: Autopilot | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, *, has_stream: bool) -> None:
        """Begin. Without a stream in this process trades are taken from the view, which another process feeds.

        The view keeps the newest alone and a message may be lost on the way; the matcher sees ids that are left out and
        asks the exchange for them.
        """
        view = market_view()
        view.on_update(self.matcher.on_update)
        if not has_stream:
            view.on_update(lambda symbol: self.matcher.on_trades(symbol, view.trades(symbol)))
        self.keeper.start()
        self._spawn("autopilot", self._act)
        self._spawn("reconciler", self._reconcile)

    def exchange_is(self, client: ExchangeClient) -> None:
        """Where missed trades can be asked for."""
        self._client = client

    def stop(self) -> None:
        """End all threads, the lease last."""
        self._stop.set()
        self.matcher.stop()
        if self._autopilot is not None:
            self._autopilot.stop()
        for thread in self._threads:
            thread.join(10.0)
        self.keeper.stop()

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        """Facts that contradict each other halt the desk; any other end of a thread is a failure."""
        try:
            work()
        except IntegrityBreach as error:
            self._say(f"HALTED: {error}")
            risk.kill_engage(actor="recovery", reason=str(error)[:500], ts_ms=market_view().now_ms())
        except BaseException as error:
            self.failed = error
            log.exception("the %s ended", name)
            self._loop.call_soon_threadsafe(self._on_failure)
        finally:
            connections.close_all()

    def _act(self) -> None:
        """Wait for market and lease, meet what open orders have missed, rebuild, then run."""
        market = market_view()
        while not market.feed.connected or not market.clock.is_set:
            if self._stop.wait(0.2):
                return
        if not self.keeper.is_held:
            self._say("autopilot: waiting for the lease")
        if not self.keeper.wait(self._stop.is_set):
            return
        met = self.matcher.recover(self._missed_trades)
        if met:
            self._say(f"open orders: met {sum(met.values())} missed trades of {', '.join(met)}")
        self._spawn("matcher", self.matcher.run)
        may_act = partial(getattr, self.keeper, "is_held")
        autopilot = BarsAutopilot(may_act=may_act) if settings.FILLS == "bars" else Autopilot(may_act=may_act)
        self._autopilot = autopilot
        market.on_bar_closed(autopilot.nudge)
        autopilot.warm(self._say)
        self._say("autopilot: running" if settings.AUTOPILOT else "autopilot: folding bars, not deciding")
        autopilot.nudge()
        autopilot.run()

    def _reconcile(self) -> None:
        if self.keeper.wait(self._stop.is_set):
            Reconciler().run(self._stop, now_ms=lambda: market_view().now_ms())

    def _missed_trades(self, symbol: str, from_id: int) -> Iterable[AggTradeEvent]:
        """Trades from an id on. Raises Unavailable where they cannot be had now."""
        if self._client is None:
            raise Unavailable(f"trades of {symbol} from {from_id} cannot be asked for in this process yet")
        asked = asyncio.run_coroutine_threadsafe(_collect(self._client, symbol, from_id), self._loop)
        try:
            return asked.result(FETCH_WAIT_S)
        except (TradedeskError, TimeoutError) as error:
            asked.cancel()
            raise Unavailable(f"missed trades of {symbol} from {from_id}: {error or type(error).__name__}") from error


async def _collect(client: ExchangeClient, symbol: str, from_id: int) -> list[AggTradeEvent]:
    return [trade async for page in client.agg_trades(symbol, from_id=from_id) for trade in page]
