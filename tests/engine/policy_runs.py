"""Policies run over bars, and values drawn from their ranges, for the engine's tests."""

from __future__ import annotations

import numpy as np

from apps.engine.policies import Policy, validate_values
from apps.engine.policies.driver import policy_batch
from tests.engine.series import Columns


def signals(policy: Policy, columns: Columns, values: dict[str, float] | None = None) -> np.ndarray:
    params, state = policy.init(validate_values(policy, values or {}))
    out = np.full(columns[3].shape[0], np.nan)
    policy_batch(policy, params, state, columns, out)
    return out


def draws(policy: Policy, n: int) -> list[dict[str, float]]:
    """Values from anywhere in the ranges, those that the constraint refuses left out."""
    rng = np.random.default_rng(5)
    found = []
    while len(found) < n:
        values: dict[str, float] = {}
        for parameter in policy.parameters:
            value = rng.uniform(parameter.low, parameter.high)
            values[parameter.name] = round(value) if parameter.kind == "int" else value
        if policy.constraint(values) is None:
            found.append(values)
    return found


def of_closes(closes: list[float] | np.ndarray) -> Columns:
    """Bars that open, close, rise and fall nowhere but at these closes."""
    close = np.array(closes, dtype=np.float64)
    return close, close, close, close, np.ones(close.shape[0])
