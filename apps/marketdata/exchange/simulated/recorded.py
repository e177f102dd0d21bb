"""What does a market look like that lives through the bars of a file?

The bars are the file's, to the last digit, gaps and short bars included. The trades inside a bar are made from
(file, seed, bar): they start at its open, touch its high and low, end at its close and share out its volume.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from apps.engine.errors import DataError
from apps.engine.values import E8
from apps.marketdata.exchange.simulated.bars import IDS_PER_MINUTE, Bar, BarTable, Path, table_of
from apps.marketdata.exchange.simulated.intervals import MINUTE_MS, name_of
from apps.marketdata.exchange.simulated.klinefile import KlineFile
from apps.marketdata.exchange.simulated.noise import generator, key_of
from apps.marketdata.exchange.simulated.symbols import KNOWN, Spec, assets_of

SLOTS = IDS_PER_MINUTE
_TRADE_IDS_PER_BAR = 10_000_000


class Waypoint(NamedTuple):
    """A price (in ticks) that the path of a bar must visit at this slot."""

    slot: int
    ticks: int


class RecordedMarket:
    """One symbol's market, read from a file. Serves the same questions as the synthetic one."""

    def __init__(self, file: KlineFile, *, seed: int) -> None:
        self.symbol = file.symbol
        self.seed = seed
        self.interval_ms = _interval_of(file)
        self._digest = file.digest
        tick_e8, self._step_e8 = _finest(file.symbol, file.bars)
        self.specs = {file.symbol: _spec(file, self.interval_ms, tick_e8, self._step_e8)}
        self._opens: list[int] = file.bars.open_ms.tolist()
        self._raw = file.bars
        self._bar = lru_cache(maxsize=4096)(self._make_bar)
        self._path = lru_cache(maxsize=64)(self._make_path)
        # A bar never reaches into the next one.
        nominal = np.where(file.bars.close_ms < 0, file.bars.open_ms + self.interval_ms, file.bars.close_ms + 1)
        following = np.append(file.bars.open_ms[1:], nominal[-1:])
        self.ends: list[int] = np.minimum(nominal, following).tolist()

    @property
    def n(self) -> int:
        return self._raw.n

    def key(self, symbol: str) -> int:
        return key_of(self.seed, self._digest)

    def first_open(self, symbol: str) -> int:
        return self._opens[0]

    def open_at(self, row: int) -> int:
        return self._opens[row]

    def bar_open(self, symbol: str, ts_ms: int) -> int | None:
        row = bisect_right(self._opens, ts_ms) - 1
        return self._opens[row] if row >= 0 else None

    def next_close(self, symbol: str, after_ms: int) -> int | None:
        row = bisect_right(self.ends, after_ms)
        return self.ends[row] if row < self.n else None

    def table(self, symbol: str, start_ms: int, stop_ms: int) -> BarTable:
        first, stop = bisect_right(self._opens, start_ms - 1), bisect_right(self._opens, stop_ms - 1)
        return table_of([self._bar(row) for row in range(first, stop)])

    def path(self, symbol: str, open_ms: int) -> Path:
        return self._path(bisect_right(self._opens, open_ms) - 1)

    def _row(self, row: int) -> Bar:
        return Bar(*(int(column[row]) for column in self._raw))

    def _make_bar(self, row: int) -> Bar:
        """The file's bar; what its layout lacks is taken from the trades made for it."""
        bar = self._row(row)
        if bar.trades >= 0:
            return bar
        path = self._path(row)
        taken = ~path.buyer_is_maker
        return bar._replace(
            close_ms=path.close_ms,
            quote_e8=int(path.quote_e8.sum()),
            trades=int(path.counts.sum()),
            taker_e8=int(path.quantity_e8[taken].sum()),
            taker_quote_e8=int(path.quote_e8[taken].sum()),
        )

    def _make_path(self, row: int) -> Path:
        bar, end_ms = self._row(row), self.ends[row]
        rng = generator(key_of(self.seed, self._digest), bar.open_ms // 1000)
        tick_e8, step_e8 = self.specs[self.symbol].tick_e8, self._step_e8
        ticks = _prices(bar, tick_e8, step_e8, rng)
        n = len(ticks)
        prices = [price * tick_e8 for price in ticks]
        quantities = _shares(bar.volume_e8 // step_e8, rng.standard_exponential(n), step_e8) if n else []
        before = [prices[0], *prices[:-1]] if n else []
        coins = rng.random(n) < 0.5
        sells = [
            price < last or (price == last and bool(coin))
            for price, last, coin in zip(prices, before, coins, strict=True)
        ]
        trades = n if bar.trades < 0 else bar.trades
        ordinal = bar.open_ms // MINUTE_MS
        return Path(
            open_ms=bar.open_ms,
            close_ms=end_ms - 1 if bar.close_ms < 0 else bar.close_ms,
            open_e8=bar.open_e8,
            first_id=ordinal * SLOTS,
            first_trade_id=ordinal * _TRADE_IDS_PER_BAR,
            times=_times(bar.open_ms, end_ms, n, rng),
            price_e8=np.array(prices, dtype=np.int64),
            quantity_e8=np.array(quantities, dtype=np.int64),
            quote_e8=np.array([p * q // E8 for p, q in zip(prices, quantities, strict=True)], dtype=np.int64),
            buyer_is_maker=np.array(sells, dtype=np.bool_),
            counts=np.array(_shares(trades, np.ones(n), 1) if n else [], dtype=np.int64),
        )


def _interval_of(file: KlineFile) -> int:
    """The commonest distance between open times. Raises DataError when it is no known interval."""
    steps, counts = np.unique(np.diff(file.bars.open_ms), return_counts=True)
    interval_ms = int(steps[counts.argmax()]) if steps.size else MINUTE_MS
    if name_of(interval_ms) is None:
        raise DataError(f"{file.symbol}: bars {interval_ms} ms apart are no interval of the exchange")
    return interval_ms


def _finest(symbol: str, bars: BarTable) -> tuple[int, int]:
    """Tick and step, in 1e-8, on which every price and volume of the file lies; today's rules where they are finer."""
    tick, step = (KNOWN[symbol].tick_e8, KNOWN[symbol].step_e8) if symbol in KNOWN else (E8, E8)
    for prices in bars[2:6]:
        tick = _grid(prices, tick)
    return tick, _grid(bars.volume_e8, step)


def _grid(values: np.ndarray, unit: int) -> int:
    """The largest power of ten up to `unit` that divides all."""
    while (values % unit).any():
        unit //= 10
    return unit


def _spec(file: KlineFile, interval_ms: int, tick_e8: int, step_e8: int) -> Spec:
    """The published rules: as fine as the file, but with lots at ticks whole counts of 1e-8."""
    while tick_e8 * step_e8 % E8:
        step_e8 *= 10
    base, quote = assets_of(file.symbol)
    price = float(np.median(file.bars.close_e8[:5000])) / E8
    turnover = float(np.median(file.bars.volume_e8[:5000])) / E8 * price
    minute = max(turnover * MINUTE_MS / interval_ms, price * step_e8 / E8 * 100)
    return Spec(file.symbol, base, quote, tick_e8, step_e8, price, minute, minute * 0.1)


def _prices(bar: Bar, tick_e8: int, step_e8: int, rng: np.random.Generator) -> list[int]:
    """Ticks of each trade: a clipped random bridge through the waypoints."""
    lots = bar.volume_e8 // step_e8
    if lots == 0 or bar.trades == 0:
        return []
    opened, high, low, closed = (price // tick_e8 for price in bar[2:6])
    extremes = [price for price in (high, low) if price not in (opened, closed)]
    needed = len(extremes) + (1 if not extremes and opened == closed else 2)
    wanted = min(SLOTS, lots, SLOTS if bar.trades < 0 else bar.trades)
    n = max(wanted, needed)
    # A rising bar tends to make its low first.
    rising = bool(rng.random() < (0.75 if closed >= opened else 0.25))
    order = sorted(extremes, reverse=not rising)
    slots = np.sort(rng.permutation(np.arange(1, max(n - 1, 1)))[: len(order)]).tolist()
    points = [Waypoint(0, opened), *map(Waypoint, slots, order)]
    points += [Waypoint(n - 1, closed)] if n > 1 else []
    return _bridged(points, low, high, rng)


def _bridged(points: list[Waypoint], low: int, high: int, rng: np.random.Generator) -> list[int]:
    ticks = [points[0].ticks]
    spread = (high - low) / math.sqrt(SLOTS)
    for start, stop in zip(points, points[1:], strict=False):
        steps = stop.slot - start.slot
        noise = np.cumsum(rng.standard_normal(steps)) * spread * 0.7
        share = np.arange(1, steps + 1) / steps
        line = start.ticks + (stop.ticks - start.ticks) * share + noise - noise[-1] * share
        ticks += np.clip(np.rint(line), low, high).astype(np.int64).tolist()[:-1]
        ticks.append(stop.ticks)
    return ticks


def _shares(total: int, weights: np.ndarray, unit: int) -> list[int]:
    """`total` split by weight into positive whole parts (as far as it reaches), each times `unit`; nothing is lost."""
    n = len(weights)
    spare = max(total - n, 0)
    cuts = [int(cut * spare) for cut in np.cumsum(weights) / weights.sum()]
    cuts[-1] = spare
    parts = [cut - last for cut, last in zip(cuts, [0, *cuts], strict=False)]
    ones = [1] * min(total, n) + [0] * max(n - total, 0)
    return [(part + one) * unit for part, one in zip(parts, ones, strict=True)]


def _times(open_ms: int, end_ms: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rising times inside the bar; the first trade opens it."""
    if n == 0:
        return np.empty(0, dtype=np.int64)
    slot = max((end_ms - open_ms) // n, 1)
    times = open_ms + np.arange(n, dtype=np.int64) * slot + rng.integers(0, slot, n)
    times[0] = open_ms
    return times
