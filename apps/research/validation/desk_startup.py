"""How long must the desk have seen a market before its choices no longer depend on where it began?

Every decision draws with the same uniform whatever the start (it is keyed by bar), so where the probabilities agree,
the chosen policies do. Probabilities depend on all that was learned: a desk forgets its start only as fast as it
discounts, and this tells how fast that is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from apps.engine.run import RunResult
from apps.engine.values import Array1d, Array2d
from apps.research.backtests.history import History
from apps.research.backtests.request import BacktestRequest, Ruleset
from apps.research.validation.desk_run import DESK, desk_run
from apps.research.validation.startup import SHARE, StartupReport, Verdict, judged, reach_of, start_points

STARTS = 60
LENGTHS = (199, 499, 999, 1999, 2999, 4999, 7999)
# Of the total variation distance: the mass of choices that would be others.
TOLERANCE = 0.1


def startup_desk(
    history: History,
    request: BacktestRequest,
    rules: Ruleset,
    *,
    starts: int = STARTS,
    tolerance: float = TOLERANCE,
    share: float = SHARE,
    progress: Callable[[int], None] = lambda n: None,
) -> StartupReport:
    """Compare the router's probabilities. Nothing is declared: it holds when a length tried is enough."""
    bars, length = history.bars, request.interval_ms
    reach = reach_of(LENGTHS[-1], bars.n)
    whole = desk_run(bars, request, rules)
    progress(bars.n)
    at = start_points(bars.n, reach, starts)
    off = np.zeros((at.shape[0], reach))
    for row, first in zip(off, at.tolist(), strict=True):
        part = desk_run(bars.slice(first, first + reach), request, rules)
        row[:] = _by_offset(whole, part, int(bars.open_time_ms[first]), reach, length)
        progress(reach)
    return judged(DESK, LENGTHS[-1], off, Verdict(tolerance, share, 1.0), LENGTHS)


def _by_offset(whole: RunResult, part: RunResult, first_ms: int, reach: int, length: int) -> Array1d:
    """Distance between the probabilities at each offset from the start; between decisions, that of the last one."""
    opened = part.decisions["bar_open_ms"]
    rows = np.searchsorted(whole.decisions["bar_open_ms"], opened)
    apart = variation(whole.probabilities[rows], part.probabilities)
    at = (opened - first_ms) // length
    out = np.ones(reach)
    for place, value in zip(at.tolist(), apart.tolist(), strict=True):
        if place < reach:
            out[place:] = value
    return out


def variation(one: Array2d, other: Array2d) -> Array1d:
    """Total variation distance of rows of probabilities; a row of zeros is no choice, far from every choice."""
    apart = np.abs(one - other).sum(axis=1) / 2.0
    none = (one.sum(axis=1) == 0.0) != (other.sum(axis=1) == 0.0)
    return np.asarray(np.where(none, 1.0, apart))
