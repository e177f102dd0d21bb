"""How many messages a second does the price stream take in? Next to bare `websockets` with the fastest JSON parser.

The same frames of five symbols (best prices, trades, books of twenty levels, bars), sent as fast as the socket takes
them by a process of its own. The desk's reader: frame, parsed exactly, judged and conflated by the core, shown by the
view. The floor awaits each message and decodes it into a typed value whose numbers stay text. The ratio is that of
messages per second of CPU, which other work on the machine disturbs least.

Run: .venv/bin/python bench/ingest.py [messages]
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradedesk.settings")

import django

django.setup()
logging.disable(logging.INFO)

import msgspec  # noqa: E402 - the settings must be named first
from websockets.asyncio.client import connect  # noqa: E402

from apps.engine.stream import StreamLimits  # noqa: E402
from apps.marketdata.exchange.binance import Venue, combined_url  # noqa: E402
from apps.marketdata.market import MarketView  # noqa: E402
from apps.marketdata.stream_shell import StreamShell  # noqa: E402
from apps.marketdata.stream_socket import open_socket  # noqa: E402
from tests.support.frame_source import START, Script, Source, frame_source  # noqa: E402

N_MESSAGES = 100_000
ROUNDS = 5
GOAL = 0.5


class Round(NamedTuple):
    per_s: float
    cpu_us: float


class Moment(NamedTuple):
    """When the last message had been taken in: on the clock, and in CPU of this process."""

    at_s: float
    cpu_s: float


def now() -> Moment:
    return Moment(time.monotonic(), time.process_time())


class Data(msgspec.Struct, gc=False):
    """What any of the frames holds, as a reader without a care would have it."""

    s: str = ""
    E: int = 0
    u: int = 0
    a: int | str = 0
    p: str = ""
    q: str = ""
    b: str = ""
    B: str = ""
    A: str = ""
    k: dict[str, str | int | bool] | None = None
    bids: list[tuple[str, str]] | None = None
    asks: list[tuple[str, str]] | None = None


class Message(msgspec.Struct, gc=False):
    stream: str
    data: Data


decode = msgspec.json.Decoder(Message).decode


class Counted:
    """Takes frames as they are read, without a task in between."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.done = asyncio.Event()

    def socket_reads(self) -> None: ...

    def socket_opened(self, conn: int) -> None: ...

    def socket_pinged(self, conn: int, payload: bytes) -> None: ...

    def socket_frame(self, conn: int, data: Any) -> None:
        decode(data)
        self.left -= 1
        if not self.left:
            self.done.set()


class Idle:
    """Stands in for the exchange's REST side and for the writer of bars."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    async def time(self) -> int:
        return START

    def take(self, event: object) -> None: ...

    def check(self, symbol: str, before_ms: int) -> None: ...

    def recheck(self, symbols: object, now_ms: int) -> None: ...


async def floor(source: Source, script: Script) -> Moment:
    # Without a bound on its queue: pausing the transport would cost the floor far more than parsing does.
    async with connect(
        combined_url(source.url, ["x"]), compression=None, max_queue=None, ping_interval=None, close_timeout=0.1
    ) as socket:
        for _ in range(script.n):
            decode(await socket.recv(decode=False))
        return now()


async def direct(source: Source, script: Script) -> Moment:
    counted = Counted(script.n)
    async with open_socket(combined_url(source.url, ["x"]), 1, counted, timeout_s=10):
        await counted.done.wait()
        return now()


async def reader(source: Source, script: Script) -> Moment:
    view = MarketView(symbols=script.symbols)
    idle = Idle(Venue("simulated", "", source.url))
    given: Any = {"client": idle, "writer": idle, "trades": None, "publish": None, "limits": StreamLimits()}
    shell = StreamShell(view=view, symbols=script.symbols, interval="1m", **given)
    running = asyncio.ensure_future(shell.run())
    while view.feed.messages < script.n and not running.done():
        await asyncio.sleep(0.002)
    last = now()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert view.feed.messages == script.n and not view.feed.malformed
    assert all(view.quote(symbol) is not None for symbol in script.symbols)
    return last


def one_round(read: Callable[[Source, Script], Awaitable[Moment]], source: Source, script: Script) -> Round:
    async def timed() -> Round:
        gc.collect()
        begun = now()
        last = await read(source, script)
        first_s, _ = source.offered()
        return Round(script.n / (last.at_s - first_s), (last.cpu_s - begun.cpu_s) / script.n * 1e6)

    return asyncio.run(timed())


def main() -> None:
    script = Script(int(sys.argv[1]) if len(sys.argv) > 1 else N_MESSAGES)
    readers = {
        "bare websockets, recv(), typed msgspec": floor,
        "the same, taken as it is read": direct,
        "the desk's reader": reader,
    }
    rounds: dict[str, list[Round]] = {name: [] for name in readers}
    load = os.getloadavg()[0]
    print(f"{script.n:,} messages of {len(script.symbols)} symbols, load {load:.1f}, medians of {ROUNDS} rounds")
    with frame_source(script) as source:
        source.last_quotes()
        for _ in range(ROUNDS):
            for name, read in readers.items():
                rounds[name].append(one_round(read, source, script))
    medians = {name: Round(*map(statistics.median, zip(*found, strict=True))) for name, found in rounds.items()}
    for name, one in medians.items():
        print(f"{name:40} {one.per_s:9,.0f} a second, {1e6 / one.cpu_us:9,.0f} a CPU second")
    bare, _, desk = medians.values()
    ratio, verdict = bare.cpu_us / desk.cpu_us, "met" if bare.cpu_us / desk.cpu_us >= GOAL else "missed"
    print(f"desk to bare: {ratio:.2f} by CPU, {desk.per_s / bare.per_s:.2f} by the clock; goal {GOAL}: {verdict}")


if __name__ == "__main__":
    main()
