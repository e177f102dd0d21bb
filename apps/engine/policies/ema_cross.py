"""Long while the fast exponential average is above the slow one."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values
from apps.engine.policies.volatility import VOLATILITY_FLOATS, volatility_nb
from apps.engine.values import Array1d

P_FAST, P_SLOW, P_BAND = 0, 1, 2
S_COUNT, S_FAST, S_SLOW, S_VOLATILITY = 0, 1, 2, 3
STATE_FLOATS = S_VOLATILITY + VOLATILITY_FLOATS


@njit("void(f8[::1], i8, f8, f8, f8)", cache=True, error_model="numpy", nogil=True)
def ema_nb(state: Array1d, at: int, period: float, count: float, close: float) -> None:
    """TA-Lib's convention: the mean of the first `period` closes seeds the average. Until then state[at] is a sum."""
    if count < period:
        state[at] += close
    elif count == period:
        state[at] = (state[at] + close) / period
    else:
        state[at] += 2.0 / (period + 1.0) * (close - state[at])


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def ema_cross_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """1 if EMA_fast > EMA_slow + band * sigma, sigma = close * EWMA (span 48) sd of log returns; else 0."""
    state[S_COUNT] += 1.0
    count = state[S_COUNT]
    ema_nb(state, S_FAST, params[P_FAST], count, close)
    ema_nb(state, S_SLOW, params[P_SLOW], count, close)
    sigma = close * volatility_nb(state, S_VOLATILITY, close)
    if count < params[P_SLOW]:
        return 0.0
    return 1.0 if state[S_FAST] > state[S_SLOW] + params[P_BAND] * sigma else 0.0


def _constraint(values: Values) -> str | None:
    if values["slow"] < 2 * values["fast"]:
        return f"slow must be at least twice fast, not {values['slow']} to {values['fast']}"
    return None


def _init(values: Values) -> tuple[Array1d, Array1d]:
    return np.array([values["fast"], values["slow"], values["band"]], dtype=np.float64), np.zeros(STATE_FLOATS)


POLICIES.register(
    Policy(
        policy_id="ema_cross",
        summary="Trend: long while the fast exponential average is above the slow one.",
        parameters=(
            Parameter("fast", "int", 24, 6, 72, "log", "Bars of the fast average."),
            Parameter("slow", "int", 96, 48, 400, "log", "Bars of the slow average, at least twice the fast."),
            Parameter("band", "float", 0.0, 0.0, 1.0, "linear", "Distance to clear, in bar volatilities."),
        ),
        constraint=_constraint,
        warm_up=lambda values: int(values["slow"]),
        init=_init,
        update_nb=ema_cross_nb,
    )
)
