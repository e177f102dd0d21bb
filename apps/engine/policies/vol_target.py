"""Hold more while the market is calm: exposure inverse to volatility."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values, unconstrained
from apps.engine.policies.volatility import VOLATILITY_FLOATS, VOLATILITY_SPAN, volatility_nb
from apps.engine.values import Array1d

P_TARGET, P_GRID = 0, 1
S_COUNT, S_VOLATILITY = 0, 1
STATE_FLOATS = S_VOLATILITY + VOLATILITY_FLOATS


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def vol_target_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """min(1, target / sigma), rounded to the grid; 0 where no volatility has been seen at all."""
    state[S_COUNT] += 1.0
    sigma = volatility_nb(state, S_VOLATILITY, close)
    if state[S_COUNT] <= VOLATILITY_SPAN:
        return 0.0
    if not sigma > 0.0:
        return 0.0
    exposure = min(1.0, params[P_TARGET] / sigma)
    return min(1.0, math.floor(exposure / params[P_GRID] + 0.5) * params[P_GRID])


def _init(values: Values) -> tuple[Array1d, Array1d]:
    return np.array([values["sigma_target"], values["grid"]], dtype=np.float64), np.zeros(STATE_FLOATS)


POLICIES.register(
    Policy(
        policy_id="vol_target",
        summary="Always long, less of it while volatility is above its target.",
        parameters=(
            Parameter("sigma_target", "float", 0.005, 0.002, 0.01, "log", "Volatility wanted, per bar."),
            Parameter("grid", "float", 0.25, 0.05, 0.5, "linear", "Step to which exposure is rounded."),
        ),
        constraint=unconstrained,
        warm_up=lambda values: VOLATILITY_SPAN + 1,
        init=_init,
        update_nb=vol_target_nb,
    )
)
