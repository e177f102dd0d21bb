"""Which faults shall the exchange have? A short text, such as `reset:0.01,stall:5s`, made into settings."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import NamedTuple

SECOND, FRAME, PONG, CONNECTION, BAR, REQUEST = "second", "frame", "pong", "connection", "bar", "request"
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)", re.ASCII)
_CHANCE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Kind(NamedTuple):
    """A fault as it is offered: what it does, what its chance is counted by, and its defaults."""

    help: str
    per: str
    chance: float
    seconds: float = 0.0


class Setting(NamedTuple):
    """A fault as it was asked for."""

    chance: float
    seconds: float


KINDS: dict[str, Kind] = {
    "reset": Kind("the connection ends with RST", SECOND, 0.01),
    "stall": Kind("nothing is sent for so long, then all of it", SECOND, 0.01, 5.0),
    "half-open": Kind("the socket stays open, nothing passes any more", SECOND, 0.003),
    "silence": Kind("only pings are sent from now on", SECOND, 0.003),
    "slice": Kind("the frame comes in pieces of a few bytes", FRAME, 0.01),
    "duplicate": Kind("the frame comes twice", FRAME, 0.01),
    "reorder": Kind("the frame changes places with the next one", FRAME, 0.01),
    "lose": Kind("the frame never comes", FRAME, 0.001),
    "garbage": Kind("a frame of nonsense comes before it", FRAME, 0.001),
    "huge": Kind("a text frame of 2 MiB", SECOND, 0.002),
    "swallow-pong": Kind("the answer to a ping is not seen", PONG, 0.1),
    "latency": Kind("each frame of the connection is so late", CONNECTION, 0.5, 0.2),
    "life": Kind("connections end after so long, announced by serverShutdown", CONNECTION, 1.0, 120.0),
    "wrong-bar": Kind("the stream's closing frame is not what REST says", BAR, 0.05),
    "late-correction": Kind("for so long (market time) a closed bar is told as it was first thought", BAR, 0.05, 90.0),
    "missing-bar": Kind("the bar is in neither stream nor REST, though there were trades", BAR, 0.02),
    "halt": Kind("the symbol stands still for so long (market time): no frames, no bars, no word", BAR, 0.01, 180.0),
    "html": Kind("REST answers 403 or 503 with a page of HTML", REQUEST, 0.03),
}

Faults = Mapping[str, Setting]
NONE: Faults = {}


def parse_faults(text: str) -> dict[str, Setting]:
    """Settings by name; later entries win, a chance of 0 turns one off. Raises ValueError with what is wrong."""
    found: dict[str, Setting] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, *values = entry.split(":")
        if name == "all":
            if values:
                raise ValueError("`all` takes no values; follow it by the faults that shall differ")
            found = {name: Setting(kind.chance, kind.seconds) for name, kind in KINDS.items()}
            continue
        if name not in KINDS:
            raise ValueError(f"unknown fault {name!r}; there are all, {', '.join(KINDS)}")
        found[name] = _setting(name, values)
    return {name: setting for name, setting in found.items() if setting.chance > 0}


def described() -> str:
    """The faults as a table for --help."""
    lines = [
        f"  {name:<16}{kind.help} [{kind.chance:g} per {kind.per}{f', {kind.seconds:g}s' if kind.seconds else ''}]"
        for name, kind in KINDS.items()
    ]
    return "\n".join(lines)


class Dice:
    """Draws whether a fault happens now."""

    def __init__(self, faults: Faults, rng: random.Random) -> None:
        self.faults = faults
        self.rng = rng

    def hits(self, name: str, *, times: float = 1.0) -> bool:
        """Whether it happens at least once in so many tries of its chance."""
        setting = self.faults.get(name)
        return setting is not None and self.rng.random() < 1.0 - (1.0 - setting.chance) ** times

    def seconds(self, name: str) -> float:
        return self.faults[name].seconds


def _setting(name: str, values: list[str]) -> Setting:
    kind = KINDS[name]
    chance, seconds = kind.chance, kind.seconds
    for value in values:
        if (match := _DURATION.fullmatch(value)) and kind.seconds:
            seconds = float(match[1]) * _UNITS_S[match[2]]
        elif _CHANCE.fullmatch(value) and float(value) <= 1.0:
            chance = float(value)
        else:
            wanted = "a chance from 0 to 1" + (" or a duration such as 5s" if kind.seconds else "")
            raise ValueError(f"{name}: {value!r} is not {wanted}")
    return Setting(chance, seconds)
