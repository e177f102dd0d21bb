"""One place per kind of thing: names are unique, and unknown names raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Generic, TypeVar

from apps.engine.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, in order of registration. Duplicates raise ValueError, unknown names UnknownName."""

    def __init__(self, kind: str, name_of: Callable[[T], str]) -> None:
        self._kind = kind
        self._name_of = name_of
        self._entries: dict[str, T] = {}

    def register(self, entry: T) -> T:
        name = self._name_of(entry)
        if name in self._entries:
            raise ValueError(f"{self._kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        if name not in self._entries:
            known = ", ".join(self._entries) or "none"
            raise UnknownName(f"unknown {self._kind} {name!r}; known: {known}", field=self._kind)
        return self._entries[name]

    def names(self) -> list[str]:
        return list(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


def import_members(package: ModuleType) -> None:
    """Import every module of a package, in name order, so that each can register what it holds."""
    for member in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{member.name}")
