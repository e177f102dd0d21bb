"""How is any policy run over many bars? One cached loop that takes the policy's update as a typed function."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit, types

from apps.engine.borrowing import borrowed
from apps.engine.policies.contract import UPDATE_SIGNATURE, Policy
from apps.engine.values import Array1d

_COLUMN = types.Array(types.float64, 1, "C")
_SIGNATURE = types.void(types.FunctionType(UPDATE_SIGNATURE), *(_COLUMN,) * 8)


@njit(_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def policy_batch_nb(
    update: Callable[..., float],
    params: Array1d,
    state: Array1d,
    open_: Array1d,
    high: Array1d,
    low: Array1d,
    close: Array1d,
    volume: Array1d,
    out: Array1d,
) -> None:
    """The signal after each bar. After this call `state` is that of the last bar."""
    params, state = borrowed(params), borrowed(state)
    for t in range(close.shape[0]):
        out[t] = update(params, state, open_[t], high[t], low[t], close[t], volume[t])


def policy_batch(policy: Policy, params: Array1d, state: Array1d, columns: tuple[Array1d, ...], out: Array1d) -> None:
    """`policy_batch_nb` for any policy: one in plain Python fills its column by a loop of its own."""
    if policy.is_compiled:
        open_, high, low, close, volume = columns
        policy_batch_nb(policy.update_nb, params, state, open_, high, low, close, volume, out)
        return
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for t, row in enumerate(rows):
        out[t] = policy.update_nb(params, state, *row)
