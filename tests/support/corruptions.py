"""Ways in which a candle can be wrong, each with the reason it must be caught by.

A corruption of values is applied to a good block of bars that follows a good history; one of a payload to the text an
exchange would have sent. What a parser refuses never becomes a bar, so its reason is the word `unreadable`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from apps.engine.quality import BarFault, schema_faults, suspicions
from apps.engine.values import Bars
from tests.support.bars import FILTERS, MINUTE_MS, walk_bars

N_HISTORY, N_BLOCK, TARGET = 150, 4, 1
UNREADABLE = "unreadable"
NOT_FINAL = "not_final"
HOUR_MS = 60 * MINUTE_MS
PRICES = ("open_e8", "high_e8", "low_e8", "close_e8")


Spoil: TypeAlias = Callable[[Bars, Bars], Bars | None]


class Corruption(NamedTuple):
    """One way to be wrong. `spoil` is given block and history, and changes the block in place or returns another."""

    name: str
    reason: BarFault
    spoil: Spoil
    sigma: float = 0.001


class Payload(NamedTuple):
    """One way in which the text of an exchange is wrong: `where` it came from, and what to do to it."""

    name: str
    where: str
    reason: str
    spoil: Callable[[Any], Any]


def good_series(sigma: float = 0.001, seed: int = 5) -> tuple[Bars, Bars]:
    """A history of good bars and the block that follows it."""
    bars = walk_bars(N_HISTORY + N_BLOCK, seed=seed, sigma=sigma)
    return bars.slice(0, N_HISTORY), bars.slice(N_HISTORY, bars.n)


def reasons_of(history: Bars, block: Bars) -> list[tuple[int, BarFault]]:
    """What the rules say of a block, at the moment its last good bar has closed: hard ones first."""
    now_ms = int(history.open_time_ms[-1]) + (N_BLOCK + 1) * MINUTE_MS
    faults = schema_faults(block, interval_ms=MINUTE_MS, now_ms=now_ms)
    if faults:
        return [(fault.row, fault.reason) for fault in faults]
    found = suspicions(block, history, tick_e8=FILTERS.tick_e8, interval_ms=MINUTE_MS)
    return [(entry.row, entry.reason) for entry in found]


def _scaled(column: str, factor: float, *, is_shape_kept: bool = True) -> Spoil:
    def spoil(bars: Bars, history: Bars) -> None:
        values = getattr(bars, column)
        values[TARGET] = round(int(values[TARGET]) * factor)
        if is_shape_kept:
            bars.high_e8[TARGET] = max(bars.high_e8[TARGET], values[TARGET])
            bars.low_e8[TARGET] = min(bars.low_e8[TARGET], values[TARGET])

    return spoil


def _all_prices(factor: float) -> Spoil:
    def spoil(bars: Bars, history: Bars) -> None:
        for column in PRICES:
            getattr(bars, column)[TARGET] = round(int(getattr(bars, column)[TARGET]) * factor)

    return spoil


def _set(**values: int) -> Spoil:
    def spoil(bars: Bars, history: Bars) -> None:
        for column, value in values.items():
            getattr(bars, column)[TARGET] = value

    return spoil


def _shifted(by_ms: int) -> Spoil:
    def spoil(bars: Bars, history: Bars) -> None:
        bars.open_time_ms[TARGET] += by_ms

    return spoil


def _timed(change: Callable[[int], int]) -> Spoil:
    def spoil(bars: Bars, history: Bars) -> None:
        bars.open_time_ms[TARGET] = change(int(bars.open_time_ms[TARGET]))

    return spoil


def _swapped(one: str, other: str) -> Spoil:
    def spoil(bars: Bars, history: Bars) -> None:
        mine, theirs = getattr(bars, one), getattr(bars, other)
        mine[TARGET], theirs[TARGET] = int(theirs[TARGET]), int(mine[TARGET])

    return spoil


def _repeated(bars: Bars, history: Bars) -> None:
    for column in bars[1:]:
        column[TARGET] = column[TARGET - 1]


def _an_hour_old(bars: Bars, history: Bars) -> None:
    for mine, theirs in zip(bars[1:], history[1:], strict=True):
        mine[TARGET] = theirs[TARGET - 60]


def _twice(bars: Bars, history: Bars) -> Bars:
    rows = np.array([0, 1, 1, 2, 3])
    return Bars(*(np.ascontiguousarray(column[rows]) for column in bars))


def _out_of_order(bars: Bars, history: Bars) -> Bars:
    rows = np.array([0, 2, 1, 3])
    return Bars(*(np.ascontiguousarray(column[rows]) for column in bars))


def _not_a_number(bars: Bars, history: Bars) -> Bars:
    close = bars.close_e8.astype(np.float64)
    close[TARGET] = np.nan
    return bars._replace(close_e8=close)  # type: ignore[arg-type]


def _quote_volume(bars: Bars, history: Bars) -> None:
    bars.volume_e8[TARGET] = int(bars.volume_e8[TARGET]) * int(bars.close_e8[TARGET]) // 10**8


def _silent(bars: Bars, history: Bars) -> None:
    bars.volume_e8[TARGET] = bars.trades[TARGET] = 0


def _frozen(bars: Bars, history: Bars) -> None:
    for column in PRICES:
        getattr(bars, column)[TARGET] = bars.close_e8[TARGET - 1]
    bars.volume_e8[TARGET] = 0


def _still_open(bars: Bars, history: Bars) -> None:
    bars.open_time_ms[-1] += MINUTE_MS


CORRUPTIONS = (
    Corruption("close x 10, nothing else", BarFault.HIGH_BELOW_BODY, _scaled("close_e8", 10, is_shape_kept=False)),
    Corruption("close / 10, nothing else", BarFault.LOW_ABOVE_BODY, _scaled("close_e8", 0.1, is_shape_kept=False)),
    Corruption("open x 10, nothing else", BarFault.HIGH_BELOW_BODY, _scaled("open_e8", 10, is_shape_kept=False)),
    Corruption("close x 10, high with it", BarFault.PRICE_UNIT, _scaled("close_e8", 10)),
    Corruption("all prices x 10", BarFault.PRICE_UNIT, _all_prices(10)),
    Corruption("all prices / 10", BarFault.PRICE_UNIT, _all_prices(0.1)),
    Corruption("all prices x 100 (cents)", BarFault.PRICE_UNIT, _all_prices(100)),
    Corruption("all prices / 1000", BarFault.PRICE_UNIT, _all_prices(0.001)),
    Corruption("the bar of another symbol", BarFault.JUMP, _all_prices(0.058)),
    Corruption("close 30 % up", BarFault.JUMP, _scaled("close_e8", 1.3)),
    Corruption("close 30 % down", BarFault.JUMP, _scaled("close_e8", 0.7)),
    Corruption("close 2 % up", BarFault.SPIKE, _scaled("close_e8", 1.02)),
    Corruption("close 2 % down", BarFault.SPIKE, _scaled("close_e8", 0.98)),
    Corruption("close 15 % up", BarFault.SPIKE, _scaled("close_e8", 1.15)),
    Corruption("the whole bar 5 % up", BarFault.SPIKE, _all_prices(1.05)),
    Corruption("the whole bar 5 % down", BarFault.SPIKE, _all_prices(0.95)),
    Corruption("close 2.5 % up in a wild market", BarFault.QUIET_SPIKE, _scaled("close_e8", 1.025), sigma=0.004),
    Corruption("open 3 % up", BarFault.OPEN_GAP, _scaled("open_e8", 1.03)),
    Corruption("open 3 % down", BarFault.OPEN_GAP, _scaled("open_e8", 0.97)),
    Corruption("high 10 % up", BarFault.WICK, _scaled("high_e8", 1.1)),
    Corruption("high x 10", BarFault.WICK, _scaled("high_e8", 10)),
    Corruption("low 10 % down", BarFault.WICK, _scaled("low_e8", 0.9)),
    Corruption("low at one tick", BarFault.WICK, _set(low_e8=FILTERS.tick_e8)),
    Corruption("high and low swapped", BarFault.LOW_ABOVE_BODY, _swapped("high_e8", "low_e8")),
    Corruption("high and open swapped", BarFault.HIGH_BELOW_BODY, _swapped("high_e8", "open_e8")),
    Corruption("low and close swapped", BarFault.LOW_ABOVE_BODY, _swapped("low_e8", "close_e8")),
    Corruption("close 0", BarFault.NOT_POSITIVE, _set(close_e8=0)),
    Corruption("low 0", BarFault.NOT_POSITIVE, _set(low_e8=0)),
    Corruption("all zero", BarFault.NOT_POSITIVE, _set(open_e8=0, high_e8=0, low_e8=0, close_e8=0, volume_e8=0)),
    Corruption("a price below zero", BarFault.NOT_POSITIVE, _all_prices(-1)),
    Corruption("a close that is not a number", BarFault.NOT_FINITE, _not_a_number),
    Corruption("volume below zero", BarFault.NEGATIVE_VOLUME, _scaled("volume_e8", -1, is_shape_kept=False)),
    Corruption("trades below zero", BarFault.NEGATIVE_TRADES, _set(trades=-1)),
    Corruption("no volume, yet a move", BarFault.MOVE_WITHOUT_VOLUME, _silent),
    Corruption("no volume, yet trades", BarFault.TRADES_WITHOUT_VOLUME, _frozen),
    Corruption("volume, yet no trades", BarFault.VOLUME_WITHOUT_TRADES, _set(trades=0)),
    Corruption("volume x 1000", BarFault.VOLUME_UNIT, _scaled("volume_e8", 1000, is_shape_kept=False)),
    Corruption("volume / 1000", BarFault.VOLUME_UNIT, _scaled("volume_e8", 0.001, is_shape_kept=False)),
    Corruption("quote volume for base volume", BarFault.VOLUME_UNIT, _quote_volume),
    Corruption("the bar before, again", BarFault.STALE_REPEAT, _repeated),
    Corruption("the bar of an hour ago, again", BarFault.STALE_REPEAT, _an_hour_old),
    Corruption("open time 1 ms late", BarFault.OFF_GRID, _shifted(1)),
    Corruption("open time 30 s late", BarFault.OFF_GRID, _shifted(30_000)),
    Corruption("open time in seconds", BarFault.OFF_GRID, _timed(lambda ms: ms // 1000)),
    Corruption("open time in microseconds", BarFault.IN_FUTURE, _timed(lambda ms: ms * 1000)),
    Corruption("open time below zero", BarFault.OFF_GRID, _timed(lambda ms: -ms)),
    Corruption("an hour ahead (a time zone)", BarFault.IN_FUTURE, _shifted(HOUR_MS)),
    Corruption("an hour back (a time zone)", BarFault.OUT_OF_ORDER, _shifted(-HOUR_MS)),
    Corruption("one interval back", BarFault.DUPLICATE, _shifted(-MINUTE_MS)),
    Corruption("the same bar twice", BarFault.DUPLICATE, _twice),
    Corruption("two bars in the wrong order", BarFault.OUT_OF_ORDER, _out_of_order),
    Corruption("a bar that has not closed", BarFault.NOT_CLOSED, _still_open),
)


def rest_body() -> list[list[Any]]:
    """A klines body of two bars."""
    first = [1_700_000_040_000, "60000.10", "60010.00", "59990.00", "60005.55", "1.5", 1_700_000_099_999]
    second = [1_700_000_100_000, "60005.55", "60020.00", "60000.00", "60011.00", "2.5", 1_700_000_159_999]
    return [[*row, "90000.0", 12, "0.7", "42000.0", "0"] for row in (first, second)]


def kline_frame() -> dict[str, Any]:
    """A closed kline as the stream sends it."""
    return {
        **{"e": "kline", "E": 1_700_000_100_005, "s": "BTCUSDT"},
        "k": {
            **{"t": 1_700_000_040_000, "T": 1_700_000_099_999, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 12, "n": 12},
            **{"o": "60000.10", "h": "60010.00", "l": "59990.00", "c": "60005.55", "v": "1.5", "x": True},
            **{"q": "90000.0", "V": "0.7", "Q": "42000.0", "B": "0"},
        },
    }


def _cell(place: int, value: Any) -> Callable[[Any], Any]:
    def spoil(rows: Any) -> Any:
        rows[1][place] = value
        return rows

    return spoil


def _field(key: str, value: Any) -> Callable[[Any], Any]:
    def spoil(frame: Any) -> Any:
        frame["k"][key] = value
        return json.dumps(frame)

    return spoil


def _without(key: str) -> Callable[[Any], Any]:
    def spoil(frame: Any) -> Any:
        del frame["k"][key]
        return json.dumps(frame)

    return spoil


PAYLOADS = (
    Payload("the text NaN", "REST", UNREADABLE, _cell(4, "NaN")),
    Payload("the text Infinity", "REST", UNREADABLE, _cell(2, "Infinity")),
    Payload("an empty price", "REST", UNREADABLE, _cell(1, "")),
    Payload("null for a price", "REST", UNREADABLE, _cell(3, None)),
    Payload("a binary float for a price", "REST", UNREADABLE, _cell(4, 60005.55)),
    Payload("a decimal comma", "REST", UNREADABLE, _cell(4, "60005,55")),
    Payload("a price finer than 1e-8", "REST", UNREADABLE, _cell(4, "60005.555555555")),
    Payload("a price in units of 1e-8", "REST", UNREADABLE, _cell(4, "6000555000000")),
    Payload("a time as text", "REST", UNREADABLE, _cell(0, "1700000100000")),
    Payload("a number of trades with decimals", "REST", UNREADABLE, _cell(8, 12.5)),
    Payload("a row cut short", "REST", UNREADABLE, lambda rows: [rows[0], rows[1][:5]]),
    Payload("an error in place of rows", "REST", UNREADABLE, lambda rows: {"code": -1000, "msg": "unknown"}),
    Payload("the text NaN", "stream", UNREADABLE, _field("c", "NaN")),
    Payload("a field missing", "stream", UNREADABLE, _without("v")),
    Payload("closed is not yes or no", "stream", UNREADABLE, _field("x", 1)),
    Payload("a frame cut short", "stream", UNREADABLE, lambda frame: json.dumps(frame)[:-20]),
    Payload("a bar that is not final", "stream", NOT_FINAL, _field("x", False)),
)


def catalogue_table() -> str:
    """The catalogue as the documentation shows it."""
    head = ["| what is wrong | where it is seen | reason |", "|---|---|---|"]
    values = [f"| {entry.name} | values | `{entry.reason.value}` |" for entry in CORRUPTIONS]
    payloads = [f"| {entry.name} | {entry.where} payload | `{entry.reason}` |" for entry in PAYLOADS]
    return "\n".join([*head, *values, *payloads])
