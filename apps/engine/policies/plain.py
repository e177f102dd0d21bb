"""How is a policy written in plain Python? Two functions: values to state, and state and bar to signal."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from apps.engine.policies.contract import Parameter, Policy, Values, unconstrained
from apps.engine.values import Array1d


class Bar(NamedTuple):
    """One closed bar."""

    open: float
    high: float
    low: float
    close: float
    volume: float


class PlainUpdate:
    """A Python update behind the signature of a compiled one; `fault` says why it last answered NaN."""

    def __init__(self, update: Callable[[Array1d, Bar], float]) -> None:
        self._update = update
        self.fault = ""

    def __call__(
        self, params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
    ) -> float:
        try:
            return float(self._update(state, Bar(open_, high, low, close, volume)))
        # Anybody's code: its arm is gated, while the desk and its exits go on.
        except Exception as error:
            self.fault = f"{type(error).__name__}: {error}"
            return float("nan")


def python_policy(
    *,
    policy_id: str,
    summary: str,
    init: Callable[[Values], Array1d],
    update: Callable[[Array1d, Bar], float],
    warm_up: Callable[[Values], int],
    parameters: tuple[Parameter, ...] = (),
    constraint: Callable[[Values], str | None] = unconstrained,
) -> Policy:
    """A policy whose update is plain Python. `update` changes the state in place and answers the signal.

    An update that raises, or answers what is no number in [-1, 1], counts as 0 and closes the gate of its arm.
    """

    def start(values: Values) -> tuple[Array1d, Array1d]:
        return np.zeros(0), np.array(init(values), dtype=np.float64)

    return Policy(
        policy_id=policy_id,
        summary=summary,
        parameters=parameters,
        constraint=constraint,
        warm_up=warm_up,
        init=start,
        update_nb=PlainUpdate(update),
        is_compiled=False,
    )
