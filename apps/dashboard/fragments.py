"""What does a part of the page look like now? Rendered once, given to everyone, and never taking the page down.

One cache per process. A part is rendered at most once per `ttl_s`, however many browsers ask. While one thread renders,
the others get the previous answer, which carries its own age. A selector or template that raises becomes a part that
says so, with the error's class and the age of the last good answer; the exception is logged.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from apps.dashboard.cards import Card, cards_of
from apps.dashboard.header import CLOCKS, Clock, Pill, pill_context, pills_in_order

logger = logging.getLogger(__name__)
FIRST_ANSWER_S = 5.0
REPEAT_LOG_S = 60.0


@dataclass(frozen=True)
class Part:
    """One element of the page with a stable id: what it shows, and what stands there when that cannot be told."""

    element_id: str
    template_name: str
    failed_template_name: str
    selector: Callable[[], Mapping[str, Any]]
    constants: Mapping[str, Any]
    ttl_s: float = 1.0


def part_of_card(card: Card) -> Part:
    failed = "dashboard/card_unavailable.html"
    return Part(card.element_id, card.template_name, failed, card.selector, {"card": card}, card.ttl_s)


def part_of_pill(pill: Pill) -> Part:
    failed = "dashboard/partials/pill_unavailable.html"
    return Part(f"pill-{pill.name}", "dashboard/partials/pill.html", failed, lambda: pill_context(pill), {"pill": pill})


def part_of_clock(clock: Clock) -> Part:
    template_name = "dashboard/partials/clock.html"
    return Part("desk-clock", template_name, template_name, lambda: {"clock": clock.selector()}, {})


def header_parts() -> list[Part]:
    return [part_of_pill(pill) for pill in pills_in_order()] + [part_of_clock(clock) for clock in CLOCKS]


def card_parts(page: str) -> list[Part]:
    return [part_of_card(card) for card in cards_of(page)]


@dataclass
class _Slot:
    """What is remembered of one part between two renderings."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    html: str = ""
    fresh_until: float = float("-inf")
    good_at: float | None = None
    failure: str = ""
    logged_at: float = float("-inf")


class FragmentCache:
    """The rendered parts of one process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._now = clock
        self._slots: dict[str, _Slot] = {}
        self._guard = threading.Lock()

    def now_ms(self) -> int:
        """The clock that `rendered_ms` is read from; it means nothing outside this process."""
        return int(self._now() * 1000)

    def html(self, part: Part) -> str:
        """The part as HTML, at most `ttl_s` old unless it is being rendered at this moment."""
        with self._guard:
            slot = self._slots.setdefault(part.element_id, _Slot())
        if self._now() < slot.fresh_until:
            return slot.html
        if not slot.lock.acquire(timeout=0 if slot.html else FIRST_ANSWER_S):
            return slot.html or self._failed(part, slot, "still loading")
        try:
            if self._now() >= slot.fresh_until:
                slot.html = self._render(part, slot)
                slot.fresh_until = self._now() + part.ttl_s
            return slot.html
        finally:
            slot.lock.release()

    def clear(self) -> None:
        """Forget everything, as a test does between two cases."""
        with self._guard:
            self._slots.clear()

    def _render(self, part: Part, slot: _Slot) -> str:
        started = self._now()
        try:
            context = {**part.selector(), **part.constants, "rendered_ms": int(started * 1000)}
            html = render_to_string(part.template_name, context)
        except Exception as error:  # whatever a card does wrong stays inside that card
            self._log(part, slot, type(error).__name__)
            return self._failed(part, slot, type(error).__name__)
        slot.good_at, slot.failure = started, ""
        return html

    def _failed(self, part: Part, slot: _Slot, error_class: str) -> str:
        good_ms = None if slot.good_at is None else int((self._now() - slot.good_at) * 1000)
        context = {"error_class": error_class, "good_age_ms": good_ms, "rendered_ms": self.now_ms()}
        return render_to_string(part.failed_template_name, {**part.constants, **context})

    def _log(self, part: Part, slot: _Slot, failure: str) -> None:
        """With its traceback when it is new, then once a minute: a page left open must not fill the disk."""
        if failure != slot.failure or self._now() - slot.logged_at >= REPEAT_LOG_S:
            logger.exception("%s cannot be shown", part.element_id)
            slot.failure, slot.logged_at = failure, self._now()


CACHE = FragmentCache()


def beat_of(page: str) -> dict[str, Any]:
    """When this answer was made, and a mark that changes when the open page cannot be refreshed in place any more."""
    ids = [part.element_id for part in (*header_parts(), *card_parts(page))]
    build = hashlib.sha256("|".join([settings.VERSION, *ids]).encode()).hexdigest()[:12]
    return {"now_ms": CACHE.now_ms(), "build": build}
