"""What every registered card owes: checks that any app's tests may call, each answering with breaches in words."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.db import connection
from django.template import TemplateDoesNotExist
from django.template.loader import get_template, render_to_string
from django.test.utils import CaptureQueriesContext

from apps.dashboard.cards import RESERVED_KEYS, Card
from apps.dashboard.pages import PAGES

VOID = {"br", "hr", "img", "input", "link", "meta", "polyline", "rect", "path", "circle", "line"}
MISSING_MARK = "!!missing "


class Outline(HTMLParser):
    """The root elements of a piece of HTML, every id in it, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.roots: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self._depth = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if self._depth == 0:
            self.roots.append({"tag": tag, **attributes})
        if attributes.get("id"):
            self.ids.append(str(attributes["id"]))
        self._depth += tag not in VOID

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag not in VOID

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())
            if self._depth == 0:
                self.roots.append({"tag": "text"})


def element_breaches(html: str, element_id: str) -> list[str]:
    """What keeps this HTML from being swapped in place of the element with that id."""
    outline = Outline(html)
    found = []
    if len(outline.roots) != 1:
        return [f"{len(outline.roots)} root elements instead of one"]
    if outline.roots[0].get("id") != element_id:
        found.append(f"the root's id is {outline.roots[0].get('id')!r}, not {element_id!r}")
    if outline.roots[0].get("hx-swap-oob") != "morph":
        found.append("the root is not swapped by morph; extend dashboard/card.html")
    if len(set(outline.ids)) != len(outline.ids):
        found.append("an id stands twice")
    words = re.findall(r"\b(?:None|nan|inf|True|False)\b", " ".join(outline.text))
    return found + [f"the text says {word}" for word in words]


def plain_breaches(value: Any, path: str = "context") -> list[str]:
    """Where a value is more than what a template can print without asking the database."""
    if value is None or isinstance(value, str | bool | int):
        return []
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"{path} is {value}"]
    if isinstance(value, Mapping):
        return [breach for key in value for breach in plain_breaches(value[key], f"{path}.{key}")]
    if isinstance(value, list | tuple):
        return [breach for index, item in enumerate(value) for breach in plain_breaches(item, f"{path}[{index}]")]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [entry.name for entry in dataclasses.fields(value)]
        return [breach for name in names for breach in plain_breaches(getattr(value, name), f"{path}.{name}")]
    return [f"{path} is of type {type(value).__name__}"]


def card_breaches(card: Card, samples: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Everything the card owes except its query budget. Needs `missing_marked` around it to see misspelled names."""
    found = [] if card.page in PAGES else [f"page {card.page!r} is not registered"]
    try:
        get_template(card.template_name)
    except TemplateDoesNotExist:
        return [*found, f"template {card.template_name} does not exist"]
    answer = card.selector()
    states = {"now": answer, **samples}
    found += [f"no sample of the state {name!r}" for name in ("empty", "filled") if name not in samples]
    for name, context in states.items():
        found += [f"{name}: {breach}" for breach in plain_breaches(context)]
        if set(context) != set(answer):
            found.append(f"{name}: has {sorted(context)}, the selector returns {sorted(answer)}")
        if reserved := RESERVED_KEYS & set(context):
            found.append(f"{name}: uses the reserved {sorted(reserved)}")
        html = render_to_string(card.template_name, {**context, "card": card, "rendered_ms": 0})
        found += [f"{name}: {breach}" for breach in element_breaches(html, card.element_id)]
        found += [f"{name}: {word} is not in the context" for word in re.findall(MISSING_MARK + r"(.*?)!!", html)]
    return found


def samples_of(card: Card) -> Mapping[str, Mapping[str, Any]]:
    """The states that the owning app's tests describe: `SAMPLES[card name]` in tests/<app>/card_samples.py."""
    app = card.selector.__module__.split(".")[1]
    name = f"tests.{app}.card_samples"
    return import_module(name).SAMPLES.get(card.name, {}) if find_spec(name) else {}


@contextmanager
def query_budget(most: int) -> Iterator[None]:
    """Fail when the block makes more queries than allowed, and show them."""
    with CaptureQueriesContext(connection) as captured:
        yield
    shown = "\n".join(query["sql"][:200] for query in captured.captured_queries)
    assert len(captured) <= most, f"{len(captured)} queries, {most} allowed:\n{shown}"
