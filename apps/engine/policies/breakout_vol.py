"""Follow a rise that is too large for the volatility of late."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values, unconstrained
from apps.engine.policies.volatility import VOLATILITY_FLOATS, VOLATILITY_SPAN, volatility_nb
from apps.engine.values import Array1d

RETURN_BARS = 24

P_HURDLE, P_HOLD = 0, 1
S_COUNT, S_POSITION, S_LEFT, S_VOLATILITY, S_CLOSES = 0, 1, 2, 3, 3 + VOLATILITY_FLOATS


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def breakout_vol_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """1 for `hold` bars from each bar with ln(C_t / C_{t-24}) > width * sigma * sqrt 24: a later one holds anew."""
    sigma = volatility_nb(state, S_VOLATILITY, close)
    position = int(state[S_POSITION])
    past = state[S_CLOSES + position]
    state[S_CLOSES + position] = close
    state[S_POSITION] = 0.0 if position + 1 == RETURN_BARS else position + 1.0
    state[S_COUNT] += 1.0
    if state[S_COUNT] <= VOLATILITY_SPAN:
        return 0.0
    if close > past and math.log(close / past) > params[P_HURDLE] * sigma:
        state[S_LEFT] = params[P_HOLD]
    if state[S_LEFT] == 0.0:
        return 0.0
    state[S_LEFT] -= 1.0
    return 1.0


def _init(values: Values) -> tuple[Array1d, Array1d]:
    params = np.array([values["width"] * math.sqrt(RETURN_BARS), values["hold"]], dtype=np.float64)
    return params, np.zeros(S_CLOSES + RETURN_BARS)


POLICIES.register(
    Policy(
        policy_id="breakout_vol",
        summary="Trend: follows a rise that is large for the volatility of late, for a number of bars.",
        parameters=(
            Parameter("width", "float", 1.5, 0.5, 3.0, "linear", "Rise to clear, in sd of a return of 24 bars."),
            Parameter("hold", "int", 24, 6, 72, "log", "Bars that a rise is followed."),
        ),
        constraint=unconstrained,
        warm_up=lambda values: VOLATILITY_SPAN + 1,
        init=_init,
        update_nb=breakout_vol_nb,
    )
)
