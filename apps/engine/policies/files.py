"""How does a policy file from outside join the others? Loaded once, checked, or refused with file and reason."""

from __future__ import annotations

import hashlib
import importlib.util
import sys

import numpy as np
from numba.core import config

from apps.engine.errors import InvalidInput
from apps.engine.policies.contract import POLICIES, UPDATE_SIGNATURE, Parameter, Policy
from apps.engine.values import Array1d

FIELD = "POLICY_PATHS"
CASH = "cash"


def load_policy_file(path: str) -> list[Policy]:
    """Run the file and answer what it registered. Raises InvalidInput naming the file and what is wrong with it."""
    digest = hashlib.sha256(path.encode()).hexdigest()[:12]
    # The name is the same in every process: compiled kernels find their module by it.
    name = f"policy_file_{digest}"
    if name not in sys.modules:
        _run(path, name)
    found = getattr(sys.modules[name], "__policies__", [])
    if not found:
        raise InvalidInput(f"{path}: registers no policy; it must call POLICIES.register", field=FIELD)
    for policy in found:
        fault = policy_fault(policy)
        if fault is not None:
            raise InvalidInput(f"{path}: policy {policy.policy_id!r}: {fault}", field=FIELD)
    return found


def _run(path: str, name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path}: is no Python file", field=FIELD)
    module = importlib.util.module_from_spec(spec)
    before = set(POLICIES.names())
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InvalidInput(f"{path}: {type(error).__name__}: {error}", field=FIELD) from error
    module.__policies__ = [policy for policy in POLICIES if policy.policy_id not in before]  # type: ignore[attr-defined]


def policy_fault(policy: Policy) -> str | None:
    """What in a policy's schema or kernel breaks the contract; None when nothing does."""
    if not policy.policy_id.isidentifier() or not policy.policy_id.isascii() or policy.policy_id == CASH:
        return "the id must be an ASCII identifier other than 'cash'"
    if not policy.summary:
        return "the summary is empty"
    names = [parameter.name for parameter in policy.parameters]
    if len(set(names)) != len(names):
        return "two parameters have one name"
    for parameter in policy.parameters:
        fault = _parameter_fault(parameter)
        if fault is not None:
            return f"parameter {parameter.name!r}: {fault}"
    try:
        values = policy.defaults()
        warm_up, (params, state) = policy.warm_up(values), policy.init(values)
    except Exception as error:
        return f"its defaults do not start it: {type(error).__name__}: {error}"
    if isinstance(warm_up, bool) or not isinstance(warm_up, int) or warm_up < 1:
        return f"warm_up must be a whole number of bars from 1, not {warm_up!r}"
    if not (_is_flat(params) and _is_flat(state)):
        return "init must answer flat float64 arrays"
    return _kernel_fault(policy)


def _parameter_fault(parameter: Parameter) -> str | None:
    if parameter.kind not in ("int", "float") or parameter.scale not in ("linear", "log"):
        return "kind must be int or float, scale linear or log"
    if not np.isfinite([parameter.low, parameter.default, parameter.high]).all():
        return "default and range must be finite"
    if not parameter.low < parameter.high or not parameter.low <= parameter.default <= parameter.high:
        return f"the default {parameter.default} must lie in a range, not from {parameter.low} to {parameter.high}"
    if parameter.scale == "log" and parameter.low <= 0:
        return "a log scale needs a range above 0"
    return None


def _is_flat(array: Array1d) -> bool:
    return isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype == np.float64 and array.flags.c_contiguous


def _kernel_fault(policy: Policy) -> str | None:
    if not policy.is_compiled or config.DISABLE_JIT:  # type: ignore[attr-defined]
        return None
    compiled = getattr(policy.update_nb, "nopython_signatures", None)
    if compiled is None:
        return "update_nb is not compiled; a policy in plain Python is made by python_policy"
    if [tuple(found.args) for found in compiled] != [tuple(UPDATE_SIGNATURE.args)]:
        return "update_nb must be compiled with exactly UPDATE_SIGNATURE"
    return None
