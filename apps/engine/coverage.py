"""Do the forecasts of rewards err as often as they say? One conformal monitor per arm, fed at every learned reward.

The forecast is the posterior mean at the context of a grid bar, the outcome the shadow reward of the position noted
there, known and learned two grid bars later. What is fed is a function of the views of grid bars and of opens, so the
monitors can be rebuilt from bars; bar by bar or from a whole history, they hold the same bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apps.engine.conformal import Coverage, conformal_batch_nb, conformal_state, coverage
from apps.engine.decision import ARM_LOC, ARM_SIGNAL, GATE_FAULTY, GATE_GAP, GATE_WARM_UP
from apps.engine.observe import REWARD_CLIP
from apps.engine.observe_state import ROW_INDEX, ROW_MISSING, S_SIGMA, ViewRows
from apps.engine.values import Array1d, Array2d, IntArray1d, IntArray2d
from apps.engine.view import View

NOT_LEARNED_FROM = GATE_WARM_UP | GATE_GAP | GATE_FAULTY


class Forecast(NamedTuple):
    """What was expected of each arm at a grid bar; `gates` tell which arms will learn."""

    bar_index: int
    means: Array1d
    gates: IntArray1d


class RewardCoverage:
    """The monitors of one symbol. Feed each view once and in order, or a whole history before the first."""

    def __init__(self, n_arms: int, horizon_bars: int) -> None:
        self.horizon = horizon_bars
        self.states = [conformal_state() for _ in range(n_arms)]
        # Two shadow positions run side by side, one begun at even grid bars and one at odd ones.
        self.open: list[Forecast | None] = [None, None]

    def follow(self, view: View, rewards: Array1d) -> None:
        """Judge what this view has learned, which are `rewards`, and keep its forecasts."""
        if not view.is_grid:
            return
        side = view.record.bar_index // self.horizon % 2
        kept, self.open[side] = self.open[side], None
        if kept is not None and view.last_applied_grid_bar == kept.bar_index:
            self._judge(kept.means[None, :], rewards[None, :].copy(), kept.gates[None, :])
        if view.record.context_missing == 0 and view.record.sigma_bar > 0.0:
            self.open[side] = Forecast(view.record.bar_index, view.arms[ARM_LOC].copy(), view.gates.copy())

    def follow_history(self, index: IntArray1d, open_: Array1d, rows: ViewRows, n_rows: int) -> None:
        """Feed the views of a history's grid bars; `index` and `open_` are of all its bars."""
        at, arms, gates = rows.ints[:n_rows, ROW_INDEX], rows.arms[:n_rows], rows.gates[:n_rows]
        sigma = rows.floats[:n_rows, S_SIGMA]
        is_kept = (rows.ints[:n_rows, ROW_MISSING] == 0) & (sigma > 0.0)
        ends = _next_of_side(at // self.horizon % 2)
        entry = np.searchsorted(index, at) + 1
        leave = np.minimum(entry + self.horizon, index.shape[0] - 1)
        # Without a gap the bar so many rows on is the bar so many indices on.
        is_learned = is_kept & (ends < n_rows) & (index[leave] == at + 1 + self.horizon)
        picked = np.flatnonzero(is_learned)
        picked = picked[np.argsort(ends[picked], kind="stable")]
        returns = open_[leave[picked]] / open_[entry[picked]] - 1.0
        moves = returns / (sigma[picked] * math.sqrt(self.horizon))
        rewards = np.clip(arms[picked, ARM_SIGNAL] * moves[:, None], -REWARD_CLIP, REWARD_CLIP)
        self._judge(arms[picked, ARM_LOC], rewards, gates[picked])
        for row in np.flatnonzero(is_kept & (ends == n_rows)):
            side = int(at[row]) // self.horizon % 2
            self.open[side] = Forecast(int(at[row]), arms[row, ARM_LOC].copy(), gates[row].copy())

    def report(self) -> list[Coverage]:
        """How each arm's forecasts have done."""
        return [coverage(f, i) for f, i in self.states]

    def _judge(self, means: Array2d, rewards: Array2d, gates: IntArray2d) -> None:
        learns = np.equal(gates & NOT_LEARNED_FROM, 0)
        # The router refuses the whole observation when one reward is not a number.
        learns &= np.all(np.isfinite(np.where(learns, rewards, 0.0)), axis=1, keepdims=True)
        for k, (f, i) in enumerate(self.states):
            rows = learns[:, k]
            forecasts, outcomes = np.ascontiguousarray(means[rows, k]), np.ascontiguousarray(rewards[rows, k])
            n = forecasts.shape[0]
            conformal_batch_nb(f, i, forecasts, outcomes, np.empty(n), np.empty(n, np.int64))


def _next_of_side(sides: IntArray1d) -> IntArray1d:
    """The next row of the same side after each, or the number of rows."""
    found = np.full(sides.shape[0], sides.shape[0], np.int64)
    for side in (0, 1):
        rows = np.flatnonzero(sides == side)
        found[rows[:-1]] = rows[1:]
    return found
