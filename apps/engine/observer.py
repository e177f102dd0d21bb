"""The fold of one symbol as an object: bars in, views out. Live calls it bar by bar, a rebuild in one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from apps.engine.decision import ViewRecord
from apps.engine.errors import DataError
from apps.engine.observe import observe_batch_nb
from apps.engine.observe_state import (
    S_ADV,
    S_AGE,
    S_APPLIED,
    S_IS_GRID,
    S_LABEL,
    S_LAST_INDEX,
    S_MISSING,
    S_RECENT,
    S_SIGMA,
    CoreState,
    ViewRows,
    core_state,
    view_rows,
)
from apps.engine.policies import Policy, arms, validate_values
from apps.engine.policies.driver import policy_batch
from apps.engine.regime import RegimeSummary, regime_summary
from apps.engine.router import N_CONTEXT, N_TRIANGLE, RouterParams, coefficients_nb
from apps.engine.values import Array1d, Array2d, Bars, IntArray1d
from apps.engine.view import View

E8_FLOAT = 1e-8
NO_ROWS = view_rows(0, 1)
Columns: TypeAlias = tuple[Array1d, Array1d, Array1d, Array1d, Array1d]


@dataclass(frozen=True)
class ObserveSettings:
    """What the fold of a symbol depends on besides its bars."""

    symbol: str
    interval_ms: int
    horizon_bars: int
    allow_short: bool = False
    params: RouterParams = RouterParams()
    policy_values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class PolicyRun:
    """One policy with its parameters and running state."""

    def __init__(self, policy: Policy, values: Mapping[str, float]) -> None:
        checked = validate_values(policy, values)
        self.policy = policy
        self.warm_up = policy.warm_up(checked)
        self.params, self.state = policy.init(checked)

    def update(self, bar: tuple[float, float, float, float, float]) -> float:
        return float(self.policy.update_nb(self.params, self.state, *bar))

    def batch(self, columns: Columns, out: Array1d) -> None:
        policy_batch(self.policy, self.params, self.state, columns, out)


class Observer:
    """The state of one symbol. `observe` folds the next closed bar; bars must come in order, gaps are seen by index."""

    def __init__(self, settings: ObserveSettings) -> None:
        self.settings = settings
        self.runs = [PolicyRun(policy, settings.policy_values.get(policy.policy_id, {})) for policy in arms()]
        self.core: CoreState = core_state(settings.horizon_bars, len(self.runs))
        self.warm_ups: IntArray1d = np.array([run.warm_up for run in self.runs], np.int64)
        self._signals = np.zeros((1, len(self.runs)))

    def observe(self, bars: Bars, *, inactive: IntArray1d, is_bocpd: bool) -> View:
        """Fold the single bar in `bars`; the view after it. The batch of one, without its detours."""
        self._require_later(bars)
        columns = float_columns(bars)
        open_, high, low, close, volume = (float(column[0]) for column in columns)
        for k, run in enumerate(self.runs):
            self._signals[0, k] = self._clipped(run.update((open_, high, low, close, volume)))
        self._fold(bars, columns, self._signals, inactive, is_bocpd, NO_ROWS)
        return self.view()

    def observe_many(
        self, bars: Bars, *, inactive: IntArray1d, is_bocpd: bool, seen: ViewRows = NO_ROWS
    ) -> int:  # fmt: skip
        """Fold many bars at once: the same kernels, the same bits. Answers how many rows of `seen` it filled."""
        if bars.n == 0:
            return 0
        self._require_later(bars)
        columns = float_columns(bars)
        return self._fold(bars, columns, self.signal_matrix(columns), inactive, is_bocpd, seen)

    def _fold(
        self, bars: Bars, columns: Columns, signals: Array2d, inactive: IntArray1d, is_bocpd: bool, seen: ViewRows
    ) -> int:  # fmt: skip
        index = bars.open_time_ms // self.settings.interval_ms
        return int(observe_batch_nb(
            self.core, self.settings.params, self.settings.horizon_bars, index, *columns, signals, self.warm_ups,
            inactive, int(is_bocpd), seen,
        ))  # fmt: skip

    def signal_matrix(self, columns: Columns) -> Array2d:
        """Every policy's signal after every bar, (n, K); moves the policies' states."""
        signals = np.zeros((columns[0].shape[0], len(self.runs)))
        column = np.zeros(columns[0].shape[0])
        for k, run in enumerate(self.runs):
            run.batch(columns, column)
            is_kept = (column > 0.0) | ~(np.abs(column) <= 1.0)
            signals[:, k] = column if self.settings.allow_short else np.where(is_kept, column, 0.0)
        return signals

    def view(self) -> View:
        """The view after the last folded bar."""
        core, ms = self.core, self.settings.interval_ms
        n_arms = len(self.runs)
        coefficients = np.zeros((N_CONTEXT, n_arms))
        params = self.settings.params
        coefficients_nb(core.sxx, core.sxy, params.lam, core.work, coefficients)
        precision = core.sxx.copy()
        diagonal = [row * (row + 1) // 2 + row for row in range(N_CONTEXT)]
        precision[diagonal] += params.lam
        assert precision.shape[0] == N_TRIANGLE
        return View(
            symbol=self.settings.symbol,
            interval_ms=ms,
            record=ViewRecord(
                bar_open_ms=int(core.scalars_i[S_LAST_INDEX]) * ms,
                bar_index=int(core.scalars_i[S_LAST_INDEX]),
                context_missing=int(core.scalars_i[S_MISSING]),
                regime_label=int(core.scalars_i[S_LABEL]),
                sigma_bar=float(core.scalars_f[S_SIGMA]),
                adv_quote=float(core.scalars_f[S_ADV]),
                regime_age=float(core.scalars_f[S_AGE]),
                change_probability=float(core.scalars_f[S_RECENT]),
            ),
            is_grid=bool(core.scalars_i[S_IS_GRID]),
            arms=core.arms.copy(),
            gates=core.gates.copy(),
            context=core.context.copy(),
            coefficients=coefficients,
            precision=precision,
            last_applied_grid_bar=int(core.scalars_i[S_APPLIED]),
            state_hash=self.state_hash(),
            policies=tuple(run.policy.policy_id for run in self.runs),
        )

    def context(self) -> Array1d:
        """The context after the last folded bar; what is missing of it is NaN."""
        return self.core.context.copy()

    def contexts(self, bars: Bars, *, is_bocpd: bool) -> Array2d:
        """Fold bars for their contexts alone, one per row: the policies are not asked, so nothing else can be read."""
        self._require_later(bars)
        columns, found = float_columns(bars), np.empty((bars.n, N_CONTEXT))
        signals, inactive = np.zeros((1, len(self.runs))), np.zeros(len(self.runs), np.int64)
        for row in range(bars.n):
            one = slice(row, row + 1)
            open_, high, low, close, volume = columns
            bar = open_[one], high[one], low[one], close[one], volume[one]
            self._fold(bars.slice(row, row + 1), bar, signals, inactive, is_bocpd, NO_ROWS)
            found[row] = self.core.context
        return found

    def regime(self) -> RegimeSummary:
        """The regime after the last grid bar."""
        return regime_summary(self.core.regime_f, self.core.regime_i)

    def state_hash(self) -> str:
        """Hash of every array of the state: equal exactly when all bits are."""
        digest = hashlib.sha256()
        for array in self._arrays():
            digest.update(array.tobytes())
        return digest.hexdigest()

    def save(self) -> list[Any]:
        """A copy of the state, from which `load` goes on bit for bit."""
        return [array.copy() for array in self._arrays()]

    def load(self, saved: list[Any]) -> None:
        for array, copy in zip(self._arrays(), saved, strict=True):
            array[...] = copy

    def _arrays(self) -> list[Any]:
        # The work array is scratch and carries nothing from bar to bar.
        core = [array for name, array in zip(CoreState._fields, self.core, strict=True) if name != "work"]
        return [*core, *(run.state for run in self.runs)]

    def _require_later(self, bars: Bars) -> None:
        """A bar is folded once and in order: anything else would change what was learned without a trace."""
        last_ms = int(self.core.scalars_i[S_LAST_INDEX]) * self.settings.interval_ms
        opened = bars.open_time_ms
        if int(opened[0]) <= last_ms or bool((np.diff(opened) <= 0).any()):
            raise DataError(f"{self.settings.symbol}: a bar does not come after the one before it")

    def _clipped(self, signal: float) -> float:
        # What is no signal at all stays as it is: the fold closes the gate of its arm.
        is_kept = self.settings.allow_short or signal > 0.0 or not abs(signal) <= 1.0
        return signal if is_kept else 0.0


def float_columns(bars: Bars) -> Columns:
    """Open, high, low, close, volume as float64, computed as the live path computes them."""
    open_, high, low, close, volume = (np.asarray(column * E8_FLOAT, np.float64) for column in bars[1:6])
    return open_, high, low, close, volume
