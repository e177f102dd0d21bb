"""What do the soft rules find in recorded bars, and in recorded bars that were spoiled? Figures, with fixed seeds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apps.engine.quality import LIMITS, SpikeLimits, Suspicion, suspicions
from apps.engine.values import Bars
from apps.marketdata.klines_file import read_klines

MINUTE_MS = 60_000
BARS_PER_DAY = 1_440
N_HISTORY = LIMITS.window + 1
N_SPOILED = 2_000
N_CONTAMINATED = 6  # of 120 bars: 5 % of the window
LARGEST = 0.5
SIZES = (0.02, 0.03, 0.05, 0.10)
SEED = 20_260_101
TICKS_E8 = {"BTCUSDT": 10**6, "ETHUSDT": 10**6, "SOLUSDT": 10**6, "BCHUSDT": 10**6, "LINKUSDT": 10**5}
TICKS_E8 |= {"DOGEUSDT": 10**3, "XMRBTC": 10**2}
FILES = (
    "BTCUSDT-1m-2020.csv.gz",
    "BTCUSDT-1m-2021-04-15_2021-05-31.csv.gz",
    "BTCUSDT-1m-2025-01-us.csv.gz",
    "ETHUSDT-1m-2021-04-20_2021-05-20.csv.gz",
    "ETHUSDT-1m-2022-04-15_2022-07-15.csv.gz",
    "SOLUSDT-1m-2022-09_2022-12.csv.gz",
    "BCHUSDT-1m-2021-04-20_2021-05-20.csv.gz",
    "DOGEUSDT-1m-2021-04-20_2021-05-20.csv.gz",
    "LINKUSDT-1m-2021-04-20_2021-05-20.csv.gz",
    "XMRBTC-1m-2021-04-20_2021-05-20.csv.gz",
)
QUICK_FILES = (FILES[2], FILES[3], FILES[7])  # read in a second; among them the hardest


class Series(NamedTuple):
    """One recorded file."""

    name: str
    symbol: str
    bars: Bars

    @property
    def days(self) -> float:
        return self.bars.n / BARS_PER_DAY

    def suspicions(self, bars: Bars, history: Bars, limits: SpikeLimits = LIMITS) -> list[Suspicion]:
        return suspicions(bars, history, tick_e8=TICKS_E8[self.symbol], interval_ms=MINUTE_MS, limits=limits)


class Found(NamedTuple):
    """What was suspected in bars as they are, where nothing is known to be wrong."""

    n_suspects: int
    n_borne_out: int


class Crash(NamedTuple):
    """A stretch of a recorded file in which the market itself did the incredible."""

    name: str
    file: str
    first: str
    last: str


class Recall(NamedTuple):
    """Of spoiled bars: how many were suspected, and how many of them the true next bar would wrongly bear out."""

    n: int
    n_caught: int
    n_wrongly_kept: int

    @property
    def share(self) -> float:
        return self.n_caught / self.n


def load(data: Path, name: str) -> Series:
    """A recorded file of one-minute bars."""
    read = read_klines(data / "klines" / "1m" / name, now_ms=2**42)
    return Series(name.removesuffix(".csv.gz"), read.symbol, read.bars)


def found(series: Series) -> Found:
    """Judge a file from its first bar to its last."""
    entries = series.suspicions(series.bars, series.bars.slice(0, 0))
    return Found(len(entries), sum(entry.is_kept for entry in entries))


def recall(series: Series, *, size: float | None, contaminated: bool, limits: SpikeLimits = LIMITS) -> Recall:
    """Push the close of 2,000 random bars away, each by itself, and ask what the rules say of it.

    `size` is a fraction of the true close, up or down; None draws it between 2 and 50 %, evenly in its logarithm. The
    bar's extremes are stretched to hold the new close, everything else stays true. A contaminated window had 6 of its
    120 bars spoiled in the same way before, unnoticed.
    """
    rng = np.random.Generator(np.random.PCG64([SEED, FILES.index(f"{series.name}.csv.gz"), contaminated]))
    caught = kept = 0
    for row in rng.integers(N_HISTORY, series.bars.n - 1, N_SPOILED):
        history, block = series.bars.slice(row - N_HISTORY, row), series.bars.slice(row, row + 2)
        if contaminated:
            history = spoiled(history, rng.choice(np.arange(1, N_HISTORY), N_CONTAMINATED, replace=False), None, rng)
        entries = series.suspicions(spoiled(block, np.array([0]), size, rng), history, limits)
        caught += bool(entries) and entries[0].row == 0
        kept += bool(entries) and entries[0].row == 0 and entries[0].is_kept
    return Recall(N_SPOILED, caught, kept)


def spoiled(bars: Bars, rows: Iterable[int], size: float | None, rng: np.random.Generator) -> Bars:
    """The bars with the close of these rows pushed up or down."""
    bars = Bars(*(column.copy() for column in bars))
    for row in rows:
        by = np.exp(rng.uniform(np.log(SIZES[0]), np.log(LARGEST))) if size is None else size
        close = round(int(bars.close_e8[row]) * (1.0 + by * rng.choice((-1.0, 1.0))))
        bars.close_e8[row] = close
        bars.high_e8[row], bars.low_e8[row] = max(bars.high_e8[row], close), min(bars.low_e8[row], close)
    return bars


CRASHES = (
    Crash("Black Thursday", FILES[0], "2020-03-12T10:00", "2020-03-13T04:00"),
    Crash("19 May 2021, BTC", FILES[1], "2021-05-19T12:00", "2021-05-19T14:30"),
    Crash("19 May 2021, ETH", FILES[3], "2021-05-19T12:00", "2021-05-19T14:30"),
    Crash("19 May 2021, DOGE", FILES[7], "2021-05-19T12:00", "2021-05-19T14:30"),
    Crash("19 May 2021, LINK", FILES[8], "2021-05-19T12:00", "2021-05-19T14:30"),
    Crash("19 May 2021, BCH", FILES[6], "2021-05-19T12:00", "2021-05-19T14:30"),
    Crash("19 May 2021, XMR/BTC", FILES[9], "2021-05-19T12:00", "2021-05-19T14:30"),
    Crash("June 2022, ETH", FILES[4], "2022-06-12T00:00", "2022-06-19T00:00"),
    Crash("November 2022, SOL", FILES[5], "2022-11-08T00:00", "2022-11-11T00:00"),
    Crash("29 December 2022, SOL", FILES[5], "2022-12-29T22:00", "2022-12-29T23:00"),
)


def crash_bars(series: Series, crash: Crash) -> tuple[Bars, Bars]:
    """The bars of a crash, and those that a desk would have stored before it."""
    first, last = (int(np.datetime64(text, "ms").astype(np.int64)) for text in (crash.first, crash.last))
    start, stop = np.searchsorted(series.bars.open_time_ms, (first, last))
    return series.bars.slice(int(start) - N_HISTORY, int(start)), series.bars.slice(int(start), int(stop))


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def file_row(series: Series, clean: Recall, contaminated: Recall) -> str:
    """The row of a file in the documentation."""
    here = found(series)
    return (
        f"| {series.name} | {series.bars.n:,} | {here.n_suspects} | {here.n_suspects / series.days:.2f} "
        f"| {here.n_borne_out} | {percent(clean.share)} | {percent(contaminated.share)} "
        f"| {percent(clean.n_wrongly_kept / clean.n)} |"
    )


def recalls(series: Series, size: float | None = None) -> tuple[Recall, Recall]:
    """Recall with a clean and with a contaminated window."""
    return recall(series, size=size, contaminated=False), recall(series, size=size, contaminated=True)


def pooled(series: list[Series], shares: list[float]) -> float:
    """The share for a bar drawn from all files together."""
    return sum(entry.bars.n * share for entry, share in zip(series, shares, strict=True)) / sum(
        entry.bars.n for entry in series
    )
