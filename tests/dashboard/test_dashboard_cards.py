"""Cards, pages and the header's pills: registered once each, and every one of them keeps the contract."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import override_settings

from apps.dashboard.cards import CARDS, Card, cards_of, register
from apps.dashboard.header import CLOCKS, PILLS, ClockState, Pill, PillState, pill_context, register_clock
from apps.dashboard.pages import Page, pages_in_order
from tests.dashboard import contract, demo

EMPTY = {"rows": []}


@pytest.fixture
def missing_marked() -> Iterator[None]:
    """A name that the context lacks shows in the HTML, and the demo's templates are found."""
    templates = copy.deepcopy(django_settings.TEMPLATES)
    templates[0]["DIRS"].append(demo.TEMPLATES)
    templates[0]["OPTIONS"]["string_if_invalid"] = contract.MISSING_MARK + "%s!!"
    with override_settings(TEMPLATES=templates):
        yield


def build_card(**changes: Any) -> Card:
    values = {"name": "demo", "title": "Demo", "template_name": "demo/decisions.html", "selector": demo.decisions}
    return Card(**{**values, **changes})


@pytest.mark.parametrize("card", list(CARDS), ids=lambda card: card.name)
def test_every_registered_card_keeps_the_contract(card: Card, missing_marked: None, desk_db: object) -> None:
    assert contract.card_breaches(card, contract.samples_of(card)) == []


@pytest.mark.parametrize("card", list(CARDS), ids=lambda card: card.name)
def test_every_registered_card_stays_within_its_query_budget(card: Card, desk_db: object) -> None:
    card.selector()  # what is cached per process is read now
    with contract.query_budget(card.query_budget):
        card.selector()


@pytest.mark.parametrize("pill", list(PILLS), ids=lambda pill: pill.name)
def test_every_registered_pill_has_a_state(pill: Pill, desk_db: object) -> None:
    assert pill_context(pill)["state"].text


def test_the_demo_cards_keep_the_contract(missing_marked: None) -> None:
    for card in demo.DEMO_CARDS[:4]:
        assert contract.card_breaches(card, {"empty": card.selector(), "filled": card.selector()}) == []


@pytest.mark.parametrize(
    ("card", "samples", "breach"),
    [
        (build_card(page="nowhere"), {"empty": EMPTY, "filled": EMPTY}, "page 'nowhere' is not registered"),
        (build_card(template_name="demo/none.html"), {}, "template demo/none.html does not exist"),
        (build_card(), {"empty": EMPTY}, "no sample of the state 'filled'"),
        (build_card(selector=lambda: {"rows": [], "late": object()}), {}, "now: context.late is of type object"),
        (build_card(selector=lambda: {"rows": [float("nan")]}), {}, "now: context.rows[0] is nan"),
        (build_card(), {"empty": {"lines": []}}, "empty: has ['lines'], the selector returns ['rows']"),
        (build_card(selector=lambda: {"rows": [], "card": 1}), {}, "now: uses the reserved ['card']"),
        (build_card(selector=lambda: {"rows": [{"ts_ms": 1}]}), {}, "now: row.symbol is not in the context"),
    ],
)
def test_a_breach_of_the_contract_is_named(
    card: Card, samples: dict[str, Any], breach: str, missing_marked: None
) -> None:
    assert breach in contract.card_breaches(card, samples)


@pytest.mark.parametrize(
    ("html", "breach"),
    [
        ('<p id="card-a" hx-swap-oob="morph"></p><p></p>', "2 root elements instead of one"),
        ('<p id="card-b" hx-swap-oob="morph"></p>', "the root's id is 'card-b', not 'card-a'"),
        ('<p id="card-a"></p>', "the root is not swapped by morph; extend dashboard/card.html"),
        ('<p id="card-a" hx-swap-oob="morph"><b id="x"></b><b id="x"></b></p>', "an id stands twice"),
        ('<p id="card-a" hx-swap-oob="morph">None USDT</p>', "the text says None"),
    ],
)
def test_html_that_cannot_be_swapped_is_named(html: str, breach: str) -> None:
    assert contract.element_breaches(html, "card-a") == [breach]


def test_a_card_is_registered_once() -> None:
    with demo.only(CARDS):
        register(build_card())
        with pytest.raises(ValueError, match="card 'demo' is registered twice"):
            register(build_card())


@pytest.mark.parametrize(("change", "message"), [({"name": "Two words"}, "lower-case"), ({"span": 13}, "span 13")])
def test_a_card_that_cannot_be_placed_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_card(**change)


def test_cards_stand_in_their_order() -> None:
    with demo.only(CARDS, *(build_card(name=name, order=order) for name, order in [("c", 1), ("b", 2), ("a", 2)])):
        register(build_card(name="elsewhere", page="other"))
        assert [card.name for card in cards_of("desk")] == ["c", "a", "b"]


def test_the_desk_is_a_page_and_the_header_is_not() -> None:
    assert pages_in_order()[0].name == "desk"
    with pytest.raises(ValueError, match="header alone"):
        Page("header", "Header", "dashboard")


def test_there_is_one_market_clock() -> None:
    with demo.only(CLOCKS):
        register_clock(lambda: ClockState(0))
        with pytest.raises(ValueError, match="registered twice"):
            register_clock(lambda: ClockState(0))


def test_a_pill_of_unknown_tone_is_refused() -> None:
    with pytest.raises(ValueError, match="tone 'loud'"):
        pill_context(Pill("a", "A", lambda: PillState("on", "loud")))


def test_the_query_budget_counts(desk_db: object) -> None:
    with contract.query_budget(1):
        connection.cursor().execute("SELECT 1")
    with pytest.raises(AssertionError, match="2 queries, 1 allowed"), contract.query_budget(1):
        connection.cursor().execute("SELECT 1")
        connection.cursor().execute("SELECT 2")
