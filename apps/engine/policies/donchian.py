"""Buy a new high, sell a new low."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.policies.channel import channel_floats, channel_highest_nb, channel_push_nb
from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy, Values
from apps.engine.values import Array1d

P_ENTRY, P_EXIT = 0, 1
S_COUNT, S_SIGNAL, S_CHANNELS = 0, 1, 2


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def donchian_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """1 from a close above the highest high of the `entry` bars before it to one below the lowest low of `exit` bars.

    Neither channel holds this bar: no close can exceed a channel that holds its own high.
    """
    entry, exit_ = int(params[P_ENTRY]), int(params[P_EXIT])
    lows = S_CHANNELS + 2 + 2 * entry
    count = state[S_COUNT]
    if count >= entry:
        if close > channel_highest_nb(state, S_CHANNELS):
            state[S_SIGNAL] = 1.0
        elif close < -channel_highest_nb(state, lows):
            state[S_SIGNAL] = 0.0
    channel_push_nb(state, S_CHANNELS, entry, count, high)
    channel_push_nb(state, lows, exit_, count, -low)
    state[S_COUNT] = count + 1.0
    return state[S_SIGNAL]


def _constraint(values: Values) -> str | None:
    if values["exit"] > values["entry"]:
        return f"exit must be at most entry, not {values['exit']} to {values['entry']}"
    return None


def _init(values: Values) -> tuple[Array1d, Array1d]:
    floats = S_CHANNELS + channel_floats(int(values["entry"])) + channel_floats(int(values["exit"]))
    return np.array([values["entry"], values["exit"]], dtype=np.float64), np.zeros(floats)


POLICIES.register(
    Policy(
        policy_id="donchian",
        summary="Trend: buys above the highest high of the bars before, sells below their lowest low.",
        parameters=(
            Parameter("entry", "int", 48, 24, 240, "log", "Bars before whose highest high is bought."),
            Parameter("exit", "int", 24, 12, 120, "log", "Bars before whose lowest low is sold, at most the entry's."),
        ),
        constraint=_constraint,
        warm_up=lambda values: int(values["entry"]) + 1,
        init=_init,
        update_nb=donchian_nb,
    )
)
