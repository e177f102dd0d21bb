"""What stands in the header of every page? Pills and the market clock, registered by the apps that know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from apps.engine.registry import Registry

TONES = ("good", "warn", "bad", "plain")


class PillState(NamedTuple):
    """What a pill says now. The tone is one of TONES; `detail` is its tooltip, `href` where it leads."""

    text: str
    tone: str = "plain"
    detail: str = ""
    href: str = ""


class ClockState(NamedTuple):
    """Market time now, and how fast it runs against the wall."""

    now_ms: int
    speed: float = 1.0


@dataclass(frozen=True)
class Pill:
    """One named state in the header, such as the trading state."""

    name: str
    title: str
    selector: Callable[[], PillState]
    order: int = 0


@dataclass(frozen=True)
class Clock:
    """The source of market time; there is at most one, named `market`."""

    selector: Callable[[], ClockState | None]
    name: str = "market"


PILLS: Registry[Pill] = Registry("pill", lambda pill: pill.name)
CLOCKS: Registry[Clock] = Registry("clock", lambda clock: clock.name)
register_pill = PILLS.register


def register_clock(selector: Callable[[], ClockState | None]) -> Clock:
    """Name the source of market time. Raises ValueError when there is one already."""
    return CLOCKS.register(Clock(selector))


def pill_context(pill: Pill) -> Mapping[str, Any]:
    """The values of one pill. Raises ValueError for a tone nobody styled."""
    state = pill.selector()
    if state.tone not in TONES:
        raise ValueError(f"pill {pill.name!r} has the tone {state.tone!r}; known: {', '.join(TONES)}")
    return {"pill": pill, "state": state}


def pills_in_order() -> list[Pill]:
    return sorted(PILLS, key=lambda pill: (pill.order, pill.name))
