"""The errors of the house.

TradedeskError
├── InvalidInput        what a caller sent cannot be used; `field` names where
│   └── UnknownName     a policy, guard, flag, symbol or card nobody registered
├── Conflict            the state does not allow it
│   └── StaleState      somebody else changed the row first
├── Unavailable         something needed is not there now; trying again may help
├── DataError           market data that cannot be trusted
└── IntegrityBreach     stored facts contradict each other; never continue
"""


class TradedeskError(Exception):
    """Root of every error this project raises on purpose."""


class InvalidInput(TradedeskError):
    """What a caller sent cannot be used. `field` names the member at fault."""

    def __init__(self, message: str, *, field: str = "body") -> None:
        super().__init__(message)
        self.field = field


class UnknownName(InvalidInput):
    """Nobody registered this name."""


class Conflict(TradedeskError):
    """The present state does not allow it."""


class StaleState(Conflict):
    """Somebody else changed the row first."""


class Unavailable(TradedeskError):
    """Something needed is not there now; trying again may help."""


class DataError(TradedeskError):
    """Market data that cannot be trusted."""


class IntegrityBreach(TradedeskError):
    """Stored facts contradict each other."""
