"""An example that is compiled: long while the close is above its volume-weighted mean, exponentially forgotten."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.policies import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values, unconstrained
from apps.engine.values import Array1d

P_SPAN, P_BAND = 0, 1
S_COUNT, S_VALUE, S_VOLUME = 0, 1, 2
STATE_FLOATS = 3


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def vwap_side_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """1 above the mean and its band, 0 otherwise, and 0 until `span` bars were seen."""
    keep = 1.0 - 2.0 / (params[P_SPAN] + 1.0)
    state[S_COUNT] += 1.0
    state[S_VALUE] = keep * state[S_VALUE] + close * volume
    state[S_VOLUME] = keep * state[S_VOLUME] + volume
    # Without any volume there is no mean: 0, not a division by 0.
    if state[S_COUNT] < params[P_SPAN] or state[S_VOLUME] <= 0.0:
        return 0.0
    return 1.0 if close > state[S_VALUE] / state[S_VOLUME] * (1.0 + params[P_BAND]) else 0.0


def init(values: Values) -> tuple[Array1d, Array1d]:
    """Parameters as the kernel reads them, and the state before the first bar."""
    return np.array([values["span"], values["band"]], dtype=np.float64), np.zeros(STATE_FLOATS)


POLICIES.register(
    Policy(
        policy_id="vwap_side",
        summary="Example: long above the volume-weighted mean of the bars of late.",
        parameters=(
            Parameter("span", "int", 48, 12, 480, "log", "Bars that the mean remembers."),
            Parameter("band", "float", 0.001, 0.0, 0.02, "linear", "Distance to clear, as a fraction of the mean."),
        ),
        constraint=unconstrained,
        warm_up=lambda values: int(values["span"]),
        init=init,
        update_nb=vwap_side_nb,
    )
)
