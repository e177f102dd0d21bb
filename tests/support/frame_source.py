"""A price stream that says all it has as fast as the socket takes it, from a process of its own.

The frames are those of the exchange: real shapes, ids and times that rise, prices that wander, books that mostly stand
still. Run as a module, it prints its port and the last quote of each symbol, sends every frame to each client that
connects, prints when, and stays.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from websockets.utils import accept_key

MINUTE = 60_000
START = 1_600_000_020_000 // MINUTE * MINUTE
ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
# As on a busy day of BTCUSDT: two thirds best prices, a quarter trades, the rest books and bars.
MIX = ("bookTicker",) * 65 + ("aggTrade",) * 26 + ("depth20",) * 8 + ("kline",)
STEP_MS = 20  # market time from one frame to the next
LEVELS = 20


class Script(NamedTuple):
    """What a source says: `n` frames of these symbols, `kinds` in turn shuffled by the seed."""

    n: int
    symbols: tuple[str, ...] = SYMBOLS
    kinds: tuple[str, ...] = MIX
    step_ms: int = STEP_MS
    seed: int = 7


class _Market:
    """One symbol that wanders, and the frames it gives."""

    def __init__(self, symbol: str, draws: random.Random) -> None:
        self.symbol, self.draws = symbol, draws
        self.cents = draws.randrange(100_000, 9_000_000)
        self.trade_id, self.opened = 0, START
        self._say = {"bookTicker": self._ticker, "aggTrade": self._trade, "depth20": self._depth}
        self.bids = [self._level(-level) for level in range(LEVELS)]
        self.asks = [self._level(1 + level) for level in range(LEVELS)]

    def frame(self, kind: str, number: int, now_ms: int) -> Iterator[bytes]:
        """The frame of this kind, after the closing frame of every bar that is over by now."""
        if kind != "kline":
            yield self._say[kind](number, now_ms)
            return
        while self.opened + MINUTE <= now_ms:
            yield self._kline(self.opened, self.opened + MINUTE + 5, closed=True)
            self.opened += MINUTE
        yield self._kline(self.opened, now_ms, closed=False)

    def _ticker(self, number: int, now_ms: int) -> bytes:
        self._move(self.draws.choice((-1, 0, 0, 0, 1)))
        best = {"b": self.bids[0][0], "B": self.bids[0][1], "a": self.asks[0][0], "A": self.asks[0][1]}
        return self._wrap("bookTicker", {"u": number, "s": self.symbol, **best})

    def _depth(self, number: int, now_ms: int) -> bytes:
        return self._wrap("depth20@100ms", {"lastUpdateId": number, "bids": self.bids, "asks": self.asks})

    def _trade(self, number: int, now_ms: int) -> bytes:
        self.trade_id += 1
        told = {"a": self.trade_id, "p": self.asks[0][0], "q": self._size(), "f": number, "l": number}
        tail = {"T": now_ms, "m": False, "M": True}
        return self._wrap("aggTrade", {"e": "aggTrade", "E": now_ms, "s": self.symbol, **told, **tail})

    def _kline(self, opened: int, event_ms: int, *, closed: bool) -> bytes:
        price = self.asks[0][0]
        bar = {"t": opened, "T": opened + MINUTE - 1, "s": self.symbol, "i": "1m", "f": 1, "L": 2, "o": price}
        bar |= {"c": price, "h": price, "l": price, "v": self._size(), "n": 3, "x": closed}
        bar |= {"q": "1.00000000", "V": "1.00000000", "Q": "1.00000000", "B": "0"}
        return self._wrap("kline_1m", {"e": "kline", "E": event_ms, "s": self.symbol, "k": bar})

    def _move(self, steps: int) -> None:
        """One order comes, goes or shrinks; when the price moves, a level opens behind it and the far end shifts."""
        side = self.draws.choice((self.bids, self.asks))
        side[self.draws.randrange(LEVELS)][1] = self._size()
        self.cents += steps
        if steps > 0:
            self.bids = [self._level(0), *self.bids[:-1]]
            self.asks = [*self.asks[1:], self._level(LEVELS)]
        elif steps < 0:
            self.bids = [*self.bids[1:], self._level(1 - LEVELS)]
            self.asks = [self._level(1), *self.asks[:-1]]

    def _level(self, ticks: int) -> list[str]:
        whole, cents = divmod(self.cents + ticks, 100)
        return [f"{whole}.{cents:02d}000000", self._size()]

    def _size(self) -> str:
        return f"{self.draws.randrange(1, 900_000) / 1e5:.8f}"

    def _wrap(self, stream: str, data: dict[str, object]) -> bytes:
        body = json.dumps(data, separators=(",", ":"))
        return f'{{"stream":"{self.symbol.lower()}@{stream}","data":{body}}}'.encode()


def frames(script: Script) -> Iterator[bytes]:
    """The first `n` frames of a script; the same script says the same."""
    return islice(_endless(script), script.n)


def _endless(script: Script) -> Iterator[bytes]:
    draws = random.Random(script.seed)
    kinds = list(script.kinds)
    draws.shuffle(kinds)
    markets = cycle([_Market(symbol, draws) for symbol in script.symbols])
    number = 0
    # Each symbol has its turn with each kind, whatever their counts have in common.
    for round_of in cycle(kinds):
        for _ in script.symbols:
            number += 1
            yield from next(markets).frame(round_of, number, START + number * script.step_ms)


@contextmanager
def frame_source(script: Script) -> Iterator[Source]:
    """A source in a process of its own, listening."""
    given = ["--n", str(script.n), "--step-ms", str(script.step_ms), "--seed", str(script.seed)]
    given += ["--symbols", ",".join(script.symbols), "--kinds", ",".join(script.kinds)]
    command = [sys.executable, "-m", "tests.support.frame_source", *given]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Source(process)
        finally:
            process.kill()


class Source:
    """The other end of the process: where it listens, what it says last, and when it offered it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = f"ws://127.0.0.1:{self._next()}"

    def last_quotes(self) -> list[str]:
        """The last bookTicker frame of each symbol. Blocks until every frame is made; to be asked first, and once."""
        return list(self._next())

    def offered(self) -> tuple[float, float]:
        """The monotonic times of the first and the last byte of the oldest offer not asked for yet. Blocks."""
        first, last = self._next()
        return first, last

    def _next(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or "null")


def _framed(payload: bytes) -> bytes:
    n = len(payload)
    return bytes((0x81, n)) + payload if n < 126 else bytes((0x81, 126)) + n.to_bytes(2, "big") + payload


def _shake_hands(client: socket.socket) -> None:
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        asked += client.recv(4096)
    lines = (line.partition(": ") for line in asked.decode().split("\r\n"))
    headers = {name.lower(): value for name, _, value in lines}
    accepted = accept_key(headers["sec-websocket-key"])
    answer = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accepted}")
    client.sendall("\r\n".join(("HTTP/1.1 101 Switching Protocols", *answer, "", "")).encode())


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in (("n", int), ("step-ms", int), ("seed", int), ("symbols", str), ("kinds", str)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    asked = parser.parse_args()
    script = Script(asked.n, tuple(asked.symbols.split(",")), tuple(asked.kinds.split(",")), asked.step_ms, asked.seed)
    with socket.create_server(("127.0.0.1", 0)) as server:
        _say(server.getsockname()[1])
        told = list(frames(script))
        newest = {frame[: frame.find(b"@")]: frame.decode() for frame in told if b"@bookTicker" in frame[:40]}
        _say(list(newest.values()))
        said = b"".join(map(_framed, told))
        while True:
            client, _ = server.accept()
            with client:
                _serve(client, said)


def _serve(client: socket.socket, said: bytes) -> None:
    _shake_hands(client)
    first = time.monotonic()
    client.sendall(said)
    _say([first, time.monotonic()])
    while client.recv(4096):
        pass  # until the client leaves


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
