"""What becomes of the process when its autopilot ends, and of bars that the stream brings."""

from __future__ import annotations

from typing import Any

import pytest

from apps.engine.errors import IntegrityBreach
from apps.marketdata.market import MarketView
from apps.risk.selectors import trading_state_current
from tests.support.live_desk import CLOSED_MS
from tradedesk.runtime import Runtime


class Raising:
    """A runtime whose autopilot ends with an error; keeps what was said and whether the process was told to end."""

    def __init__(self, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.ended: list[bool] = []
        self.runtime = Runtime("autopilot", self.said.append, {})

        def loop() -> Any:
            raise error

        monkeypatch.setattr(self.runtime, "_autopilot_loop", loop)
        self.runtime._autopilot_thread(lambda: self.ended.append(True))


def test_facts_that_contradict_each_other_halt_the_desk_and_it_goes_on_serving(
    quiet_desk: MarketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_desk.clock.observe(CLOSED_MS)
    raising = Raising(IntegrityBreach("a bar was changed"), monkeypatch)
    state = trading_state_current()
    assert (state.is_halted, state.actor, state.reason) == (True, "recovery", "a bar was changed")
    assert raising.said == ["HALTED: a bar was changed"] and raising.ended == [] and raising.runtime.failed is None


def test_a_bug_ends_the_process(
    quiet_desk: MarketView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An autopilot that has died in silence would leave a desk that looks well and never trades."""
    raising = Raising(ZeroDivisionError("a bug"), monkeypatch)
    assert raising.ended == [True] and isinstance(raising.runtime.failed, ZeroDivisionError)
    assert "the autopilot ended" in caplog.text and not trading_state_current().is_halted
