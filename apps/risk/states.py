"""What is a trading state, and which of two is the safer?"""

from __future__ import annotations

from typing import NamedTuple

from apps.engine.errors import InvalidInput
from apps.engine.reasons import TradingState

DESK = ""
DESK_KEY = "state.desk"
SYMBOL_PREFIX = "state.symbol."
KILL_KEY = "kill"
EPOCH_KEY = "account.epoch"
RELEASE_WORD = "RELEASE"


class CurrentState(NamedTuple):
    """A state that holds, with who set it and why. `scope` is "" for the desk, else the symbol."""

    scope: str
    state: TradingState
    actor: str
    reason: str
    ts_ms: int

    @property
    def is_halted(self) -> bool:
        return self.state is TradingState.HALTED


def control_key(scope: str) -> str:
    return SYMBOL_PREFIX + scope if scope else DESK_KEY


def released_key(scope: str) -> str:
    """The control whose record released the latches of a scope."""
    return f"released.symbol.{scope}" if scope else "released.desk"


def parse_state(value: str | TradingState) -> TradingState:
    """A state by name. Raises InvalidInput."""
    if isinstance(value, TradingState):
        return value
    if value not in TradingState.__members__:
        raise InvalidInput(f"must be one of {', '.join(TradingState.__members__)}", field="state")
    return TradingState[value]


def safest(*states: CurrentState) -> CurrentState:
    """The state that allows least; the first of equals."""
    return max(states, key=lambda current: current.state)
