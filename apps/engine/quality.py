"""May this bar become a row? The hard rules of shape, each with its reason code; soft suspicion is not judged here."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.engine.values import Bars

CLOCK_SLACK_MS = 2_000  # how far the exchange's clock may be ahead of the one that judges


class BarFault(StrEnum):
    """Why a bar is refused. The order is the order in which the rules are asked."""

    NOT_FINITE = "not_finite"
    NOT_POSITIVE = "not_positive"
    LOW_ABOVE_BODY = "low_above_body"
    HIGH_BELOW_BODY = "high_below_body"
    NEGATIVE_VOLUME = "negative_volume"
    NEGATIVE_TRADES = "negative_trades"
    OFF_GRID = "off_grid"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    IN_FUTURE = "in_future"
    NOT_CLOSED = "not_closed"


FAULT_TEXT = {
    BarFault.NOT_FINITE: "a value is not a finite number",
    BarFault.NOT_POSITIVE: "a price is not above zero",
    BarFault.LOW_ABOVE_BODY: "low is above open or close",
    BarFault.HIGH_BELOW_BODY: "high is below open or close",
    BarFault.NEGATIVE_VOLUME: "volume is below zero",
    BarFault.NEGATIVE_TRADES: "the number of trades is below zero",
    BarFault.OFF_GRID: "open time is off the grid of the interval",
    BarFault.DUPLICATE: "open time repeats",
    BarFault.OUT_OF_ORDER: "open time is before an earlier bar's",
    BarFault.IN_FUTURE: "the bar opens in the future",
    BarFault.NOT_CLOSED: "the bar has not closed",
}


class Fault(NamedTuple):
    """The first rule that the bar in this row breaks."""

    row: int
    reason: BarFault


def schema_faults(bars: Bars, *, interval_ms: int, now_ms: int, slack_ms: int = CLOCK_SLACK_MS) -> list[Fault]:
    """Every bar that breaks a rule, oldest first, with the first rule it breaks. Empty means all may be stored."""
    if interval_ms <= 0:
        raise ValueError("the interval must be above 0 ms")
    if any(column.shape != (bars.n,) for column in bars):
        raise ValueError("the columns of a block of bars must be one-dimensional and equally long")
    broken = _rules(bars, interval_ms, now_ms + slack_ms)
    guilty = np.flatnonzero(np.logical_or.reduce(list(broken.values())))
    return [Fault(int(at), next(reason for reason, mask in broken.items() if mask[at])) for at in guilty]


def _rules(bars: Bars, interval_ms: int, limit_ms: int) -> dict[BarFault, npt.NDArray[np.bool_]]:
    # Each rule is "not (what must hold)", so that a NaN breaks it instead of slipping through.
    opens = bars.open_time_ms
    prices = np.stack((bars.open_e8, bars.high_e8, bars.low_e8, bars.close_e8))
    return {
        BarFault.NOT_FINITE: ~np.logical_and.reduce([np.isfinite(column) for column in bars]),
        BarFault.NOT_POSITIVE: ~(prices > 0).all(axis=0),
        BarFault.LOW_ABOVE_BODY: ~(bars.low_e8 <= np.minimum(bars.open_e8, bars.close_e8)),
        BarFault.HIGH_BELOW_BODY: ~(bars.high_e8 >= np.maximum(bars.open_e8, bars.close_e8)),
        BarFault.NEGATIVE_VOLUME: ~(bars.volume_e8 >= 0),
        BarFault.NEGATIVE_TRADES: ~(bars.trades >= 0),
        BarFault.OFF_GRID: ~((opens % interval_ms == 0) & (opens >= 0)),
        BarFault.DUPLICATE: _against_latest(opens, strictly_before=False),
        BarFault.OUT_OF_ORDER: _against_latest(opens, strictly_before=True),
        BarFault.IN_FUTURE: ~(opens <= limit_ms),
        BarFault.NOT_CLOSED: ~(opens + interval_ms <= limit_ms),
    }


def _against_latest(opens: npt.NDArray[np.int64], *, strictly_before: bool) -> npt.NDArray[np.bool_]:
    """Whether each open time equals (or lies before) the latest one seen ahead of it."""
    broken = np.zeros(opens.shape[0], dtype=np.bool_)
    latest = np.maximum.accumulate(opens)[:-1]
    broken[1:] = opens[1:] < latest if strictly_before else opens[1:] == latest
    return broken
