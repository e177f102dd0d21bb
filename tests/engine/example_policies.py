"""The policies of `examples/`, without adding them to the arms that other tests count."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from unittest.mock import patch

from apps.engine.policies import Policy
from apps.engine.policies.files import load_policy_file
from apps.engine.registry import Registry

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "policies"


@cache
def sma_cross() -> Policy:
    own: Registry[Policy] = Registry("policy", lambda policy: policy.policy_id)
    # Loaded as every policy file is: kernels are kept under the name that a module is loaded by.
    with (
        patch("apps.engine.policies.contract.POLICIES", own),
        patch("apps.engine.policies.files.POLICIES", own),
    ):
        load_policy_file(str(EXAMPLES / "sma_cross.py"))
    return own.get("sma_cross")
