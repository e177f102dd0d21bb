"""Who keeps the price stream alive? One task: it syncs, then streams, and never gives up.

What to do next is thought out by `engine.stream`; the sockets are held by `stream_shell`; rows are written by tasks of
their own. Sockets, timeouts and backoff run on this machine's monotonic clock, everything about bars on the market's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from apps.engine.errors import DataError, Unavailable
from apps.engine.stream import StreamLimits
from apps.engine.stream_pace import Backoff
from apps.marketdata.bar_writer import BarWriter
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.market import MarketView
from apps.marketdata.storing import BarStore
from apps.marketdata.stream_shell import Publish, StreamShell
from apps.marketdata.sync import ProgressSeen, sync_history, sync_symbols
from apps.marketdata.trade_reader import TradeReader

log = logging.getLogger(__name__)


async def run_stream(
    *,
    view: MarketView,
    client: ExchangeClient,
    symbols: Sequence[str],
    interval: str,
    store: BarStore,
    publish: Publish | None = None,
    stop: asyncio.Event,
    n_history: int = 5_000,
    progress: ProgressSeen | None = None,
    limits: StreamLimits | None = None,
    trades: TradeReader | None = None,
) -> None:
    """Keep `view` and the stored bars up to date, and feed `trades`, until `stop` is set.

    Returns after `stop`; raises only what no retry can mend: a symbol that is unknown or cannot be held exactly, or
    stored bars of another market.
    """
    limits = limits or StreamLimits()
    view.follow(symbols)
    view.feed.source = client.venue.source
    writer = BarWriter(view=view, client=client, interval=interval, store=store, n_limit=limits.backlog)
    shell = StreamShell(
        view=view,
        client=client,
        symbols=symbols,
        interval=interval,
        writer=writer,
        trades=trades,
        publish=publish,
        limits=limits,
    )

    async def prepare() -> None:
        view.clock.observe_server(await client.time())
        await sync_symbols(client, symbols)
        await sync_history(client, symbols, interval, n_bars=n_history, store=store, progress=progress)
        await writer.resume(symbols)

    async def live() -> None:
        await _until_done(prepare, Backoff(limits.backoff_base_ms, limits.backoff_cap_ms, random.random))
        await _until_one_ends(shell.run(), writer.run(), *([trades.run()] if trades is not None else []))

    async def stopped() -> None:
        await stop.wait()

    try:
        await _until_one_ends(live(), stopped())
    finally:
        view.feed.connected = False


async def _until_done(attempt: Callable[[], Awaitable[None]], backoff: Backoff) -> None:
    """Try, and wait with full jitter after each failure that may pass."""
    while True:
        try:
            return await attempt()
        except (Unavailable, DataError, OSError) as error:
            wait_ms = backoff.next_ms()
            log.warning("price stream: history again in %.2f s: %s", wait_ms / 1_000, error or type(error).__name__)
            await asyncio.sleep(wait_ms / 1_000)


async def _until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run together; the end of one is the end of all. Raises what the first raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
