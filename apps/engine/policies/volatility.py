"""How volatile are the closes a policy has seen? One definition for every policy that scales by it.

The state is a block of three floats at `at`: last close, weighted sum of squared log returns, sum of the weights.
"""

from __future__ import annotations

import math

from numba import njit

from apps.engine.values import Array1d
from apps.engine.windows import ewma_push_nb

VOLATILITY_SPAN = 48
VOLATILITY_ALPHA = 2.0 / (VOLATILITY_SPAN + 1.0)
VOLATILITY_FLOATS = 3


@njit("f8(f8[::1], i8, f8)", cache=True, error_model="numpy", nogil=True)
def volatility_nb(state: Array1d, at: int, close: float) -> float:
    """Feed one close; the exponentially weighted (span 48) root mean square of log returns, 0 before the first."""
    previous = state[at]
    state[at] = close
    if previous == 0.0:
        return 0.0
    log_return = math.log(close / previous)
    ewma_push_nb(state, at + 1, VOLATILITY_ALPHA, log_return * log_return)
    return math.sqrt(state[at + 1] / state[at + 2])
