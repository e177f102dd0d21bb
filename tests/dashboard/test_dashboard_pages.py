"""The page, the one request that refreshes it, and the page that explains one thing."""

from __future__ import annotations

import re

import pytest
from django.test import Client, override_settings

from apps.dashboard.cards import Card
from apps.dashboard.detail import Cell, Table
from tests.dashboard import demo
from tests.dashboard.contract import Outline, element_breaches

pytestmark = pytest.mark.usefixtures("demo_pages")


@pytest.fixture
def client() -> Client:
    return Client(headers={"host": "localhost"})


def cards_in(html: str) -> list[str]:
    return re.findall(r'<article id="card-([a-z-]+)"', html)


def test_the_page_holds_every_card_and_one_poll(client: Client) -> None:
    with demo.demo_desk():
        answer = client.get("/")
    html = answer.content.decode()
    assert answer.status_code == 200
    assert cards_in(html) == [card.name for card in demo.DEMO_CARDS]
    assert html.count("hx-get=") == 1
    trigger = "every 5s, desk:changed from:body delay:1100ms"
    assert f'hx-get="/fragments/desk" hx-trigger="{trigger}" hx-swap="none"' in html


def test_first_paint_and_refresh_are_the_same_bytes(client: Client) -> None:
    with demo.demo_desk(demo.DEMO_CARDS[0]):
        page, fragments = client.get("/").content.decode(), client.get("/fragments/desk").content.decode()
    card = re.search(r"<article.*?</article>", fragments, re.DOTALL)
    assert card and card.group() in page


def test_fragments_are_out_of_band_swaps_of_what_the_page_holds(client: Client) -> None:
    with demo.demo_desk():
        page, answer = client.get("/").content.decode(), client.get("/fragments/desk")
    roots = Outline(answer.content.decode()).roots
    expected = ["pill-trading", "desk-clock", *(card.element_id for card in demo.DEMO_CARDS), "desk-beat"]
    assert [root.get("id") for root in roots] == expected
    assert all(root.get("hx-swap-oob") == "morph" for root in roots)
    assert set(expected) <= set(Outline(page).ids)
    assert "no-store" in answer.headers["Cache-Control"]


def test_the_header_alone_can_be_refreshed(client: Client) -> None:
    with demo.demo_desk():
        roots = Outline(client.get("/fragments/header").content.decode()).roots
    assert [root.get("id") for root in roots] == ["pill-trading", "desk-clock", "desk-beat"]


def test_an_unknown_page_is_a_problem(client: Client) -> None:
    answer = client.get("/fragments/nowhere")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_one_broken_card_leaves_the_others(client: Client) -> None:
    with demo.demo_desk():
        html = client.get("/").content.decode()
    assert "LookupError" in html and "1,002," in html


def test_the_build_changes_with_the_cards(client: Client) -> None:
    def build() -> str:
        html = client.get("/fragments/desk").content.decode()
        return re.search(r'data-build="(\w+)"', html).group(1)  # type: ignore[union-attr]

    with demo.demo_desk(demo.DEMO_CARDS[0]):
        first, again = build(), build()
    with demo.demo_desk(*demo.DEMO_CARDS[:2]):
        other = build()
    assert first == again != other


def test_the_page_without_a_card_says_so(client: Client) -> None:
    from apps.dashboard.cards import CARDS

    with demo.demo_desk(), demo.only(CARDS):
        assert b"No cards are registered for this page." in client.get("/").content


@pytest.mark.parametrize(("exchange", "is_shown"), [("simulated", True), ("binance", False)])
def test_a_simulated_market_says_so_and_paper_is_always_said(client: Client, exchange: str, is_shown: bool) -> None:
    with demo.demo_desk(), override_settings(EXCHANGE=exchange):
        html = client.get("/").content.decode()
    assert ("SIMULATED MARKET</strong> — prices are generated on this machine" in html) is is_shown
    assert ">PAPER</span>" in html


def test_the_page_is_not_for_everybody(client: Client) -> None:
    with demo.demo_desk():
        stranger = Client(headers={"host": "localhost", "x-forwarded-for": "203.0.113.9"})
        assert stranger.get("/").status_code == 401
        assert stranger.get("/fragments/desk").status_code == 401
        assert client.post("/").status_code in {401, 403, 405}


def test_csrf_and_the_strict_htmx_configuration_are_on_the_page(client: Client) -> None:
    with demo.demo_desk():
        answer = client.get("/")
    html = answer.content.decode()
    assert re.search(r"hx-headers='\{\"X-CSRFToken\": \"\w{64}\"\}'", html)
    for setting in ('"includeIndicatorStyles":false', '"allowEval":false', '"allowScriptTags":false'):
        assert setting in html
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_detail_page_shows_sections_tables_and_json(client: Client) -> None:
    with demo.demo_desk():
        html = client.get("/decisions/a1").content.decode()
    assert "<h1>Why no trade in BTCUSDT at 14:03?</h1>" in html
    assert '<p class="verdict bad">Blocked: symbol_cap</p>' in html
    assert '<span class="bad">DENY</span>' in html
    assert '<td class="num">101,250.00 USDT' in html
    assert "&quot;auditId&quot;: &quot;a1&quot;" in html
    assert "Nothing was filled." in html
    assert 'hx-get="/fragments/header"' in html


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = Table(("A", "B>"), [(Cell("1"),)]).cells


def test_what_is_shown_is_escaped() -> None:
    from apps.dashboard.fragments import FragmentCache, part_of_card

    def hostile() -> dict[str, object]:
        return {"rows": [{**demo.decisions()["rows"][0], "reason": "<script>alert(1)</script>"}]}

    html = FragmentCache().html(part_of_card(Card("probe", "A & <B>", "demo/decisions.html", hostile)))
    assert "<script>" not in html and "&lt;script&gt;" in html and "A &amp; &lt;B&gt;" in html
    assert element_breaches(html, "card-probe") == []


def test_missing_pages_look_like_the_desk(client: Client) -> None:
    answer = client.get("/nothing/here")
    assert answer.status_code == 404 and b"There is nothing at this address" in answer.content


def test_the_error_page_needs_nothing() -> None:
    from django.template.loader import render_to_string

    assert "under request <code>r-1</code>" in render_to_string("500.html", {"request_id": "r-1"})
    assert "log of the desk." in render_to_string("500.html")
