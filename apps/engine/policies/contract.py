"""What is a policy: a schema of parameters, a flat state, and one compiled update per bar.

A policy cannot look ahead: `update_nb` sees one closed bar, changes its state and answers a signal in [-1, 1]. Its
state is a fold of the bars and nothing else, so a copy of the array is a snapshot. A new policy is a new file in this
package that calls `POLICIES.register`; nothing else needs an edit. A policy of one's own is a file anywhere, named by
the setting POLICY_PATHS; docs/policies.md shows one. Its update may be plain Python: see `python_policy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from numba import types

from apps.engine.errors import InvalidInput
from apps.engine.registry import Registry
from apps.engine.values import Array1d

Values: TypeAlias = Mapping[str, float]

_F8 = types.float64
_COLUMN = types.Array(_F8, 1, "C")
# update_nb(params, state, open, high, low, close, volume) -> signal. Compiled with exactly this signature, so that one
# cached driver can call any policy through a first-class function type.
UPDATE_SIGNATURE = _F8(_COLUMN, _COLUMN, _F8, _F8, _F8, _F8, _F8)


@dataclass(frozen=True)
class Parameter:
    """One number that tunes a policy, with the range that breeding may search."""

    name: str
    kind: Literal["int", "float"]
    default: float
    low: float
    high: float
    scale: Literal["linear", "log"]
    help: str


@dataclass(frozen=True)
class Policy:
    """A trading rule. `constraint` names what is wrong between values, its first word being the parameter at fault."""

    policy_id: str
    summary: str
    parameters: tuple[Parameter, ...]
    constraint: Callable[[Values], str | None]
    warm_up: Callable[[Values], int]
    init: Callable[[Values], tuple[Array1d, Array1d]]
    update_nb: Callable[..., float]
    is_compiled: bool = True

    def defaults(self) -> dict[str, float]:
        return validate_values(self, {})


POLICIES: Registry[Policy] = Registry("policy", lambda policy: policy.policy_id)


def unconstrained(values: Values) -> str | None:
    """The constraint of a policy whose parameters are independent of each other."""
    return None


def validate_values(policy: Policy, values: Mapping[str, object]) -> dict[str, float]:
    """Every parameter of the policy, given or default. Raises InvalidInput naming the parameter at fault."""
    known = [parameter.name for parameter in policy.parameters]
    for name in values:
        if name not in known:
            raise InvalidInput(f"{policy.policy_id} has no parameter {name!r}; it has {', '.join(known)}", field=name)
    checked = {
        parameter.name: _number(parameter, values.get(parameter.name, parameter.default))
        for parameter in policy.parameters
    }
    fault = policy.constraint(checked)
    if fault is not None:
        raise InvalidInput(f"{policy.policy_id}: {fault}", field=fault.split()[0])
    return checked


def _number(parameter: Parameter, value: object) -> float:
    """The value as int or float of the parameter's kind."""
    name = parameter.name
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"{name} must be a number, not {value!r}", field=name)
    if not parameter.low <= value <= parameter.high:
        raise InvalidInput(f"{name} must be from {parameter.low} to {parameter.high}, not {value!r}", field=name)
    if parameter.kind == "float":
        return float(value)
    if value != int(value):
        raise InvalidInput(f"{name} must be a whole number, not {value!r}", field=name)
    return int(value)
