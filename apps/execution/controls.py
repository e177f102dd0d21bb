"""The controls of a decision: read in one SELECT, typed, and failing closed where one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from django.conf import settings

from apps.audit import selectors as audit
from apps.engine.errors import Unavailable
from apps.engine.policies import arms
from apps.engine.reasons import TradingState
from apps.flags import selectors as flags
from apps.risk.latches import released_sequence
from apps.risk.limits import LIMITS
from apps.risk.states import DESK_KEY

_HALTED = int(TradingState.HALTED)


@dataclass(frozen=True)
class Controls:
    """Flags, limits and trading state as one decision sees them. `sequence` is the newest record they come from.

    `desk_released` and `symbol_released` are the records that last released latches: older ones are gone
    (`symbol_released` is the newer of the symbol's and the desk's).
    """

    flags: Mapping[str, Any]
    limits: Mapping[str, int]
    trading_state: int | None
    rehearsal_bps: int
    sequence: int
    desk_released: int
    symbol_released: int


def controls_read(*, symbol: str, halted: str | None, using: str) -> Controls:
    """The controls that hold now. `halted` is what the kill fence knows; an unreadable state is None."""
    return _controls_of(audit.control_rows(using=using), flags.environment(), symbol, halted is not None)


@lru_cache(maxsize=256)
def _controls_of(rows: audit.ControlRows, env: tuple[str | None, ...], symbol: str, is_halted: bool) -> Controls:
    """What rows and environment say. They are read for each decision and understood once, until one of them changes."""
    current = audit.controls_of(rows)
    values = {key: entry.value for key, entry in current.items()}
    canary = values.get("canary") or {}
    return Controls(
        flags=MappingProxyType(flags.flags_of_controls(values, env)),
        limits=MappingProxyType(_limits_of(values)),
        trading_state=_HALTED if is_halted else _state_of(values, symbol),
        rehearsal_bps=int(canary.get("weightBps", 0)),
        sequence=max((entry.sequence for entry in current.values()), default=0),
        desk_released=released_sequence(current),
        symbol_released=released_sequence(current, symbol),
    )


def _limits_of(values: dict[str, Any]) -> dict[str, int]:
    """Every limit; a desk whose limits were never seeded takes no decision."""
    missing = [name for name in LIMITS if f"limit.{name}" not in values]
    if missing:
        raise Unavailable(f"no limit {missing[0]} is in force: the controls were never seeded")
    return {name: int(values[f"limit.{name}"]) for name in LIMITS}


def _state_of(values: dict[str, Any], symbol: str) -> int | None:
    """The safer of the desk's and the symbol's state; None when the desk's was never set or cannot be read."""
    names = [values.get(DESK_KEY), values.get(f"state.symbol.{symbol}", "ACTIVE")]
    if any(name not in TradingState.__members__ for name in names):
        return None
    return max(int(TradingState[name]) for name in names)


def fallback_arm() -> int:
    """Position of FALLBACK_POLICY among the arms; -1 when no policy has that name."""
    names = [policy.policy_id for policy in arms()]
    return names.index(settings.FALLBACK_POLICY) if settings.FALLBACK_POLICY in names else -1
