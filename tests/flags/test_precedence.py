"""Which source of a flag wins, against a table written out by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from apps.engine.errors import InvalidInput
from apps.engine.registry import Registry
from apps.flags import definitions
from apps.flags.definitions import FLAGS, Flag, declare
from apps.flags.precedence import UNSET, evaluate


def flag(*, default: Any, safe: Any, critical: bool) -> Flag:
    is_bool = isinstance(default, bool)
    choices = () if is_bool else ("strict", "relaxed")
    return Flag(
        "Probe", kind="bool" if is_bool else "choice", default=default, safe=safe, help="", choices=choices,
        safety_critical=critical,
    )  # fmt: skip


# safe value, environment, database -> value and source, by what an ordinary and a critical flag must give.
# "-" is not given, "?" cannot be read, "d" is the default.
TRUTH = """
safe  env  db   ordinary     critical
off   -    -    d default    d default
off   -    off  off db       off db
off   -    on   on db        on db
off   -    ?    off error    off error
off   off  -    off env      off env
off   off  off  off db       off db
off   off  on   on db        off env
off   off  ?    off error    off error
off   on   -    on env       on env
off   on   off  off db       off db
off   on   on   on db        on db
off   on   ?    off error    off error
off   ?    -    off error    off error
off   ?    off  off error    off error
off   ?    on   off error    off error
off   ?    ?    off error    off error
on    -    -    d default    d default
on    -    off  off db       off db
on    -    on   on db        on db
on    -    ?    on error     on error
on    off  -    off env      off env
on    off  off  off db       off db
on    off  on   on db        on db
on    off  ?    on error     on error
on    on   -    on env       on env
on    on   off  off db       on env
on    on   on   on db        on db
on    on   ?    on error     on error
on    ?    -    on error     on error
on    ?    off  on error     on error
on    ?    on   on error     on error
on    ?    ?    on error     on error
"""
ROWS = [line.split() for line in TRUTH.strip().splitlines()[1:]]
WORDS: dict[str, dict[str, Any]] = {
    "bool": {"off": False, "on": True},
    "choice": {"off": "relaxed", "on": "strict"},
}
ENV_TEXTS = {
    "bool": {"off": "false", "on": "1", "?": "ture"},
    "choice": {"off": "relaxed", "on": "strict", "?": "Strict"},
}
DB_WRONG = {"bool": "true", "choice": True}
CASES = [
    (row, kind, default, is_critical)
    for row, kind, default, is_critical in product(ROWS, ("bool", "choice"), ("off", "on"), (False, True))
]


def test_the_table_has_every_combination() -> None:
    assert len({tuple(row[:3]) for row in ROWS}) == 2 * 4 * 4
    assert len(CASES) >= 200


@pytest.mark.parametrize(("row", "kind", "default", "is_critical"), CASES)
def test_the_source_that_wins(row: list[str], kind: str, default: str, is_critical: bool) -> None:
    safe, env, db = row[:3]
    value, source = row[5:7] if is_critical else row[3:5]
    words = WORDS[kind]
    probe = flag(default=words[default], safe=words[safe], critical=is_critical)
    found = evaluate(
        probe,
        env_text=None if env == "-" else ENV_TEXTS[kind][env],
        db_value=UNSET if db == "-" else DB_WRONG[kind] if db == "?" else words[db],
    )
    assert (found.value, found.source) == (words[default if value == "d" else value], source)
    assert bool(found.error) == (source == "error")


@pytest.mark.parametrize("text", ["ture", "", "2", "tru e", "None", "TRUE!", "yes please", "0.0", "enabled", "-1"])
def test_a_text_that_is_no_value_is_not_guessed_at(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        FLAGS.get("ExecutionRouter").read_text(text)
    assert caught.value.field == "EXECUTION_ROUTER"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("ExecutionRouter", "EXECUTION_ROUTER"),
        ("StrategyRouter", "STRATEGY_ROUTER"),
        ("BOCPD", "BOCPD"),
        ("DataQuality", "DATA_QUALITY"),
    ],
)
def test_the_variable_has_the_name_of_the_flag(name: str, variable: str) -> None:
    assert FLAGS.get(name).env_name == variable


def test_a_name_is_declared_once_and_a_retired_one_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Registry[Flag] = Registry("flag", lambda entry: entry.name)
    probe = flag(default=True, safe=False, critical=False)
    declare(probe, registry)
    with pytest.raises(ValueError, match="twice"):
        declare(probe, registry)
    monkeypatch.setattr(definitions, "RETIRED", frozenset({"Probe"}))
    with pytest.raises(ValueError, match="retired"):
        declare(probe, Registry("flag", lambda entry: entry.name))


def test_a_default_must_be_a_value_of_its_flag() -> None:
    with pytest.raises(InvalidInput):
        Flag("Probe", kind="choice", default="loose", safe="strict", help="", choices=("strict",))


def test_what_sends_orders_is_safety_critical_and_safe_when_off() -> None:
    assert FLAGS.get("ExecutionRouter").safety_critical is True
    assert FLAGS.get("ExecutionRouter").safe is False
