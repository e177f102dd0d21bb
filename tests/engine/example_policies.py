"""The policies of `examples/`, without adding them to the arms that other tests count."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from unittest.mock import patch

from apps.engine.policies import Policy
from apps.engine.registry import Registry


@cache
def sma_cross() -> Policy:
    own: Registry[Policy] = Registry("policy", lambda policy: policy.policy_id)
    with patch("apps.engine.policies.contract.POLICIES", own):
        import_module("examples.policies.sma_cross")
    return own.get("sma_cross")
