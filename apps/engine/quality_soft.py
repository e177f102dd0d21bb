"""Is this bar like the ones before it? The soft rules, asked bar by bar; a suspect is no measure for later bars.

Every rule looks back only. A move is judged by Hampel's rule: its distance from the median of the last moves, in
units of 1.4826 times their median absolute deviation (MAD), which is never taken smaller than one tick. A spike that
was let in therefore hides no later one, as it would with mean and standard deviation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from apps.engine.quality_reasons import SOFT, BarFault
from apps.engine.values import Array1d, Bars, IntArray1d
from apps.engine.windows import MAD_SCALE, WINDOW_INTS, window_floats, window_mad_nb, window_median_nb, window_push_nb


class SpikeLimits(NamedTuple):
    """What is still believed. A `_move` is a fraction of the price, a `_k` a count of robust standard deviations.

    `quiet_volume` is a multiple of the usual volume, `_tens` are powers of ten. Quiet moves and wicks are those of a
    minute; in a longer bar they may be larger by the square root of its length.
    """

    window: int = 120
    min_samples: int = 30
    spike_k: float = 10.0
    spike_move: float = 0.015
    quiet_k: float = 3.0
    quiet_move: float = 0.015
    quiet_volume: float = 4.0
    jump_move: float = 0.20
    gap_k: float = 10.0
    gap_move: float = 0.015
    wick_k: float = 10.0
    wick_move: float = 0.03
    wick_jump: float = 0.20
    trade_size_tens: float = 2.0
    counted_volume_tens: float = 1.5
    volume_tens: float = 4.0
    price_unit_slack: float = 0.1


LIMITS = SpikeLimits()

_CODE = {reason: code for code, reason in enumerate(SOFT, start=1)}
STALE_REPEAT = _CODE[BarFault.STALE_REPEAT]
MOVE_WITHOUT_VOLUME = _CODE[BarFault.MOVE_WITHOUT_VOLUME]
TRADES_WITHOUT_VOLUME = _CODE[BarFault.TRADES_WITHOUT_VOLUME]
VOLUME_WITHOUT_TRADES = _CODE[BarFault.VOLUME_WITHOUT_TRADES]
PRICE_UNIT = _CODE[BarFault.PRICE_UNIT]
JUMP = _CODE[BarFault.JUMP]
SPIKE = _CODE[BarFault.SPIKE]
QUIET_SPIKE = _CODE[BarFault.QUIET_SPIKE]
OPEN_GAP = _CODE[BarFault.OPEN_GAP]
WICK = _CODE[BarFault.WICK]
VOLUME_UNIT = _CODE[BarFault.VOLUME_UNIT]
LOG_TEN = math.log(10.0)
MINUTE_MS = 60_000

# The windows of a Memory: close to close, last close to open, beyond the body, volume, and volume per trade.
# Numbers of numpy's: numba compiles what they are handed to once, and not again for each plain constant.
N_WINDOWS = 5
_WHICH: Any = np.arange(N_WINDOWS, dtype=np.int64)
RETURN, GAP, REACH, VOLUME, SIZE = _WHICH
N_BELIEVED, COUNTS_TRADES = N_WINDOWS * WINDOW_INTS, N_WINDOWS * WINDOW_INTS + 1


class Memory(NamedTuple):
    """What the last believed bars were like: their windows, and the rows of the bars themselves."""

    values: Array1d
    heads: IntArray1d
    rows: IntArray1d


class Judged(NamedTuple):
    """Per row: the code of the first rule it breaks (0: none), by how much, and whether the next bar stays there."""

    codes: IntArray1d
    scores: Array1d
    kept: npt.NDArray[np.bool_]


def judge(bars: Bars, n_history: int, *, tick_e8: int, interval_ms: int, limits: SpikeLimits) -> Judged:
    """The soft rules for every row from `n_history` on; the rows before it are believed."""
    judged = Judged(np.zeros(bars.n, np.int64), np.zeros(bars.n), np.zeros(bars.n, np.bool_))
    # A file of six columns counts no trades; one bar among others that do has lost them.
    counts_trades = bars.n - n_history < 2 or bool(bars.trades[n_history:].any())
    judge_nb(bars, n_history, tick_e8, interval_ms, counts_trades, limits, new_memory(limits), judged)
    return judged


def new_memory(limits: SpikeLimits) -> Memory:
    """A memory without bars."""
    heads = np.zeros(N_WINDOWS * WINDOW_INTS + 2, np.int64)
    heads[: N_WINDOWS * WINDOW_INTS : WINDOW_INTS] = limits.window
    return Memory(np.zeros(N_WINDOWS * window_floats(limits.window)), heads, np.zeros(limits.window, np.int64))


@njit(cache=True, error_model="numpy", nogil=True)
def judge_nb(
    bars: Bars,
    n_history: int,
    tick_e8: int,
    interval_ms: int,
    counts_trades: bool,
    limits: SpikeLimits,
    memory: Memory,
    judged: Judged,
) -> None:
    """Walk the rows once, oldest first. A suspect whose level the next bar keeps is believed from then on."""
    pending: Any = np.int64(-1)
    for row in range(bars.open_time_ms.shape[0]):
        if pending >= 0 and stays_nb(bars, last_nb(memory), pending, row, judged.codes[pending]):
            judged.kept[pending] = True
            believe_nb(bars, pending, memory)
        pending = -1
        code, score = 0, 0.0
        if row >= n_history and memory.heads[N_BELIEVED] > 0:
            code, score = volume_rule_nb(bars, row, interval_ms, counts_trades, memory)
            if code == 0:
                code, score = price_rule_nb(bars, row, tick_e8, interval_ms, limits, memory)
            if code == 0:
                code, score = unit_rule_nb(bars, row, limits, memory)
        judged.codes[row], judged.scores[row] = code, score
        if code == 0:
            believe_nb(bars, row, memory)
        elif code in (JUMP, SPIKE, QUIET_SPIKE, OPEN_GAP):
            pending = row


@njit(cache=True, error_model="numpy", nogil=True)
def last_nb(memory: Memory) -> int:
    """The row of the last believed bar."""
    return memory.rows[(memory.heads[N_BELIEVED] - 1) % memory.rows.shape[0]]


@njit(cache=True, error_model="numpy", nogil=True)
def push_nb(memory: Memory, which: int, value: float) -> None:
    """Append to one of the windows."""
    window_push_nb(memory.values, which * 2 * memory.rows.shape[0], memory.heads, which * WINDOW_INTS, value)


@njit(cache=True, error_model="numpy", nogil=True)
def believe_nb(bars: Bars, row: int, memory: Memory) -> None:
    """Make the bar part of what later ones are measured by."""
    heads = memory.heads
    if heads[N_BELIEVED] > 0:
        before = bars.close_e8[last_nb(memory)]
        push_nb(memory, RETURN, math.log(bars.close_e8[row] / before))
        push_nb(memory, GAP, math.log(bars.open_e8[row] / before))
    push_nb(memory, REACH, reach_nb(bars, row))
    push_nb(memory, VOLUME, float(bars.volume_e8[row]))
    if bars.volume_e8[row] > 0:
        heads[COUNTS_TRADES] = 1 if bars.trades[row] > 0 else 0
    if bars.volume_e8[row] > 0 and bars.trades[row] > 0:
        push_nb(memory, SIZE, bars.volume_e8[row] / bars.trades[row])
    memory.rows[heads[N_BELIEVED] % memory.rows.shape[0]] = row
    heads[N_BELIEVED] += 1


@njit(cache=True, error_model="numpy", nogil=True)
def reach_nb(bars: Bars, row: int) -> float:
    """How far the longer wick goes beyond the body, as a log return."""
    top, bottom = max(bars.open_e8[row], bars.close_e8[row]), min(bars.open_e8[row], bars.close_e8[row])
    return max(math.log(bars.high_e8[row] / top), math.log(bottom / bars.low_e8[row]))


@njit(cache=True, error_model="numpy", nogil=True)
def stays_nb(bars: Bars, before: int, suspect: int, after: int, code: int) -> bool:
    """Whether the bar after a suspect opens or closes with more than half of its move still there.

    A true crash goes on where it stood, even if the price is back a minute later; after a wrong print the market opens
    where it was. A mere repeat of the suspect says nothing.
    """
    if repeats_nb(bars, suspect, after):
        return False
    level = bars.close_e8[before]
    moved = (bars.open_e8[suspect] if code == OPEN_GAP else bars.close_e8[suspect]) - level
    opened, closed = bars.open_e8[after] - level, bars.close_e8[after] - level
    return 2 * max(opened, closed) > moved if moved > 0 else 2 * min(opened, closed) < moved


@njit(cache=True, error_model="numpy", nogil=True)
def repeats_nb(bars: Bars, one: int, other: int) -> bool:
    """Whether two bars say the same of prices, volume and trades."""
    return (
        bars.volume_e8[one] == bars.volume_e8[other]
        and bars.close_e8[one] == bars.close_e8[other]
        and bars.open_e8[one] == bars.open_e8[other]
        and bars.high_e8[one] == bars.high_e8[other]
        and bars.low_e8[one] == bars.low_e8[other]
        and bars.trades[one] == bars.trades[other]
    )


@njit(cache=True, error_model="numpy", nogil=True)
def volume_rule_nb(bars: Bars, row: int, interval_ms: int, counts_trades: bool, memory: Memory) -> tuple[int, float]:
    """Volume that contradicts the trades or the price, and bars seen before."""
    last = last_nb(memory)
    if bars.volume_e8[row] == 0:
        if bars.trades[row] > 0:
            return TRADES_WITHOUT_VOLUME, float(bars.trades[row])
        if bars.high_e8[row] > bars.low_e8[row] or bars.close_e8[row] != bars.close_e8[last]:
            return MOVE_WITHOUT_VOLUME, math.log(bars.high_e8[row] / bars.low_e8[row])
        return 0, 0.0
    # Compared by volume first: passing all columns on for every pair would cost more than everything else here.
    volumes, rows, volume = bars.volume_e8, memory.rows, bars.volume_e8[row]
    for at in range(min(memory.heads[N_BELIEVED], rows.shape[0])):
        if volumes[rows[at]] == volume and repeats_nb(bars, row, rows[at]):
            return STALE_REPEAT, (bars.open_time_ms[row] - bars.open_time_ms[rows[at]]) / interval_ms
    if counts_trades and bars.trades[row] == 0 and memory.heads[COUNTS_TRADES] == 1:
        return VOLUME_WITHOUT_TRADES, 0.0
    return 0, 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def price_rule_nb(
    bars: Bars, row: int, tick_e8: int, interval_ms: int, limits: SpikeLimits, memory: Memory
) -> tuple[int, float]:
    """Close, open and wicks against the last believed close."""
    last = last_nb(memory)
    before = bars.close_e8[last]
    tick = tick_e8 / before
    close_ratio, open_ratio = bars.close_e8[row] / before, bars.open_e8[row] / before
    tens = abs(math.log(close_ratio)) / LOG_TEN
    if tens > 0.5 and abs(tens - math.floor(tens + 0.5)) < limits.price_unit_slack:
        return PRICE_UNIT, tens
    if abs(close_ratio - 1.0) > limits.jump_move:
        return JUMP, abs(close_ratio - 1.0)
    # Over a hole of n bars a market moves about sqrt(n) times as far.
    span = math.sqrt(max(1.0, (bars.open_time_ms[row] - bars.open_time_ms[last]) / interval_ms))
    stretch = math.sqrt(max(1.0, interval_ms / MINUTE_MS))
    # A market that really moves far trades more than usual while it does.
    is_quiet = bars.volume_e8[row] < limits.quiet_volume * median_nb(memory, VOLUME)
    if abs(close_ratio - 1.0) >= limits.spike_move:
        score = hampel_nb(memory, RETURN, math.log(close_ratio), tick, limits) / span
        if score >= limits.spike_k:
            return SPIKE, score
        if is_quiet and score >= limits.quiet_k and abs(close_ratio - 1.0) >= limits.quiet_move * stretch:
            return QUIET_SPIKE, score
    if abs(open_ratio - 1.0) >= limits.gap_move:
        score = hampel_nb(memory, GAP, math.log(open_ratio), tick, limits) / span
        if score >= limits.gap_k:
            return OPEN_GAP, score
    reach = reach_nb(bars, row)
    if reach >= limits.wick_move * stretch:
        score = hampel_nb(memory, REACH, reach, tick, limits)
        if reach > limits.wick_jump * stretch or (is_quiet and score >= limits.wick_k):
            return WICK, score
    return 0, 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def unit_rule_nb(bars: Bars, row: int, limits: SpikeLimits, memory: Memory) -> tuple[int, float]:
    """Volume in powers of ten above or below what is usual; where trades are counted, together with that per trade."""
    if bars.volume_e8[row] == 0:
        return 0, 0.0
    volume = tens_nb(memory, VOLUME, float(bars.volume_e8[row]), limits)
    if bars.trades[row] == 0:
        return (VOLUME_UNIT, abs(volume)) if abs(volume) > limits.volume_tens else (0, 0.0)
    # A burst of volume comes with trades; a change of unit moves both measures the same way.
    size = tens_nb(memory, SIZE, bars.volume_e8[row] / bars.trades[row], limits)
    if size * volume > 0.0 and abs(size) > limits.trade_size_tens and abs(volume) > limits.counted_volume_tens:
        return VOLUME_UNIT, abs(size)
    return 0, 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def tens_nb(memory: Memory, which: int, value: float, limits: SpikeLimits) -> float:
    """How many powers of ten `value` is above the window's median; 0 while the window is short."""
    if memory.heads[which * WINDOW_INTS + 1] < limits.min_samples:
        return 0.0
    usual = median_nb(memory, which)
    return math.log(value / usual) / LOG_TEN if usual > 0.0 else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def hampel_nb(memory: Memory, which: int, value: float, tick: float, limits: SpikeLimits) -> float:
    """Distance of `value` from the window's median in robust standard deviations; 0 while the window is short."""
    at, head = which * 2 * memory.rows.shape[0], which * WINDOW_INTS
    if memory.heads[head + 1] < limits.min_samples:
        return 0.0
    center = median_nb(memory, which)
    mad = window_mad_nb(memory.values, at, memory.heads, head, center)
    return abs(value - center) / (MAD_SCALE * max(mad, tick))


@njit(cache=True, error_model="numpy", nogil=True)
def median_nb(memory: Memory, which: int) -> float:
    """Median of one of the windows, which must not be empty."""
    return window_median_nb(memory.values, which * 2 * memory.rows.shape[0], memory.heads, which * WINDOW_INTS)
