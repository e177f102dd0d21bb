"""Is a policy's declared warm-up long enough? Its signals from many starts, against those of a longer memory.

Every start is later than the first bar by at least as many bars as are compared, so the run it is compared with has
always seen more. A start *differs* at an offset when its signal is off by more than the tolerance there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.single import Columns, single_columns
from apps.engine.values import Array1d, Array2d, Bars, IntArray1d
from apps.research.validation.policy_process import PolicyHost, PolicyProcess, PolicySource

LENGTHS = (199, 299, 399, 499, 699, 999, 1499, 1999)
STARTS = 200
TOLERANCE, SHARE = 1e-6, 0.05
# A policy that holds until an event cannot know, from any fixed number of bars, what it would hold by then.
SLACK = 2.0
# Shares are means over so many neighboring offsets: one bar of 200 starts says little.
SMOOTH_BARS = 24


class Verdict(NamedTuple):
    """What counts as a difference, how many starts may differ, and how much longer than declared it may take."""

    tolerance: float
    share: float
    slack: float


@dataclass(frozen=True)
class AtLength:
    """So many bars after a start: the share of starts whose signal differs, and the largest difference."""

    bars: int
    share: float
    largest: float


@dataclass(frozen=True)
class StartupReport:
    """`enough` is the length from which on at most the allowed share differs; None when no length tried is enough."""

    name: str
    declared: int
    starts: int
    at_declared: AtLength
    at_lengths: tuple[AtLength, ...]
    enough: int | None
    slack: float

    @property
    def holds(self) -> bool:
        return self.enough is not None and self.enough <= self.slack * self.declared


def startup_policy(
    host: PolicyHost,
    source: PolicySource,
    bars: Bars,
    *,
    starts: int = STARTS,
    tolerance: float = TOLERANCE,
    share: float = SHARE,
    slack: float = SLACK,
    progress: Callable[[int], None] = lambda n: None,
) -> StartupReport:
    """Try one policy from `starts` places. Raises InvalidInput when it cannot be loaded or bars are too few."""
    columns = single_columns(bars)
    with PolicyProcess(host, source) as process:
        reach = reach_of(max(LENGTHS[-1], 2 * process.warm_up), bars.n)
        whole = process.batch(columns)
        progress(bars.n)
        at = start_points(bars.n, reach, starts)
        off = np.zeros((at.shape[0], reach))
        for row, first in zip(off, at.tolist(), strict=True):
            row[:] = _apart(process.batch(_part(columns, first, first + reach)), whole[first : first + reach])
        progress(bars.n)
        verdict = Verdict(tolerance, share, slack)
        return judged(source.policy_id, process.warm_up, off, verdict)


def reach_of(longest: int, n: int) -> int:
    """How many bars after a start are compared. Raises InvalidInput when so many are not there."""
    reach = longest + SMOOTH_BARS
    if n < 2 * reach + 1:
        raise InvalidInput(f"needs at least {2 * reach + 1} bars, not {n}", field="bars")
    return reach


def start_points(n: int, reach: int, starts: int) -> IntArray1d:
    """Starts that have `reach` bars before and after them, spread evenly."""
    return np.unique(np.linspace(reach, n - reach, starts).astype(np.int64))


def judged(
    name: str, declared: int, off: Array2d, verdict: Verdict, lengths: tuple[int, ...] = LENGTHS
) -> StartupReport:
    """The report on differences by start and offset, the offset counted from the first bar."""
    differing = off > verdict.tolerance
    shares = differing.mean(axis=0)
    total = np.concatenate([[0.0], np.cumsum(shares)])
    smooth = (total[SMOOTH_BARS:] - total[:-SMOOTH_BARS]) / SMOOTH_BARS
    above = np.flatnonzero(smooth > verdict.share)
    # Offsets count from 0: after n bars the newest signal is at offset n - 1.
    enough = int(above[-1]) + 2 if above.size else 1
    last = off.shape[1] - SMOOTH_BARS

    def told(bars: int) -> AtLength:
        at = min(bars, off.shape[1]) - 1
        return AtLength(bars, float(shares[at]), float(off[:, at].max()))

    return StartupReport(
        name=name,
        declared=declared,
        starts=off.shape[0],
        at_declared=told(declared),
        at_lengths=tuple(told(length) for length in lengths),
        enough=enough if enough <= last else None,
        slack=verdict.slack,
    )


def _apart(one: Array1d, other: Array1d) -> Array1d:
    """Differences; a signal that is no number differs from everything but itself."""
    apart = np.abs(one - other)
    unlike = np.isnan(one) != np.isnan(other)
    return np.where(unlike, np.inf, np.nan_to_num(apart, nan=0.0))


def _part(columns: Columns, first: int, last: int) -> Columns:
    open_, high, low, close, volume = (np.ascontiguousarray(column[first:last]) for column in columns)
    return open_, high, low, close, volume
