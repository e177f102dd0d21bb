"""Which parameters would have done well? One run of `single` per point of a grid; results only, no curves.

`sweep_run` takes any policy. `sma_sweep` takes pairs of simple averages, which share one column of cumulative sums.
Both kernels let go of the interpreter's lock, so slices of a grid may run on several threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit, types

from apps.engine.errors import InvalidInput
from apps.engine.policies.contract import Policy
from apps.engine.single import (
    CASH,
    FEE,
    T_CASH,
    T_DRAWDOWN,
    T_FEES,
    T_ORDERS,
    T_QUANTITY,
    TOTALS,
    UNIT,
    Columns,
    raise_fault,
    require_market,
    single_columns,
    single_nb,
    single_policy,
    single_terms,
    trade_nb,
)
from apps.engine.values import Array1d, Array2d, Bars, IntArray1d, IntArray2d

_F8 = types.float64
_COLUMN = types.Array(_F8, 1, "C")
_SIGNATURE = types.void(
    _COLUMN, _COLUMN, _COLUMN, types.Array(types.int64, 2, "C"), _COLUMN, types.Array(types.int64, 1, "C"),
    types.Array(_F8, 2, "C"),
)  # fmt: skip


class SweepResult(NamedTuple):
    """One row per point of the grid, in its order."""

    end_equity: Array1d
    orders: IntArray1d
    fees: Array1d
    max_drawdown: Array1d


def sweep_run(
    policy: Policy,
    grid: Sequence[Mapping[str, object]],
    data: Columns | Bars,
    *,
    fee_bps: float = 10.0,
    cash: float = 1_000_000.0,
    unit: float | None = None,
) -> SweepResult:
    """Run the policy once for each set of values. Terms and errors are those of `single_run`."""
    columns = single_columns(data)
    terms = single_terms(fee_bps=fee_bps, cash=cash, unit=unit)
    n = columns[3].shape[0]
    scratch = np.empty(n), np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(n)
    totals = np.zeros((len(grid), TOTALS))
    for row, values in zip(totals, grid, strict=True):
        update, params, state = single_policy(policy, values, columns)
        raise_fault(policy, single_nb(update, params, state, *columns, terms, *scratch, row), row)
    return _result(totals, columns[3][-1])


@njit(_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def sma_sweep_nb(
    open_: Array1d, close: Array1d, sums: Array1d, pairs: IntArray2d, terms: Array1d, changes: IntArray1d,
    totals: Array2d,
) -> None:  # fmt: skip
    """Every (fast, slow) pair over all bars. `sums[t]` is the sum of the closes before t; `changes` is room for n."""
    n = close.shape[0]
    for p in range(pairs.shape[0]):
        fast, slow = pairs[p, 0], pairs[p, 1]
        is_long, n_changes = 0, 0
        for end in range(slow, n):
            # Without a branch: the place is written each time, and kept where the signal has changed.
            above = (sums[end] - sums[end - fast]) * slow > (sums[end] - sums[end - slow]) * fast
            changes[n_changes] = end
            n_changes += int(above) ^ is_long
            is_long = int(above)
        fee, unit, cash, quantity, fees = terms[FEE], terms[UNIT], terms[CASH], 0.0, 0.0
        peak, drawdown, n_orders = terms[CASH], 0.0, 0
        for k in range(n_changes):
            t = changes[k]
            order, paid = trade_nb(1.0 - k % 2, unit, fee, cash, quantity, open_[t])
            if order != 0.0:
                n_orders += 1
                cash -= order * open_[t] + paid
                quantity += order
                fees += paid
            # While nothing is held, equity moves at the exit alone.
            last = t + 1 if k % 2 == 1 else changes[k + 1] if k + 1 < n_changes else n
            for i in range(t, last):
                marked = cash + quantity * close[i]
                if marked > peak:
                    peak = marked
                elif peak - marked > drawdown * peak:
                    drawdown = (peak - marked) / peak
        totals[p, T_CASH], totals[p, T_QUANTITY], totals[p, T_FEES] = cash, quantity, fees
        totals[p, T_DRAWDOWN], totals[p, T_ORDERS] = drawdown, n_orders


def sma_sweep(
    pairs: Sequence[tuple[int, int]],
    data: Columns | Bars,
    *,
    fee_bps: float = 10.0,
    cash: float = 1_000_000.0,
    unit: float | None = None,
) -> SweepResult:
    """Long while SMA_fast > SMA_slow, for each (fast, slow). Raises InvalidInput for a pair that is no pair."""
    columns = single_columns(data)
    open_, close = columns[0], columns[3]
    terms = single_terms(fee_bps=fee_bps, cash=cash, unit=unit)
    require_market(columns)
    for fast, slow in pairs:
        if not 1 <= fast < slow:
            raise InvalidInput(f"a pair is (fast, slow) with 1 <= fast < slow, not {(fast, slow)}", field="pairs")
    sums = np.concatenate([[0.0], np.cumsum(close)])
    totals = np.zeros((len(pairs), TOTALS))
    grid = np.array(pairs, np.int64).reshape(len(pairs), 2)
    sma_sweep_nb(open_, close, sums, grid, terms, np.empty(close.shape[0] + 1, np.int64), totals)
    return _result(totals, close[-1])


def _result(totals: Array2d, last_close: float) -> SweepResult:
    end_equity = totals[:, T_CASH] + totals[:, T_QUANTITY] * last_close
    return SweepResult(end_equity, totals[:, T_ORDERS].astype(np.int64), totals[:, T_FEES], totals[:, T_DRAWDOWN])
