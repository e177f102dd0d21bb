"""A server of made-up prices, run as a process of its own: the desk's socket under daphne, or a bare broadcast.

Every bid is the moment of its change, in microseconds of the machine's monotonic clock written as 1e-8 units, so that a
reader in another process can tell how old a price is when it arrives. Prints its port when it listens.
"""

from __future__ import annotations

# First import: installs the reactor that every later import of twisted must find.
from daphne.server import twisted_loop  # isort: skip

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

from tradedesk.env import engine_hash

ROOT = Path(__file__).resolve().parents[2]
EPOCH_MS = 1_600_000_000_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=("daphne", "websockets"), default="daphne")
    parser.add_argument("--changes", type=float, default=20.0, help="changes of each symbol per second")
    parser.add_argument("--symbols", type=int, default=3)
    parser.add_argument("--gap", type=float, default=0.1, help="seconds between two frames of a client")
    return parser.parse_args()


async def move_prices(view: object, symbols: list[str], changes: float) -> None:
    """Change every price so many times a second."""
    from apps.marketdata.market import Quote

    due = time.monotonic()
    while True:
        view.clock.observe(EPOCH_MS + int(time.monotonic() * 1000))
        for symbol in symbols:
            now_us = time.monotonic_ns() // 1000
            view.put_quote(Quote(symbol, now_us, now_us + 1, now_us, view.now_ms(), view.now_ms()))
        due = max(due + 1 / changes, time.monotonic() - 1.0)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def serve_desk(options: argparse.Namespace, symbols: list[str]) -> None:
    """The shipped consumer and fan-out behind the shipped server."""
    from apps.web.body_limit import DeskServer  # isort: skip - installs the reactor
    from twisted.internet import reactor

    from apps.marketdata import fanout
    from apps.marketdata.market import market_view
    from tradedesk.asgi import application

    fanout.FRAME_GAP_S = options.gap
    server = DeskServer(application, ["tcp:port=0:interface=127.0.0.1:backlog=1024"])

    def begin() -> None:
        print(server.listening_addresses[0][1], flush=True)
        server.mover = twisted_loop.create_task(move_prices(market_view(), symbols, options.changes))

    reactor.callLater(0.1, begin)
    server.run()


async def serve_broadcast(options: argparse.Namespace, symbols: list[str]) -> None:
    """The same frames through `websockets.broadcast`: the floor that the desk's socket is compared with."""
    import orjson
    from websockets.asyncio.server import broadcast, serve

    from apps.marketdata.market import MarketView
    from apps.marketdata.wire import stamp, tick_of, ticks_message

    view = MarketView(symbols=symbols)
    changed = asyncio.Event()
    view.on_update(lambda symbol: changed.set())

    async def keep_open(connection: object) -> None:
        async for _ in connection:
            continue

    async with serve(keep_open, "127.0.0.1", 0, compression=None, backlog=1024) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        mover = asyncio.ensure_future(move_prices(view, symbols, options.changes))
        for seq in range(1, 1 << 62):
            await changed.wait()
            changed.clear()
            ticks = [orjson.dumps(tick_of(view, symbol)) for symbol in symbols]
            message = orjson.dumps({"seq": seq, **ticks_message("ticks", stamp(view), ticks)}).decode()
            broadcast(server.connections, message)
        mover.cancel()


def main() -> None:
    options = arguments()
    symbols = [f"SYM{number:02}USDT" for number in range(options.symbols)]
    os.environ["SYMBOLS"] = ",".join(symbols)
    os.environ["TRADEDESK_VAR"] = folder = tempfile.mkdtemp(prefix="tradedesk-prices-")
    # Kernels are keyed by the hash of their sources, so this process may share them with the desk of this checkout.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "var" / "kernels" / engine_hash()))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradedesk.settings")
    try:
        import django

        django.setup()
        if options.server == "daphne":
            serve_desk(options, symbols)
        else:
            asyncio.run(serve_broadcast(options, symbols))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
