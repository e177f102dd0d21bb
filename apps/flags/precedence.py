"""Which source of a flag wins: default, environment or database? For safety-critical flags, the safer one."""

from __future__ import annotations

from typing import Any, NamedTuple

from apps.engine.errors import InvalidInput
from apps.flags.definitions import Flag, FlagValue

DEFAULT, ENV, DB, ERROR = "default", "env", "db", "error"


class Evaluation(NamedTuple):
    """A flag's value, where it came from, and what was wrong with a source that could not be read."""

    value: FlagValue
    source: str
    error: str = ""


class _Unset:
    """No value was given; distinct from any value."""


UNSET: Any = _Unset()


def evaluate(flag: Flag, *, env_text: str | None, db_value: Any = UNSET) -> Evaluation:
    """Ordinary flags: database over environment over default. Safety-critical ones: the safer of what is given.

    A source that cannot be read gives the safe value and says so: neither spelling can switch risk on by mistake.
    """
    try:
        env = UNSET if env_text is None else flag.read_text(env_text)
        db = UNSET if db_value is UNSET else flag.check(db_value)
    except InvalidInput as error:
        return Evaluation(flag.safe, ERROR, str(error))
    if flag.safety_critical and env is not UNSET and db is not UNSET:
        return Evaluation(db, DB) if db == flag.safe or env != flag.safe else Evaluation(env, ENV)
    if db is not UNSET:
        return Evaluation(db, DB)
    return Evaluation(flag.default, DEFAULT) if env is UNSET else Evaluation(env, ENV)
