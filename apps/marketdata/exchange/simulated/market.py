"""What does the synthetic market do in this minute? A pure function of (seed, symbol, absolute minute).

A day is one block. Its first and last price are anchors: base price times bounded noise of several periods, so that
prices stay in a band for years and any day can be computed on its own. Between the anchors runs a chain of regimes.
Inside a minute sixty aggregate trades lead from the previous close to this close; the bar is their sum.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.engine.values import E8
from apps.marketdata.exchange.simulated.bars import IDS_PER_MINUTE, BarTable, Path, joined
from apps.marketdata.exchange.simulated.intervals import DAY_MS, MINUTE_MS
from apps.marketdata.exchange.simulated.noise import generator, key_of, uniform
from apps.marketdata.exchange.simulated.symbols import Spec, spec_of

MINUTES = 1440
SLOTS = IDS_PER_MINUTE
SLOT_MS = MINUTE_MS // SLOTS
# The market was "listed" then; nothing exists before, as on a real exchange.
LISTED_MS = 1_704_067_200_000
_FIRST_DAY = LISTED_MS // DAY_MS
_OCTAVES = ((1, 0.02), (3, 0.04), (11, 0.08), (37, 0.12), (127, 0.15), (509, 0.20))
_SHORTEST, _LONGEST = 15, 30
_SWING_LENGTHS = 5  # a swinging stretch lasts as long as five others
_SWING_MINUTES = (20.0, 22.0)
_CALM_TO_LIVELY = 1.3  # a stretch's volatility is its regime's, times or over this
_MOST_SEGMENTS = MINUTES // _SHORTEST
_COMMON = 0.4
_TRADES_PER_MINUTE_IDS = 10_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Regime(NamedTuple):
    """A mood of the market: minute volatility in bps, direction of drift, height of swings, weight, volume.

    `swing` is the largest drift per minute of an up and down that repeats, in units of the minute volatility.
    """

    name: str
    sigma_bps: float
    direction: int
    swing: float
    share: float
    volume: float


# Chosen so that three simple policies on one-minute bars, deciding every five, find something to do several times an
# hour net of 12 bps a side. It is far more predictable than a real market: profits here mean nothing.
REGIMES = (
    Regime("bull", 34.0, 1, 0.0, 0.07, 1.1),
    Regime("bear", 44.0, -1, 0.0, 0.07, 1.2),
    Regime("swing", 24.0, 0, 4.0, 0.82, 0.8),
    Regime("turbulent", 90.0, 0, 0.0, 0.04, 2.0),
)
_BULL, _BEAR = 0, 1
_DRIFT_SIGMAS = (1.0, 1.4)


class Plan(NamedTuple):
    """The regimes of a day: per minute the regime's number, volatility and drift (in log price)."""

    regime: Ints
    sigma: Floats
    drift: Floats


class Block(NamedTuple):
    """One symbol's day: the bars, and the trades they are made of as (minute, slot) arrays."""

    table: BarTable
    ticks: Ints
    steps: Ints
    offsets_ms: Ints
    sells: npt.NDArray[np.bool_]
    counts: Ints


class SyntheticMarket:
    """A market for each symbol, from one seed. Holds nothing but caches."""

    interval_ms = MINUTE_MS

    def __init__(self, *, seed: int, symbols: tuple[str, ...]) -> None:
        self.seed = seed
        self.specs = {symbol: spec_of(symbol) for symbol in symbols}
        self._block = lru_cache(maxsize=3 * len(symbols))(self._make_block)
        self._table = lru_cache(maxsize=64 * len(symbols))(lambda symbol, day: self._block(symbol, day).table)
        self.path = lru_cache(maxsize=64 * len(symbols))(self._make_path)

    def first_open(self, symbol: str) -> int:
        return LISTED_MS

    def key(self, symbol: str) -> int:
        return key_of(self.seed, symbol)

    def bar_open(self, symbol: str, ts_ms: int) -> int | None:
        """Open of the newest bar that has begun by then."""
        return ts_ms // MINUTE_MS * MINUTE_MS if ts_ms >= LISTED_MS else None

    def next_close(self, symbol: str, after_ms: int) -> int | None:
        """The first moment after `after_ms` at which a bar is over."""
        return max(after_ms // MINUTE_MS * MINUTE_MS, LISTED_MS) + MINUTE_MS

    def table(self, symbol: str, start_ms: int, stop_ms: int) -> BarTable:
        """Whole bars with start <= open < stop, whatever the clock says."""
        first = max(-(-start_ms // MINUTE_MS), LISTED_MS // MINUTE_MS)
        stop = -(-stop_ms // MINUTE_MS)
        parts = []
        for day in range(first // MINUTES, -(-stop // MINUTES)) if stop > first else ():
            rows = slice(max(first - day * MINUTES, 0), min(stop - day * MINUTES, MINUTES))
            parts.append(self._table(symbol, day).part(rows))
        return joined(parts)

    def regime_at(self, symbol: str, ts_ms: int) -> str:
        """The name of the regime in force: for tests and the curious; it is not published."""
        day, minute = divmod(ts_ms // MINUTE_MS, MINUTES)
        plan = draw_plan(generator(key_of(self.seed, symbol, "plan"), day), self.specs[symbol])
        return REGIMES[int(plan.regime[minute])].name

    def _make_block(self, symbol: str, day: int) -> Block:
        spec = self.specs[symbol]
        plan = draw_plan(generator(key_of(self.seed, symbol, "plan"), day), spec)
        rng = generator(key_of(self.seed, symbol, "minutes"), day)
        common = generator(key_of(self.seed, "every symbol", "minutes"), day).standard_normal(MINUTES)
        shocks = _COMMON * common + math.sqrt(1.0 - _COMMON**2) * rng.standard_normal(MINUTES)
        sigma = plan.sigma * np.exp(0.3 * rng.standard_normal(MINUTES))
        closes = walk(plan, sigma * shocks, self._anchor(spec, day), self._anchor(spec, day + 1))
        return build_block(spec, day, plan, sigma, closes, rng)

    def _anchor(self, spec: Spec, day: int) -> float:
        """Log price at midnight."""
        level = math.log(spec.base_price)
        for period, amplitude in _OCTAVES:
            block, place = divmod(day, period)
            left, right = (uniform(key_of(self.seed, spec.symbol, "anchor"), period, b) for b in (block, block + 1))
            share = place / period
            level += amplitude * (left + (right - left) * share * share * (3.0 - 2.0 * share))
        return level

    def _make_path(self, symbol: str, open_ms: int) -> Path:
        spec, minute = self.specs[symbol], open_ms // MINUTE_MS
        day, row = divmod(minute, MINUTES)
        block = self._block(symbol, day)
        ticks, steps = block.ticks[row], block.steps[row]
        return Path(
            open_ms=open_ms,
            close_ms=open_ms + MINUTE_MS - 1,
            open_e8=int(ticks[0]) * spec.tick_e8,
            first_id=minute * SLOTS,
            first_trade_id=minute * _TRADES_PER_MINUTE_IDS,
            times=open_ms + block.offsets_ms[row],
            price_e8=ticks * spec.tick_e8,
            quantity_e8=steps * spec.step_e8,
            quote_e8=ticks * steps * (spec.tick_e8 * spec.step_e8 // E8),
            buyer_is_maker=block.sells[row],
            counts=block.counts[row],
        )


def draw_plan(rng: np.random.Generator, spec: Spec) -> Plan:
    """A chain of regimes that fills a day. No regime follows itself.

    Trends lean against the drift planned so far, so that the day needs little bending to meet its anchor.
    """
    lengths = rng.integers(_SHORTEST, _LONGEST + 1, _MOST_SEGMENTS)
    choices, strengths = rng.random((_MOST_SEGMENTS, 2)), rng.random(_MOST_SEGMENTS)
    periods = rng.uniform(*_SWING_MINUTES, _MOST_SEGMENTS)
    regime, sigma, drift = np.zeros(MINUTES, np.int64), np.zeros(MINUTES), np.zeros(MINUTES)
    start, previous, planned = 0, -1, 0.0
    for segment in range(_MOST_SEGMENTS):
        number = _choose(float(choices[segment, 0]), float(choices[segment, 1]), previous, planned)
        mood, strength = REGIMES[number], float(strengths[segment])
        stop = min(start + int(lengths[segment]) * (_SWING_LENGTHS if mood.swing else 1), MINUTES)
        stop = MINUTES if MINUTES - stop < _SHORTEST else stop
        volatility = mood.sigma_bps * spec.liveliness / 10_000.0 * _CALM_TO_LIVELY ** (2.0 * strength - 1.0)
        speed = mood.direction * (_DRIFT_SIGMAS[0] + strength * (_DRIFT_SIGMAS[1] - _DRIFT_SIGMAS[0])) * volatility
        phase = 2.0 * math.pi / float(periods[segment]) * np.arange(stop - start)
        regime[start:stop], sigma[start:stop] = number, volatility
        drift[start:stop] = speed + mood.swing * volatility * np.cos(phase)
        start, previous, planned = stop, number, planned + speed * (stop - start)
        if stop == MINUTES:
            break
    return Plan(regime, sigma, drift)


def _choose(choice: float, lean: float, previous: int, planned: float) -> int:
    shares = [0.0 if number == previous else regime.share for number, regime in enumerate(REGIMES)]
    left = choice * sum(shares)
    number = 0
    while number < len(shares) - 1 and left >= shares[number]:
        left -= shares[number]
        number += 1
    if number in (_BULL, _BEAR) and previous not in (_BULL, _BEAR):
        against = _BEAR if planned > 0 else _BULL
        return against if lean < 0.7 else (_BULL + _BEAR - against)
    return number


def walk(plan: Plan, shocks: Floats, first: float, last: float) -> Floats:
    """Log prices at the minute borders (1441 of them), from anchor to anchor."""
    levels = np.concatenate(([0.0], np.cumsum(plan.drift + shocks)))
    # What the day lacks to its anchor is made up evenly.
    bend = np.arange(MINUTES + 1) * ((last - first - levels[-1]) / MINUTES)
    return np.asarray(first + levels + bend, dtype=np.float64)


def build_block(spec: Spec, day: int, plan: Plan, sigma: Floats, closes: Floats, rng: np.random.Generator) -> Block:
    """Trades inside every minute of the day, and the bars they sum to."""
    ticks = _prices(spec, sigma, closes, rng)
    before = np.concatenate((ticks[:, :1], ticks[:, :-1]), axis=1)
    sells = np.where(ticks == before, rng.random(ticks.shape) < 0.5, ticks < before)
    moves = np.abs(np.diff(closes)) / sigma
    notional = spec.minute_notional * _volumes(plan) * np.exp(0.45 * rng.standard_normal(MINUTES)) * (0.6 + 0.4 * moves)
    lots = notional / np.exp(closes[1:]) * (E8 / spec.step_e8)
    weights = rng.standard_exponential(ticks.shape) ** 1.5
    steps = np.maximum(np.rint(weights * (lots / weights.sum(axis=1))[:, None]), 1.0).astype(np.int64)
    offsets = np.arange(SLOTS) * SLOT_MS + rng.integers(0, SLOT_MS, ticks.shape)
    offsets[:, 0] = 0
    counts = 1 + rng.standard_exponential(ticks.shape).astype(np.int64) * 2
    table = _sums(spec, day, ticks, steps, ~sells, counts)
    return Block(table, ticks, steps, offsets, sells, counts)


def _volumes(plan: Plan) -> Floats:
    return np.array([regime.volume for regime in REGIMES])[plan.regime]


def _prices(spec: Spec, sigma: Floats, closes: Floats, rng: np.random.Generator) -> Ints:
    """Ticks of each trade: a bridge from the previous close (the first trade) to this close (the last)."""
    noise = np.cumsum(rng.standard_normal((MINUTES, SLOTS)) * (sigma / math.sqrt(SLOTS))[:, None], axis=1)
    share = np.arange(SLOTS) / (SLOTS - 1)
    bridge = noise - noise[:, :1] - (noise[:, -1:] - noise[:, :1]) * share
    logs = closes[:-1, None] + (closes[1:] - closes[:-1])[:, None] * share + bridge
    return np.maximum(np.rint(np.exp(logs) * (E8 / spec.tick_e8)), 1.0).astype(np.int64)


def _sums(spec: Spec, day: int, ticks: Ints, steps: Ints, takes: npt.NDArray[np.bool_], counts: Ints) -> BarTable:
    opens = day * DAY_MS + np.arange(MINUTES, dtype=np.int64) * MINUTE_MS
    value = ticks * steps
    unit = spec.tick_e8 * spec.step_e8 // E8
    return BarTable(
        opens,
        opens + MINUTE_MS - 1,
        ticks[:, 0] * spec.tick_e8,
        ticks.max(axis=1) * spec.tick_e8,
        ticks.min(axis=1) * spec.tick_e8,
        ticks[:, -1] * spec.tick_e8,
        steps.sum(axis=1) * spec.step_e8,
        value.sum(axis=1) * unit,
        counts.sum(axis=1),
        (steps * takes).sum(axis=1) * spec.step_e8,
        (value * takes).sum(axis=1) * unit,
    )
