"""Which cards are there? Every app registers its own here; the dashboard knows none of them.

A card is a selector and a template that extends `dashboard/card.html`. It is rendered without a request, at most once
per `ttl_s` and process, and shown to everyone who may see the page: nothing of the viewer may be in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.engine.registry import Registry

COLUMNS = 12
RESERVED_KEYS = frozenset({"card", "rendered_ms"})
_NAME = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)


@dataclass(frozen=True)
class Card:
    """One card. `span` is its width in twelfths of the page; `query_budget` the most queries its selector may make."""

    name: str
    title: str
    template_name: str
    selector: Callable[[], Mapping[str, Any]]
    page: str = "desk"
    order: int = 0
    ttl_s: float = 1.0
    span: int = 4
    query_budget: int = 4

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"card name {self.name!r} must be lower-case letters, digits and hyphens")
        if not 1 <= self.span <= COLUMNS:
            raise ValueError(f"card {self.name!r}: span {self.span} is not within 1 and {COLUMNS}")

    @property
    def element_id(self) -> str:
        return f"card-{self.name}"


CARDS: Registry[Card] = Registry("card", lambda card: card.name)
register = CARDS.register


def cards_of(page: str) -> list[Card]:
    """The page's cards in the order they are shown."""
    return sorted((card for card in CARDS if card.page == page), key=lambda card: (card.order, card.name))
