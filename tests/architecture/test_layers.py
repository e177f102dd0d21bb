"""The house: imports point down, siblings are blind to each other, the engine is pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [
    {"tradedesk"},
    {"research"},
    {"execution"},
    {"canary"},
    {"strategy", "risk"},
    {"marketdata"},
    {"flags", "accounts"},
    {"audit"},
    {"telemetry", "dashboard"},
    {"web"},
    {"engine"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
ENGINE_FORBIDDEN = {
    *("time", "random", "os", "socket", "logging", "asyncio", "datetime", "secrets", "uuid", "threading"),
    *("django", "rest_framework", "channels", "httpx", "aiohttp", "websockets", "scipy", "pandas", "pathlib", "io"),
}
ENGINE_ALLOWED_THIRD_PARTY = {"numpy", "numba", "apps"}


def imports_of(source: str) -> list[str]:
    """Dotted names that a module imports, `from a.b import c` as `a.b.c`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                names.append("relative import")
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return "tradedesk" if parts[0] == "tradedesk" else parts[1]


def breaches(path: Path, source: str) -> list[str]:
    """What in this module breaks the rules of the house, in words."""
    room, found = room_of(path), []
    for name in imports_of(source):
        parts = name.split(".")
        if name == "relative import":
            found.append("relative import; use absolute imports")
        target = parts[1] if parts[0] == "apps" and len(parts) > 1 else parts[0]
        if room == "engine" and parts[0] in ENGINE_FORBIDDEN:
            found.append(f"the engine imports {name}")
        if target not in LEVEL or (parts[0] not in {"apps", "tradedesk"}) or target == room:
            continue
        if LEVEL[target] <= LEVEL[room]:
            found.append(f"{room} imports {name}, which is not below it")
        elif target not in {"engine", "web"} and len(parts) > 2 and parts[2] == "models":
            found.append(f"{room} imports {name}; across apps only services and selectors")
    return found


def modules() -> list[Path]:
    return [
        path
        for folder in ("apps", "tradedesk")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.parent != ROOT / "apps"
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_it_imports_only_from_below(path: Path) -> None:
    assert breaches(path, path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("engine", "import time"),
        ("engine", "from django.conf import settings"),
        ("engine", "from apps.web import errors"),
        ("marketdata", "from apps.execution import services"),
        ("strategy", "from apps.risk import selectors"),
        ("execution", "from apps.audit.models import AuditRecord"),
        ("audit", "from tradedesk import settings"),
        ("flags", "from . import definitions"),
    ],
)
def test_a_breach_is_named(room: str, source: str) -> None:
    assert breaches(ROOT / "apps" / room / "probe.py", source) != []


def test_every_room_has_a_level() -> None:
    rooms = {path.name for path in (ROOT / "apps").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(LEVEL)
