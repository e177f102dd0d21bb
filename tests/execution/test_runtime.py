"""What becomes of the process when a thread that acts on its own ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.engine.errors import IntegrityBreach
from apps.marketdata.market import MarketView
from apps.risk.selectors import trading_state_current
from tests.support.live_desk import CLOSED_MS
from tradedesk.acting import Acting


class Raising:
    """A thread that ends with an error; keeps what was said and whether the process was told to end."""

    def __init__(self, error: BaseException) -> None:
        self.said: list[str] = []
        self.ended: list[bool] = []
        self.acting: Any = None
        asyncio.run(self._run(error))

    async def _run(self, error: BaseException) -> None:
        def work() -> None:
            raise error

        self.acting = Acting(self.said.append, lambda: self.ended.append(True))
        await asyncio.to_thread(self.acting._guarded, "autopilot", work)
        await asyncio.sleep(0)


def test_facts_that_contradict_each_other_halt_the_desk_and_it_goes_on_serving(quiet_desk: MarketView) -> None:
    quiet_desk.clock.observe(CLOSED_MS)
    raising = Raising(IntegrityBreach("a bar was changed"))
    state = trading_state_current()
    assert (state.is_halted, state.actor, state.reason) == (True, "recovery", "a bar was changed")
    assert raising.said == ["HALTED: a bar was changed"] and raising.ended == [] and raising.acting.failed is None


def test_a_bug_ends_the_process(quiet_desk: MarketView, caplog: pytest.LogCaptureFixture) -> None:
    """An autopilot that has died in silence would leave a desk that looks well and never trades."""
    raising = Raising(ZeroDivisionError("a bug"))
    assert raising.ended == [True] and isinstance(raising.acting.failed, ZeroDivisionError)
    assert "the autopilot ended" in caplog.text and not trading_state_current().is_halted
