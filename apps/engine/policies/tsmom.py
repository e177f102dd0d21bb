"""Hold what has risen over the window, less of it while volatility is above its target."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values, unconstrained
from apps.engine.policies.volatility import VOLATILITY_FLOATS, VOLATILITY_SPAN, volatility_nb
from apps.engine.values import Array1d

P_WINDOW, P_HURDLE, P_TARGET = 0, 1, 2
S_COUNT, S_POSITION, S_VOLATILITY, S_CLOSES = 0, 1, 2, 2 + VOLATILITY_FLOATS


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def tsmom_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """min(1, target / sigma) if ln(C_t / C_{t-n}) > hurdle * sigma, the hurdle being threshold * sqrt n; else 0."""
    sigma = volatility_nb(state, S_VOLATILITY, close)
    window = int(params[P_WINDOW])
    position = int(state[S_POSITION])
    past = state[S_CLOSES + position]
    state[S_CLOSES + position] = close
    state[S_POSITION] = 0.0 if position + 1 == window else position + 1.0
    state[S_COUNT] += 1.0
    if state[S_COUNT] <= max(window, VOLATILITY_SPAN) or close <= past or not sigma > 0.0:
        return 0.0
    hurdle = params[P_HURDLE] * sigma
    if hurdle > 0.0 and math.log(close / past) <= hurdle:
        return 0.0
    return min(1.0, params[P_TARGET] / sigma)


def _init(values: Values) -> tuple[Array1d, Array1d]:
    window = int(values["window"])
    params = np.array([window, values["threshold"] * math.sqrt(window), values["sigma_target"]], dtype=np.float64)
    return params, np.zeros(S_CLOSES + window)


POLICIES.register(
    Policy(
        policy_id="tsmom",
        summary="Momentum: long after a rise over the window, sized down while volatility is above its target.",
        parameters=(
            Parameter("window", "int", 96, 24, 720, "log", "Bars over which the price must have risen."),
            Parameter("threshold", "float", 0.0, 0.0, 1.0, "linear", "Rise to clear, in sd of a return of the window."),
            Parameter("sigma_target", "float", 0.005, 0.002, 0.01, "log", "Volatility wanted, per bar."),
        ),
        constraint=unconstrained,
        warm_up=lambda values: max(int(values["window"]), VOLATILITY_SPAN) + 1,
        init=_init,
        update_nb=tsmom_nb,
    )
)
