"""Buy far below the rolling mean, sell at the mean."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values, unconstrained
from apps.engine.values import Array1d
from apps.engine.windows import centered_moments_nb

P_WINDOW, P_WIDTH, P_STOP = 0, 1, 2
S_COUNT, S_POSITION, S_STANCE, S_STOP_PRICE, S_CLOSES = 0, 1, 2, 3, 4
FLAT, LONG, STOPPED = 0.0, 1.0, 2.0


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def boll_revert_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """Enter at close < SMA - width * sd, leave at SMA or at the stop, `stop` sd (of the entry) below the entry.

    SMA and population sd include this bar. After a stop the price must first come back above the entry line.
    """
    window = int(params[P_WINDOW])
    position = int(state[S_POSITION])
    state[S_CLOSES + position] = close
    state[S_POSITION] = 0.0 if position + 1 == window else position + 1.0
    if state[S_COUNT] < window:
        state[S_COUNT] += 1.0
        if state[S_COUNT] < window:
            return 0.0
    above, sd = centered_moments_nb(state, S_CLOSES, window, close)
    is_cheap = above > params[P_WIDTH] * sd
    if state[S_STANCE] == LONG:
        if above <= 0.0:
            state[S_STANCE] = FLAT
        elif close <= state[S_STOP_PRICE]:
            state[S_STANCE] = STOPPED
    elif not is_cheap:
        state[S_STANCE] = FLAT
    elif state[S_STANCE] == FLAT:
        state[S_STANCE] = LONG
        state[S_STOP_PRICE] = close - params[P_STOP] * sd
    return 1.0 if state[S_STANCE] == LONG else 0.0


def _init(values: Values) -> tuple[Array1d, Array1d]:
    params = np.array([values["window"], values["width"], values["stop"]], dtype=np.float64)
    return params, np.zeros(S_CLOSES + int(values["window"]))


POLICIES.register(
    Policy(
        policy_id="boll_revert",
        summary="Mean reversion: buys below the lower Bollinger band, sells at the middle.",
        parameters=(
            Parameter("window", "int", 48, 12, 120, "log", "Bars of mean and standard deviation."),
            Parameter("width", "float", 2.0, 1.0, 3.0, "linear", "Depth of the band in standard deviations."),
            # The widest of the range: a last resort, so that by default the exit is at the mean.
            Parameter("stop", "float", 6.0, 2.0, 6.0, "linear", "Loss that ends a trade, in sd of its entry."),
        ),
        constraint=unconstrained,
        warm_up=lambda values: int(values["window"]),
        init=_init,
        update_nb=boll_revert_nb,
    )
)
