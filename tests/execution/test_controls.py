"""The controls of a decision: understood once, and anew as soon as a row or the environment says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.engine.errors import Unavailable
from apps.engine.reasons import TradingState
from apps.execution import controls
from apps.execution.controls import Controls, controls_read
from apps.flags.services import flags_set
from apps.risk import services as risk
from tests.support.desk import seed_desk

BY: dict[str, Any] = {"actor": "test", "reason": "a test", "ts_ms": 1_700_000_000_000}


@pytest.fixture(autouse=True)
def seeded(desk_db: Path) -> None:
    seed_desk(("BTCUSDT",))


def read(symbol: str = "BTCUSDT", halted: str | None = None) -> Controls:
    return controls_read(symbol=symbol, halted=halted, using="default")


def test_what_has_not_changed_is_understood_once() -> None:
    first = read()
    assert read() is first and read(halted="killed") is not first


def test_a_change_of_any_kind_holds_at_the_next_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    before = read()
    risk.limits_set(changes={"orders_per_minute": before.limits["orders_per_minute"] - 1}, **BY)
    lower = read()
    assert lower.limits["orders_per_minute"] == before.limits["orders_per_minute"] - 1
    assert lower.sequence > before.sequence
    flags_set(changes={"StrategyRouter": False}, **BY)
    assert (lower.flags["StrategyRouter"], read().flags["StrategyRouter"]) == (True, False)
    monkeypatch.setenv("EXECUTION_ROUTER", "false")
    assert (lower.flags["ExecutionRouter"], read().flags["ExecutionRouter"]) == (True, False)
    risk.trading_state_set(state="REDUCING", symbol="BTCUSDT", **BY)
    assert (lower.trading_state, read().trading_state) == (TradingState.ACTIVE, TradingState.REDUCING)
    assert (
        read("ETHUSDT").trading_state == TradingState.ACTIVE and read(halted="x").trading_state == TradingState.HALTED
    )


def test_what_is_shared_cannot_be_changed() -> None:
    found: Any = read()
    for shared in (found.limits, found.flags):
        with pytest.raises(TypeError):
            shared["orders_per_minute"] = 10**6


def test_controls_that_were_never_seeded_are_refused_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "LIMITS", [*controls.LIMITS, "unheard_of"])
    controls._controls_of.cache_clear()
    for _ in range(2):
        with pytest.raises(Unavailable, match="unheard_of"):
            read()
