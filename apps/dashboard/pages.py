"""Which pages hold cards? An app that owns one registers it here and routes it to `views.page`."""

from __future__ import annotations

from dataclasses import dataclass

from apps.engine.registry import Registry

# What a page without cards asks for, to keep its header true; no page may take this name.
HEADER_ONLY = "header"


@dataclass(frozen=True)
class Page:
    """One page of cards, listed in the navigation by its title."""

    name: str
    title: str
    route_name: str
    order: int = 0

    def __post_init__(self) -> None:
        if self.name == HEADER_ONLY:
            raise ValueError(f"the page name {HEADER_ONLY!r} stands for the header alone")


PAGES: Registry[Page] = Registry("page", lambda page: page.name)
register = PAGES.register

DESK = register(Page("desk", "Desk", "dashboard"))


def pages_in_order() -> list[Page]:
    return sorted(PAGES, key=lambda page: (page.order, page.name))
