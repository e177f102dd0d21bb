"""Which flags exist? One row each; a name that was used once is never used again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from apps.engine.errors import InvalidInput
from apps.engine.registry import Registry

FlagValue = bool | str
# Names of flags that are gone. Dormant code behind a reused name must not wake up.
RETIRED: frozenset[str] = frozenset()
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class Flag:
    """A switch of the desk. `safe` is the value to hold when in doubt; safety-critical flags prefer it to any other."""

    name: str
    kind: Literal["bool", "choice"]
    default: FlagValue
    safe: FlagValue
    help: str
    safety_critical: bool = False
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for value in (self.default, self.safe):
            self.check(value)

    @property
    def env_name(self) -> str:
        """`EXECUTION_ROUTER` for `ExecutionRouter`."""
        return _WORD_START.sub("_", self.name).upper()

    @property
    def control_key(self) -> str:
        return f"flag.{self.name}"

    def check(self, value: Any) -> FlagValue:
        """The value, when it is one of this flag. Raises InvalidInput naming the flag."""
        if self.kind == "bool" and not isinstance(value, bool):
            raise InvalidInput("must be true or false", field=self.name)
        if self.kind == "choice" and value not in self.choices:
            raise InvalidInput(f"must be one of {', '.join(self.choices)}", field=self.name)
        checked: FlagValue = value
        return checked

    def read_text(self, text: str) -> FlagValue:
        """The value that an environment variable spells. Raises InvalidInput naming the variable."""
        word = text.strip()
        if self.kind == "bool" and word.lower() in _WORDS:
            return _WORDS[word.lower()]
        if self.kind == "choice" and word in self.choices:
            return word
        known = ", ".join(self.choices) if self.kind == "choice" else "true, false, yes, no, on, off, 1, 0"
        raise InvalidInput(f"{self.env_name}={text!r} must be one of {known}", field=self.env_name)


def declare(flag: Flag, registry: Registry[Flag]) -> Flag:
    """Add a flag. Raises ValueError for a name in use or retired."""
    if flag.name in RETIRED:
        raise ValueError(f"flag {flag.name!r} is retired; choose a new name")
    return registry.register(flag)


FLAGS: Registry[Flag] = Registry("flag", lambda flag: flag.name)
for _flag in (
    Flag(
        "ExecutionRouter",
        kind="bool",
        default=True,
        safe=False,
        safety_critical=True,
        help="Orders may be sent to the paper book; off, every decision is recorded as blocked.",
    ),
    Flag(
        "StrategyRouter",
        kind="bool",
        default=True,
        safe=False,
        help="The learning router chooses the policy; off, FALLBACK_POLICY decides.",
    ),
    Flag(
        "BOCPD",
        kind="bool",
        default=True,
        safe=False,
        help="Change-point detection feeds the regime; off, the regime is reported as disabled.",
    ),
    Flag(
        "DataQuality",
        kind="choice",
        default="strict",
        safe="strict",
        choices=("strict", "relaxed"),
        help="How suspicious a bar may look before it is held back.",
    ),
):
    declare(_flag, FLAGS)
