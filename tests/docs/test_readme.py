"""The README's tables say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from django.core.management import get_commands, load_command_class

from tradedesk.env import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    defaults = [f"`{entry.default}`" if entry.default else "" for entry in SETTINGS]
    rows = [f"| `{entry.name}` | {text} | {entry.help} |" for entry, text in zip(SETTINGS, defaults, strict=True)]
    return "\n".join(["| setting | default | what it does |", "|---|---|---|", *rows])


def commands_table() -> str:
    own = {name: app for name, app in get_commands().items() if str(app).startswith(("apps.", "tradedesk"))}
    rows = [f"| `manage.py {name}` | {load_command_class(app, name).help} |" for name, app in sorted(own.items())]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def make_table() -> str:
    targets = re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text(), re.M)
    rows = [f"| `make {name}` | {text} |" for name, text in targets]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def test_the_settings_table_is_the_settings() -> None:
    assert settings_table() in README, settings_table()


def test_the_commands_table_is_the_commands() -> None:
    assert commands_table() in README, commands_table()


def test_the_make_table_is_the_makefile() -> None:
    assert make_table() in README, make_table()


def test_every_picture_and_page_exists() -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_every_command_has_help_and_exit_codes() -> None:
    for name, app in get_commands().items():
        if str(app).startswith(("apps.", "tradedesk")):
            command = load_command_class(app, name)
            assert command.help, name
            assert "exit" in f"{command.__doc__} {command.help}".lower(), f"{name} does not state its exit codes"
