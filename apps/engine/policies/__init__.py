"""Which policies are there? Every module of this package registers what it holds when the package is imported."""

from __future__ import annotations

import sys

from apps.engine.policies.contract import (
    POLICIES,
    UPDATE_SIGNATURE,
    Parameter,
    Policy,
    Values,
    unconstrained,
    validate_values,
)
from apps.engine.policies.plain import Bar, python_policy
from apps.engine.registry import import_members

__all__ = [
    "POLICIES",
    "UPDATE_SIGNATURE",
    "Bar",
    "Parameter",
    "Policy",
    "Values",
    "arms",
    "python_policy",
    "unconstrained",
    "validate_values",
]

import_members(sys.modules[__name__])


def arms() -> list[Policy]:
    """The registered policies in the order of the router's arms: by id. Cash is no policy; the router adds it."""
    return sorted(POLICIES, key=lambda policy: policy.policy_id)
