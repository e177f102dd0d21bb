"""An example of a compiled policy: long while the fast simple average of closes is above the slow one."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values
from apps.engine.values import Array1d

P_FAST, P_SLOW = 0, 1
S_IS_WARM, S_POSITION, S_FAST_SUM, S_SLOW_SUM, S_FAST_ROUND, S_SLOW_ROUND, S_CLOSES = 0, 1, 2, 3, 4, 5, 6


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def sma_cross_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """1 if SMA_fast > SMA_slow, else 0. The sums slide; each round of the ring of closes ends with sums added anew."""
    fast, slow = int(params[P_FAST]), int(params[P_SLOW])
    position = int(state[S_POSITION])
    leaving = position - fast if position >= fast else position - fast + slow
    # Closes of bars that never were are 0, so the first round needs no case of its own.
    fast_sum = state[S_FAST_SUM] + (close - state[S_CLOSES + leaving])
    slow_sum = state[S_SLOW_SUM] + (close - state[S_CLOSES + position])
    state[S_CLOSES + position] = close
    state[S_SLOW_ROUND] += close
    if position >= slow - fast:
        state[S_FAST_ROUND] += close
    state[S_POSITION] += 1.0
    if position + 1 == slow:
        # Rounding of a sliding sum would pile up over years; the sum of a round has only that of its own closes.
        fast_sum, slow_sum = state[S_FAST_ROUND], state[S_SLOW_ROUND]
        state[S_POSITION], state[S_FAST_ROUND], state[S_SLOW_ROUND] = 0.0, 0.0, 0.0
        state[S_IS_WARM] = 1.0
    state[S_FAST_SUM], state[S_SLOW_SUM] = fast_sum, slow_sum
    return 1.0 if state[S_IS_WARM] == 1.0 and fast_sum * slow > slow_sum * fast else 0.0


def _constraint(values: Values) -> str | None:
    if values["slow"] <= values["fast"]:
        return f"slow must be above fast, not {values['slow']} to {values['fast']}"
    return None


def _init(values: Values) -> tuple[Array1d, Array1d]:
    params = np.array([values["fast"], values["slow"]], dtype=np.float64)
    return params, np.zeros(S_CLOSES + int(values["slow"]))


SMA_CROSS = POLICIES.register(
    Policy(
        policy_id="sma_cross",
        summary="Trend: long while the fast simple average is above the slow one.",
        parameters=(
            Parameter("fast", "int", 10, 2, 200, "log", "Bars of the fast average."),
            Parameter("slow", "int", 50, 3, 400, "log", "Bars of the slow average, above fast."),
        ),
        constraint=_constraint,
        warm_up=lambda values: int(values["slow"]),
        init=_init,
        update_nb=sma_cross_nb,
    )
)
