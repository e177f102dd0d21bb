"""An example in plain Python: long after three rises in a row, out after the first fall of `patience` bars."""

from __future__ import annotations

import numpy as np

from apps.engine.policies import POLICIES, Bar, Parameter, Values, python_policy
from apps.engine.values import Array1d

RISES_WANTED = 3.0

S_PATIENCE, S_CLOSE, S_RISES, S_FALLS, S_SIGNAL = range(5)


def init(values: Values) -> Array1d:
    """The state before the first bar. What update needs of the parameters is put into the state as well."""
    state = np.zeros(5)
    state[S_PATIENCE] = values["patience"]
    return state


def update(state: Array1d, bar: Bar) -> float:
    """Change the state in place; answer the signal, from -1 to 1."""
    if state[S_CLOSE] > 0.0:
        is_rise, is_fall = bar.close > state[S_CLOSE], bar.close < state[S_CLOSE]
        state[S_RISES] = state[S_RISES] + 1.0 if is_rise else 0.0
        state[S_FALLS] = state[S_FALLS] + 1.0 if is_fall else 0.0
    state[S_CLOSE] = bar.close
    if state[S_RISES] >= RISES_WANTED:
        state[S_SIGNAL] = 1.0
    elif state[S_FALLS] >= state[S_PATIENCE]:
        state[S_SIGNAL] = 0.0
    return float(state[S_SIGNAL])


POLICIES.register(
    python_policy(
        policy_id="three_rises",
        summary="Example: buys after three rises in a row, sells after so many falls.",
        parameters=(Parameter("patience", "int", 2, 1, 10, "log", "Falls in a row that end a trade."),),
        init=init,
        update=update,
        warm_up=lambda values: 4,
    )
)
