"""Which parameters are tried? Draws from a policy's own schema: random, or a grid; the defaults always first."""

from __future__ import annotations

import itertools
import math

import numpy as np

from apps.engine.policies import Parameter, Policy
from apps.engine.values import Array1d

RANDOM, GRID = "random", "grid"
TRIES = 200


def draws_of(policy: Policy, n: int, *, search: str, seed: int) -> list[dict[str, float]]:
    """At most `n` different sets of values that keep the policy's constraint. The same seed gives the same sets."""
    found = [policy.defaults()]
    candidates = _grid(policy, n) if search == GRID else _random(policy, n, seed)
    for values in candidates:
        if len(found) >= n:
            break
        if policy.constraint(values) is None and values not in found:
            found.append(values)
    return found


def _random(policy: Policy, n: int, seed: int) -> list[dict[str, float]]:
    rng = np.random.Generator(np.random.PCG64(seed))
    places = rng.random((n * TRIES if policy.parameters else 0, len(policy.parameters)))
    return [_values(policy, row) for row in places]


def _grid(policy: Policy, n: int) -> list[dict[str, float]]:
    """The same number of steps for every parameter: as many as `n` allows once the constraint has taken its share."""
    steps, best = 2, [policy.defaults()]
    while policy.parameters:
        axes = itertools.product(np.linspace(0.0, 1.0, steps).tolist(), repeat=len(policy.parameters))
        grid = [values for values in (_values(policy, np.array(row)) for row in axes) if not policy.constraint(values)]
        unique = [values for at, values in enumerate(grid) if values not in grid[:at]]
        if len(unique) + 1 > n or len(unique) <= len(best):
            break
        steps, best = steps + 1, unique
    return best


def _values(policy: Policy, places: Array1d) -> dict[str, float]:
    """Each parameter at its place from 0 to 1 in its range, on its own scale."""
    return {one.name: _value(one, float(place)) for one, place in zip(policy.parameters, places, strict=True)}


def _value(one: Parameter, place: float) -> float:
    if one.scale == "log":
        low, high = math.log(one.low), math.log(one.high)
        value = math.exp(low + place * (high - low))
    else:
        value = one.low + place * (one.high - one.low)
    value = min(max(value, one.low), one.high)
    return int(round(value)) if one.kind == "int" else value
