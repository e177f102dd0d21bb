"""Does the desk know what it cannot know? Its decisions on the first bars, against those with more bars at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from apps.engine.decision import ARM_SIGNAL
from apps.engine.errors import InvalidInput
from apps.engine.observer import Observer
from apps.engine.run import RunResult
from apps.engine.values import Bars, IntArray1d
from apps.research.backtests.history import History
from apps.research.backtests.request import BacktestRequest, Ruleset
from apps.research.validation.desk_run import DESK, desk_run
from apps.research.validation.lookahead import CUTS, Leak, LookaheadReport, cut_points
from apps.research.validation.trial_market import another_future

CHECKS = ("arrival", "prefix", "future")
# What a decision is before its order meets the next bar.
BEFORE_FILL = ("arm", "base_e8", "target_lots", "mark_ticks", "position_before_lots", "cash_before_e8")


def lookahead_desk(
    history: History,
    request: BacktestRequest,
    rules: Ruleset,
    *,
    cuts: int = CUTS,
    seed: int = 1,
    progress: Callable[[int], None] = lambda n: None,
) -> LookaheadReport:
    """Run all policies, router, guards and fills at every cut: the first bars alone, and with another future.

    A decision is compared in every member (policy, probabilities, lots, guards, fill, account), equity at every bar.
    """
    bars, tick_e8 = history.bars, rules.filters.tick_e8
    whole = desk_run(bars, request, rules)
    if not (whole.decisions["arm"] >= 0).any():
        raise InvalidInput(f"the desk chose nothing in {bars.n} bars: too few to find anything", field="bars")
    progress(bars.n)
    # The decision at a cut is the one that would gain most from the bar after it.
    decided = np.searchsorted(bars.open_time_ms, whole.decisions["bar_open_ms"]) + 1
    places = np.searchsorted(decided, cut_points(bars.n, cuts, seed, 1)).clip(0, decided.shape[0] - 1)
    at = np.unique(decided[places])
    found: dict[str, list[Leak]] = {check: [] for check in CHECKS}
    found["arrival"] = _folded(bars, rules, at)
    for cut in at.tolist():
        short = desk_run(bars.slice(0, cut), request, rules)
        other = desk_run(another_future(bars, cut, seed=seed, tick_e8=tick_e8), request, rules)
        last_ms = int(bars.open_time_ms[cut - 1])
        for check, told in (("prefix", short), ("future", other)):
            said = f"in a run of the first {cut} bars" if check == "prefix" else f"the bars from {cut} on were others"
            found[check] += _leaks(check, whole, told, last_ms, bars, cut, said)
        progress(cut + bars.n)
    leaks = tuple(min(some, key=lambda leak: leak.bar) for some in found.values() if some)
    return LookaheadReport(DESK, bars.n, len(at), CHECKS, leaks)


def _folded(bars: Bars, rules: Ruleset, cuts: IntArray1d) -> list[Leak]:
    """Where the fold of bars that come one by one is not that of the same bars at once."""
    live, done = Observer(rules.observe), 0
    inactive = np.zeros(len(live.runs), np.int64)
    for cut in cuts.tolist():
        for row in range(done, cut):
            live.observe(bars.slice(row, row + 1), inactive=inactive, is_bocpd=rules.is_bocpd)
        done, batch = cut, Observer(rules.observe)
        batch.observe_many(bars.slice(0, cut), inactive=inactive, is_bocpd=rules.is_bocpd)
        one, other = (observer.core.arms[ARM_SIGNAL].copy() for observer in (live, batch))
        arms = np.flatnonzero(one.view(np.int64) != other.view(np.int64))
        if arms.size or live.state_hash() != batch.state_hash():
            arm = int(arms[0]) if arms.size else 0
            name = f"signal of {live.runs[arm].policy.policy_id}" if arms.size else "state of the fold"
            opened = int(bars.open_time_ms[cut - 1])
            said = f"{name}; the first {cut} bars were at hand at once"
            return [Leak("arrival", cut - 1, opened, _number(one[arm]), _number(other[arm]), said)]
    return []


def _leaks(
    check: str, whole: RunResult, told: RunResult, last_ms: int, bars: Bars, cut: int, said: str
) -> list[Leak]:  # fmt: skip
    """The first decision, or mark of the account, that is another with more bars at hand."""
    # A decision is committed by the bar after its own, which must be one of the first bars too.
    n = int(np.searchsorted(whole.decisions["bar_open_ms"], last_ms))
    detail = _first_difference(whole, told, n)
    if detail is None and check == "future":
        detail = _before_fill(whole, told, n)
    if detail is not None:
        row, name, blind, sighted = detail
        opened = int(whole.decisions["bar_open_ms"][row])
        bar = int(np.searchsorted(bars.open_time_ms, opened))
        return [Leak(check, bar, opened, _number(blind), _number(sighted), f"{name} of the decision; {said}")]
    first_ms = int(bars.open_time_ms[0])
    steps = (last_ms - first_ms) // _length(bars) + 1
    unlike = np.flatnonzero(whole.equity_e8[:steps] != told.equity_e8[:steps])
    if not unlike.size:
        return []
    step = int(unlike[0])
    opened = first_ms + step * _length(bars)
    bar = min(int(np.searchsorted(bars.open_time_ms, opened)), cut - 1)
    blind, sighted = float(told.equity_e8[step]), float(whole.equity_e8[step])
    return [Leak(check, bar, opened, blind / 1e8, sighted / 1e8, f"equity at the close; {said}")]


def _first_difference(whole: RunResult, told: RunResult, n: int) -> tuple[int, str, Any, Any] | None:
    """(row, name, with the first bars, with all) of the first decision that is not the same bits."""
    held = min(n, told.decisions.shape[0])
    firsts: list[tuple[int, str, Any, Any]] = []
    for left, right in ((whole.decisions, told.decisions), (whole.floats, told.floats)):
        for name in left.dtype.names:
            one = np.ascontiguousarray(left[name][:held]).view(np.int64)
            other = np.ascontiguousarray(right[name][:held]).view(np.int64)
            rows = np.flatnonzero(one != other)
            if rows.size:
                firsts.append((int(rows[0]), name, right[name][rows[0]], left[name][rows[0]]))
    unlike = whole.probabilities[:held].view(np.int64) != told.probabilities[:held].view(np.int64)
    rows = np.flatnonzero(unlike.any(axis=1))
    if rows.size:
        arm = int(np.argmax(unlike[rows[0]]))
        both = told.probabilities[rows[0], arm], whole.probabilities[rows[0], arm]
        firsts.append((int(rows[0]), f"probability of arm {arm}", *both))
    if held < n:
        firsts.append((held, "existence", 0, 1))
    # What is drawn from is named before what was drawn.
    return min(firsts, key=lambda first: (first[0], not first[1].startswith("probability"))) if firsts else None


def _before_fill(whole: RunResult, told: RunResult, row: int) -> tuple[int, str, Any, Any] | None:
    """The decision at the cut itself, whose fill may be another."""
    for left, right, names in (
        (whole.floats, told.floats, whole.floats.dtype.names),
        (whole.decisions, told.decisions, BEFORE_FILL),
    ):
        for name in names:
            one, other = left[name][row : row + 1].copy(), right[name][row : row + 1].copy()
            if one.tobytes() != other.tobytes():
                return row, name, other[0], one[0]
    return None


def _length(bars: Bars) -> int:
    return int(np.diff(bars.open_time_ms).min())


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
