"""How does the simulated exchange live as a process: start, one ready line, a clean end?"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence

from apps.engine.errors import DataError
from apps.marketdata.exchange.simulated.clock import RealClock, RecordedClock
from apps.marketdata.exchange.simulated.klinefile import read_klines
from apps.marketdata.exchange.simulated.market import SyntheticMarket
from apps.marketdata.exchange.simulated.options import Options, add_arguments, options_of
from apps.marketdata.exchange.simulated.recorded import RecordedMarket
from apps.marketdata.exchange.simulated.server import HOST, SimulatedExchange

PARENT_POLL_S = 1.0
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and serve until told to stop. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="simexchange", description="A simulated exchange on loopback that speaks the spot protocol."
    )
    add_arguments(parser)
    options = options_of(parser, parser.parse_args(arguments))
    return serve(parser, options)


def serve(parser: argparse.ArgumentParser, options: Options) -> int:
    try:
        exchange = exchange_of(parser, options)
    except DataError as error:
        parser.error(f"argument --from: {error}")
    return asyncio.run(_serve(exchange, options))


def exchange_of(parser: argparse.ArgumentParser, options: Options) -> SimulatedExchange:
    """The exchange these options describe, not yet listening."""
    if options.file is None:
        market = SyntheticMarket(seed=options.seed, symbols=options.symbols)
        return SimulatedExchange(market, RealClock(options.offset_ms), faults=options.faults, seed=options.seed)
    recorded = RecordedMarket(read_klines(options.file, symbol=options.symbol), seed=options.seed)
    if options.history >= recorded.n:
        parser.error(f"argument --history: the file holds {recorded.n} bars, so at most {recorded.n - 1} can be past")
    return SimulatedExchange(
        recorded,
        RecordedClock(recorded, history=options.history, speed=options.speed),
        faults=options.faults,
        seed=options.seed,
        wait_for_client=options.wait_for_client,
        is_paced=True,
        on_end=lambda ts_ms: _say({"ended": True, "bars": recorded.n, "tsMs": ts_ms}),
    )


async def _serve(exchange: SimulatedExchange, options: Options) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if options.parent_pid is not None:
        _die_with(options.parent_pid, stopping, loop)
    try:
        await exchange.start(options.port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        print(f"simexchange: cannot listen on {HOST}:{options.port}: {reason}", file=sys.stderr, flush=True)
        return 1
    asked = {"faults": sorted(options.faults)} if options.faults else {}
    _say({"ready": True, "restUrl": exchange.rest_url, "wsUrl": exchange.ws_url, "port": exchange.port, **asked})
    try:
        await _until_stopped(exchange, options, stopping)
    finally:
        await exchange.stop()
    return 0


async def _until_stopped(exchange: SimulatedExchange, options: Options, stopping: asyncio.Event) -> None:
    """Wait for a signal or the parent's end. A broken market raises; a recorded one that is over just stands still."""
    market = asyncio.create_task(exchange.wait_failed())
    try:
        while not stopping.is_set():
            if market.done():
                market.result()
            if options.parent_pid is not None and os.getppid() != options.parent_pid:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), PARENT_POLL_S)
    finally:
        market.cancel()


def _die_with(parent_pid: int, stopping: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    """On Linux the kernel tells of the parent's death at once; elsewhere the poll notices.

    The kernel also signals when only the *thread* ends that started this process, so the parent is looked at first.
    """

    def parent_gone() -> None:
        if os.getppid() != parent_pid:
            stopping.set()

    if sys.platform == "linux":
        loop.add_signal_handler(signal.SIGUSR1, parent_gone)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)


def _say(line: dict[str, object]) -> None:
    # The reader may be gone; that is no reason to stop serving.
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(line), flush=True)
