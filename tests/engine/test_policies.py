"""The contract of a policy, run over everything registered, and each rule against its definition."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apps.engine import policies
from apps.engine.errors import InvalidInput, UnknownName
from apps.engine.policies import POLICIES, Policy, arms, validate_values
from apps.engine.registry import import_members
from tests.engine.policy_runs import draws, signals
from tests.engine.series import Columns, flat, head, jumps, market, scaled

ROOT = Path(__file__).resolve().parents[2]
EACH = pytest.mark.parametrize("policy", arms(), ids=lambda policy: policy.policy_id)
N = 700


def test_the_arms_are_in_order_of_id() -> None:
    names = [policy.policy_id for policy in arms()]
    built_in = ["boll_revert", "breakout_vol", "donchian", "ema_cross", "rsi_revert", "tsmom", "vol_target"]
    assert names == sorted(names) and [name for name in names if name in built_in] == built_in
    assert "cash" not in names


@EACH
def test_the_schema_is_sound(policy: Policy) -> None:
    assert policy.summary.endswith(".") and policy.policy_id.isidentifier()
    for parameter in policy.parameters:
        assert parameter.low < parameter.high and parameter.low <= parameter.default <= parameter.high
        assert parameter.scale == "linear" or parameter.low > 0
        assert parameter.kind in {"int", "float"} and parameter.help.endswith(".")
    assert policy.constraint(policy.defaults()) is None
    assert isinstance(policy.warm_up(policy.defaults()), int) and policy.warm_up(policy.defaults()) > 0


@EACH
def test_a_constraint_names_its_parameter(policy: Policy) -> None:
    corners = [
        {p.name: p.high if p.name == high.name else p.low for p in policy.parameters} for high in policy.parameters
    ]
    for values in corners:
        fault = policy.constraint(values)
        assert fault is None or fault.split()[0] in values


@EACH
@pytest.mark.parametrize("columns", [market(N), flat(N), jumps(N)], ids=["market", "flat", "jumps"])
def test_signals_are_bounded_and_zero_until_warm(policy: Policy, columns: Columns) -> None:
    for values in [policy.defaults(), *draws(policy, 5)]:
        out = signals(policy, columns, values)
        assert np.all(np.abs(out) <= 1.0)  # NaN fails too
        assert not np.any(out[: policy.warm_up(values) - 1])


@EACH
def test_a_signal_knows_only_its_past(policy: Policy) -> None:
    columns = market(N)
    whole = signals(policy, columns)
    for n in (1, 60, 131, 400, N - 1):
        assert np.array_equal(signals(policy, head(columns, n)), whole[:n])


@EACH
def test_the_unit_of_price_does_not_matter(policy: Policy) -> None:
    columns = market(N)
    for values in [policy.defaults(), *draws(policy, 3)]:
        whole = signals(policy, columns, values)
        for power in (-20, -1, 7):
            assert np.array_equal(signals(policy, scaled(columns, 2.0**power), values), whole)


@EACH
def test_one_bar_at_a_time_and_a_copy_in_the_middle_change_nothing(policy: Policy) -> None:
    columns = market(N)
    whole = signals(policy, columns)
    params, state = policy.init(policy.defaults())
    single = []
    for t in range(N):
        if t % 97 == 50:
            params, state = params.copy(), state.copy()
        single.append(policy.update_nb(params, state, *(float(column[t]) for column in columns)))
    assert np.array_equal(np.array(single), whole)


@EACH
def test_it_trades_on_a_moving_market(policy: Policy) -> None:
    out = signals(policy, market(5_000, sigma=0.01))
    assert np.count_nonzero(np.diff(out)) > 10


@EACH
@pytest.mark.parametrize("bad", [True, "24", None, math.nan, math.inf, 10**400, -(10**400), [24]])
def test_bad_values_name_the_parameter(policy: Policy, bad: object) -> None:
    for parameter in policy.parameters:
        with pytest.raises(InvalidInput, match=parameter.name) as caught:
            validate_values(policy, {parameter.name: bad})
        assert caught.value.field == parameter.name


def test_values_are_checked_by_name_range_kind_and_together() -> None:
    policy = POLICIES.get("ema_cross")
    assert validate_values(policy, {"fast": 12.0}) == {"fast": 12, "slow": 96, "band": 0.0}
    assert isinstance(validate_values(policy, {"fast": 12.0})["fast"], int)
    cases = {"pace": {"pace": 1}, "fast": {"fast": 12.5}, "band": {"band": 1.01}, "slow": {"fast": 60, "slow": 119}}
    for field, values in cases.items():
        with pytest.raises(InvalidInput) as caught:
            validate_values(policy, values)
        assert caught.value.field == field
    with pytest.raises(UnknownName):
        POLICIES.get("pace")


def test_a_new_file_is_found_without_an_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (ROOT / "apps/engine/policies/vol_target.py").read_text()
    (tmp_path / "found_by_itself.py").write_text(source.replace('policy_id="vol_target"', 'policy_id="found"'))
    monkeypatch.setattr(policies, "__path__", [*policies.__path__, str(tmp_path)])
    monkeypatch.setattr(POLICIES, "_entries", dict(POLICIES._entries))
    import_members(policies)
    try:
        assert "found" in POLICIES and "found" in [policy.policy_id for policy in arms()]
        assert np.array_equal(signals(POLICIES.get("found"), market(N)), signals(POLICIES.get("vol_target"), market(N)))
    finally:
        del sys.modules["apps.engine.policies.found_by_itself"]


SECOND_PROCESS = """
from apps.engine.policies import arms
from apps.engine.policies.driver import policy_batch_nb
import numpy as np
column = np.ones(3)
for policy in arms():
    policy_batch_nb(policy.update_nb, *policy.init(policy.defaults()), *(column,) * 5, np.empty(3))
kernels = [policy_batch_nb, *(policy.update_nb for policy in arms())]
print(*(f"{sum(k.stats.cache_hits.values())}{sum(k.stats.cache_misses.values())}" for k in kernels))
"""


def test_a_second_process_compiles_nothing() -> None:
    for policy in arms():
        signals(policy, flat(3))
    answer = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["10"] * (1 + len(arms()))
