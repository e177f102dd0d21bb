"""Rendering: once a second for everyone, and a card that fails is alone in it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from django.test import Client

from apps.dashboard.cards import Card
from apps.dashboard.fragments import FragmentCache, part_of_card, part_of_clock, part_of_pill
from apps.dashboard.header import Clock, ClockState, Pill, PillState
from tests.dashboard import demo
from tests.dashboard.contract import element_breaches

pytestmark = pytest.mark.usefixtures("demo_pages")


class Watch:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Source:
    """A selector that counts, fails while told to, and waits while held."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        self.go.wait(10)
        if self.error:
            raise self.error
        return {"rows": [], "call": self.calls}


def build_card(source: Any, **changes: Any) -> Card:
    return Card("probe", "Probe", "demo/decisions.html", source, **changes)


def test_it_renders_again_only_after_its_time() -> None:
    watch, source = Watch(), Source()
    cache, part = FragmentCache(watch), part_of_card(build_card(source, ttl_s=1.0))
    first = cache.html(part)
    watch.seconds += 0.9
    assert cache.html(part) is first and source.calls == 1
    watch.seconds += 0.2
    cache.html(part)
    assert source.calls == 2


def test_fifty_concurrent_requests_render_a_card_at_most_once_a_second() -> None:
    source, start, answers = Source(), threading.Barrier(50), []

    def ask() -> None:
        start.wait()
        answers.append(Client(headers={"host": "localhost"}).get("/fragments/desk"))

    with demo.demo_desk(build_card(source)):
        threads = [threading.Thread(target=ask) for _ in range(50)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.monotonic() - began
    assert [answer.status_code for answer in answers] == [200] * 50
    assert all(b'id="card-probe"' in answer.content for answer in answers)
    assert source.calls <= 1 + int(elapsed)


def test_nobody_waits_for_a_card_that_was_shown_before() -> None:
    watch, source = Watch(), Source()
    cache, part = FragmentCache(watch), part_of_card(build_card(source))
    before = cache.html(part)
    watch.seconds += 5
    source.go.clear()
    slow = threading.Thread(target=cache.html, args=(part,))
    slow.start()
    while source.calls < 2:
        time.sleep(0.001)
    asked_at = time.monotonic()
    assert cache.html(part) is before
    assert time.monotonic() - asked_at < 1
    source.go.set()
    slow.join()
    assert source.calls == 2


def test_a_card_that_has_never_worked_says_so(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    source.error = LookupError("no row <b>")
    html = FragmentCache(Watch()).html(part_of_card(build_card(source)))
    assert element_breaches(html, "card-probe") == []
    assert "LookupError" in html and "It has not worked since the desk started." in html
    assert "no row" not in html
    assert [(record.levelno, record.exc_info is not None) for record in caplog.records] == [(logging.ERROR, True)]


def test_a_card_that_fails_tells_the_age_of_its_last_good_answer_and_comes_back() -> None:
    watch, source = Watch(), Source()
    cache, part = FragmentCache(watch), part_of_card(build_card(source))
    cache.html(part)
    watch.seconds += 34
    source.error = ValueError("broken")
    assert "Last good answer 34 s ago." in cache.html(part)
    watch.seconds += 2
    source.error = None
    assert "No open orders." in cache.html(part)


def test_the_same_failure_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    watch, source = Watch(), Source()
    cache, part = FragmentCache(watch), part_of_card(build_card(source))
    source.error = ValueError("broken")
    for _ in range(59):
        cache.html(part)
        watch.seconds += 1.01
    assert (source.calls, len(caplog.records)) == (59, 1)
    source.error = KeyError("another")
    cache.html(part)
    assert len(caplog.records) == 2


def test_a_template_that_fails_stays_inside_its_card() -> None:
    card = Card("probe", "Probe", "demo/missing.html", Source())
    assert "TemplateDoesNotExist" in FragmentCache(Watch()).html(part_of_card(card))


def test_a_pill_shows_its_state_or_that_it_has_none() -> None:
    def fail() -> PillState:
        raise RuntimeError("no row")

    cache = FragmentCache(Watch())
    good = cache.html(part_of_pill(Pill("state", "Trading", lambda: PillState("HALTED", "bad", "Kill switch"))))
    assert element_breaches(good, "pill-state") == []
    assert 'class="pill bad" title="Kill switch"' in good and "HALTED" in good
    bad = cache.html(part_of_pill(Pill("other", "Trading", fail)))
    assert element_breaches(bad, "pill-other") == [] and "unavailable" in bad


def test_the_clock_shows_market_time_and_its_speed() -> None:
    html = FragmentCache(Watch()).html(part_of_clock(Clock(lambda: ClockState(1_767_625_387_000, 100.0))))
    assert element_breaches(html, "desk-clock") == []
    assert "15:03:07 UTC" in html and "×100" in html
    unknown = FragmentCache(Watch()).html(part_of_clock(Clock(lambda: None)))
    assert "unknown" in unknown
