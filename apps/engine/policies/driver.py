"""How is any policy run over many bars? One cached loop that takes the policy's update as a typed function."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit, types

from apps.engine.policies.contract import UPDATE_SIGNATURE
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
    for t in range(close.shape[0]):
        out[t] = update(params, state, open_[t], high[t], low[t], close[t], volume[t])
