"""May this bar become a row, and is it believed? Hard rules of shape refuse it, soft ones ask for a second word."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.engine.quality_reasons import FAULT_TEXT, HARD, MOVES, SOFT, BarFault
from apps.engine.quality_soft import LIMITS, Judged, SpikeLimits, judge
from apps.engine.values import Bars

__all__ = [
    "FAULT_TEXT",
    "HARD",
    "LIMITS",
    "MOVES",
    "SOFT",
    "BarFault",
    "Fault",
    "SpikeLimits",
    "Suspicion",
    "agrees",
    "borne_out",
    "keeps_the_move",
    "schema_faults",
    "suspicions",
]

CLOCK_SLACK_MS = 2_000  # how far the exchange's clock may be ahead of the one that judges


class Fault(NamedTuple):
    """The first rule that the bar in this row breaks."""

    row: int
    reason: BarFault


class Suspicion(NamedTuple):
    """The first soft rule that the bar in this row breaks, and by how much in the rule's own unit.

    `is_kept` says that the next bar of the same block bears the move out: the second word that a file of bars can
    give without anybody being asked. See `borne_out`.
    """

    row: int
    reason: BarFault
    score: float
    detail: str
    is_kept: bool


def schema_faults(bars: Bars, *, interval_ms: int, now_ms: int, slack_ms: int = CLOCK_SLACK_MS) -> list[Fault]:
    """Every bar that breaks a rule, oldest first, with the first rule it breaks. Empty means all may be stored."""
    if interval_ms <= 0:
        raise ValueError("the interval must be above 0 ms")
    if any(column.shape != (bars.n,) for column in bars):
        raise ValueError("the columns of a block of bars must be one-dimensional and equally long")
    broken = _rules(bars, interval_ms, now_ms + slack_ms)
    guilty = np.flatnonzero(np.logical_or.reduce(list(broken.values())))
    return [Fault(int(at), next(reason for reason, mask in broken.items() if mask[at])) for at in guilty]


def suspicions(
    bars: Bars, history: Bars, *, tick_e8: int, interval_ms: int, limits: SpikeLimits = LIMITS
) -> list[Suspicion]:
    """Every bar that breaks a soft rule, oldest first. Neither it nor its level measures later ones, unless it is kept.

    `history` holds the last believed bars before the block, oldest first; `limits.window` + 1 of them are enough, and
    with fewer than `limits.min_samples` returns only the rules that need no window are asked. Both must be free of
    schema faults.
    """
    if tick_e8 <= 0 or interval_ms <= 0:
        raise ValueError("tick and interval must be above 0")
    if history.n and bars.n and history.open_time_ms[-1] >= bars.open_time_ms[0]:
        raise ValueError("the history must end before the block begins")
    both = Bars(*(np.concatenate(pair) for pair in zip(history, bars, strict=True)))
    judged = judge(both, history.n, tick_e8=tick_e8, interval_ms=interval_ms, limits=limits)
    return [_suspicion(judged, int(at), history.n) for at in np.flatnonzero(judged.codes)]


def keeps_the_move(*, before_e8: int, suspect_e8: int, after_e8: int) -> bool:
    """Whether a price after a suspect keeps more than half of its move away from the last believed close."""
    moved, kept = suspect_e8 - before_e8, after_e8 - before_e8
    return 2 * kept > moved if moved > 0 else 2 * kept < moved


def borne_out(*, reason: BarFault, before_e8: int, suspect: Bars, after: Bars) -> bool:
    """Whether the bar after a suspect bears its move out: it opens or closes with more than half of it still there.

    A true crash goes on where it stood, even if the price is back a minute later; after a wrong print the market opens
    where it was. `before_e8` is the last believed close; `suspect` and `after` are one bar each. Only moves can be
    borne out so, and not by a bar that merely repeats the suspect.
    """
    if reason not in MOVES or all(mine[0] == theirs[0] for mine, theirs in zip(suspect[1:], after[1:], strict=True)):
        return False
    price = suspect.open_e8 if reason == BarFault.OPEN_GAP else suspect.close_e8
    return any(
        keeps_the_move(before_e8=before_e8, suspect_e8=int(price[0]), after_e8=int(later[0]))
        for later in (after.open_e8, after.close_e8)
    )


def agrees(one: Bars, other: Bars, *, tolerance_bps: int = 50) -> bool:
    """Whether two tellings of one bar agree: same open time, and each of the four prices within the tolerance."""
    if one.n != 1 or other.n != 1 or one.open_time_ms[0] != other.open_time_ms[0]:
        return False
    pairs = ((int(mine[0]), int(theirs[0])) for mine, theirs in zip(one[1:5], other[1:5], strict=True))
    return all(abs(mine - theirs) * 10_000 <= tolerance_bps * max(mine, theirs) for mine, theirs in pairs)


def _suspicion(judged: Judged, at: int, n_history: int) -> Suspicion:
    reason, score = SOFT[int(judged.codes[at]) - 1], float(judged.scores[at])
    return Suspicion(at - n_history, reason, score, f"{FAULT_TEXT[reason]} (score {score:.4g})", bool(judged.kept[at]))


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
