"""Buy when almost every move was down, sell when ups and downs are even."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values, unconstrained
from apps.engine.values import Array1d

P_WINDOW, P_ENTER, P_EXIT = 0, 1, 2
S_SIGNAL, S_RSI = 0, 1
RSI_FLOATS = 4
RSI_FLAT = 50.0


@njit(cache=True, error_model="numpy", nogil=True)
def rsi_nb(state: Array1d, at: int, window: float, close: float) -> float:
    """RSI of Wilder after this close: averages seeded with the mean of the first `window` moves; 50 without a move.

    state[at : at + 4] are closes seen, last close, average (until seeded: sum) of gains and of losses. 50 until seeded.
    """
    state[at] += 1.0
    moves = state[at] - 1.0
    change = close - state[at + 1]
    state[at + 1] = close
    if moves == 0.0:
        return RSI_FLAT
    gain, loss = max(change, 0.0), max(-change, 0.0)
    if moves <= window:
        state[at + 2] += gain
        state[at + 3] += loss
        if moves < window:
            return RSI_FLAT
        state[at + 2] /= window
        state[at + 3] /= window
    else:
        state[at + 2] = (state[at + 2] * (window - 1.0) + gain) / window
        state[at + 3] = (state[at + 3] * (window - 1.0) + loss) / window
    total = state[at + 2] + state[at + 3]
    return 100.0 * (state[at + 2] / total) if total > 0.0 else RSI_FLAT


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def rsi_revert_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """1 from an RSI below `enter` to one above `exit`."""
    rsi = rsi_nb(state, S_RSI, params[P_WINDOW], close)
    if rsi < params[P_ENTER]:
        state[S_SIGNAL] = 1.0
    elif rsi > params[P_EXIT]:
        state[S_SIGNAL] = 0.0
    return state[S_SIGNAL]


def _init(values: Values) -> tuple[Array1d, Array1d]:
    params = np.array([values["window"], values["enter"], values["exit"]], dtype=np.float64)
    return params, np.zeros(S_RSI + RSI_FLOATS)


POLICIES.register(
    Policy(
        policy_id="rsi_revert",
        summary="Mean reversion: buys at a low RSI, sells when it is back in the middle.",
        parameters=(
            Parameter("window", "int", 14, 5, 30, "linear", "Moves that the averages of the RSI remember."),
            Parameter("enter", "float", 30.0, 15.0, 40.0, "linear", "RSI below which it buys."),
            Parameter("exit", "float", 50.0, 45.0, 65.0, "linear", "RSI above which it sells."),
        ),
        constraint=unconstrained,
        warm_up=lambda values: int(values["window"]) + 1,
        init=_init,
        update_nb=rsi_revert_nb,
    )
)
