"""The desk in a real browser: strict policy, one request every five seconds, live prices, light and dark."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from apps.dashboard.pages import DESK, PAGES
from apps.dashboard.templatetags import desk as desk_tags
from tests.dashboard import demo
from tests.dashboard.conftest import demo_settings
from tests.support.chromium import chromium

pytestmark = pytest.mark.browser
OPEN_MS = demo.NOW_MS // 60_000 * 60_000
# What a viewer would see in the first frame after each refresh.
WATCH_REFRESHES = """() => {
    const last = document.querySelector("[data-price=BTCUSDT][data-field=last]");
    window.seenAfterRefresh = [];
    document.addEventListener("desk:refreshed", () => window.seenAfterRefresh.push(last.textContent));
}"""


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are counted in the browser."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with demo_settings(), demo.only(PAGES, DESK), demo.demo_desk():
        from django.core.wsgi import get_wsgi_application

        server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler, ipv6=False)
        server.daemon_threads = True
        server.set_app(get_wsgi_application())
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Visit:
    """One page with an exchange behind it that the test speaks for."""

    def __init__(self, browser: Browser, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.sockets: list[WebSocketRoute] = []
        self.heard: list[dict[str, Any]] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(re.sub(r"^https?://[^/]+", "", request.url)))
        self.page.route("**/api/market/ohlcv*", lambda route: route.fulfill(json=candles()))
        self.page.route_web_socket("**/ws/prices/**", self._connected)

    def _connected(self, socket: WebSocketRoute) -> None:
        socket.on_message(lambda text: self.heard.append(json.loads(text)))
        self.sockets.append(socket)
        self.say(type="snapshot", seq=7, ticks=[tick("BTCUSDT", "92400.1"), tick("ETHUSDT", "3210.55")])

    def say(self, **message: Any) -> None:
        self.sockets[-1].send(json.dumps({"ts": iso(demo.NOW_MS), **message}))

    def polls(self) -> int:
        return self.requests.count("/fragments/desk")


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    visit = Visit(browser, **getattr(request, "param", {}))
    yield visit
    visit.context.close()


def iso(ts_ms: int) -> str:
    from apps.web.values import iso_ms

    return iso_ms(ts_ms)


def tick(symbol: str, last: str) -> dict[str, Any]:
    return {"symbol": symbol, "bid": last, "ask": last, "last": last, "ts": iso(demo.NOW_MS), "ageMs": 40}


def candles() -> list[dict[str, Any]]:
    rows = [(OPEN_MS - (99 - minute) * 60_000, 92_000 + minute) for minute in range(100)]
    return [
        {"openTime": iso(at), "open": price, "high": price + 5, "low": price - 5, "close": price + 2, "volume": 1.0}
        for at, price in rows
    ]


def price(visit: Visit, symbol: str, field: str) -> Any:
    return visit.page.locator(f"[data-price={symbol}][data-field={field}]")


def test_the_page_asks_once_every_five_seconds_and_keeps_what_the_viewer_did(visit: Visit, address: str) -> None:
    page = visit.page
    page.goto(address)
    expect(page.locator("#simulated")).to_be_visible()
    expect(page.get_by_text("PAPER", exact=True)).to_be_visible()
    expect(page.locator(".chart canvas").first).to_be_visible()
    button = page.get_by_role("button", name="ETHUSDT")
    button.click()
    page.evaluate("document.querySelectorAll('[data-chart]').forEach((chart) => { chart.isTheSame = true; })")
    visit.say(type="ticks", seq=8, ticks=[tick("BTCUSDT", "92411.25")])
    expect(price(visit, "BTCUSDT", "last")).to_have_text("92,411.25")
    page.evaluate(WATCH_REFRESHES)
    visit.requests.clear()
    page.wait_for_timeout(6_500)
    assert visit.requests == ["/fragments/desk"]
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("[...document.querySelectorAll('[data-chart]')].every((chart) => chart.isTheSame)")
    assert page.evaluate("window.seenAfterRefresh") == ["92,411.25"]
    expect(price(visit, "BTCUSDT", "last")).to_have_attribute("data-direction", "up")
    expect(page.locator("#card-demo-equity [data-age]")).to_have_text(re.compile(r"^updated \d s ago$"))
    assert {"ack": 8} in visit.heard
    assert visit.complaints == []


def test_prices_say_live_stale_and_disconnected(visit: Visit, address: str) -> None:
    page, state = visit.page, visit.page.locator("#feed-state")
    page.goto(address)
    expect(state).to_have_text("Prices live")
    visit.say(type="status", connected=False)
    expect(state).to_have_text(re.compile("^Prices exchange disconnected"))
    visit.say(type="status", connected=True)
    visit.say(type="ticks", seq=8, ticks=[{**tick(name, "1"), "ageMs": 9000} for name in ("BTCUSDT", "ETHUSDT")])
    expect(state).to_have_text(re.compile(r"^Prices stale, \d+ s old$"))
    visit.sockets[-1].close(code=4408)
    expect(state).to_have_text("Prices live", timeout=3000)
    assert len(visit.sockets) == 2
    visit.sockets[-1].close(code=4401)
    expect(state).to_have_text("Prices sign in to see live prices")
    expect(price(visit, "BTCUSDT", "age")).to_have_text("disconnected")
    assert visit.complaints == []


def test_the_theme_follows_the_system_until_the_viewer_chooses(visit: Visit, address: str) -> None:
    page, root = visit.page, visit.page.locator("html")
    page.emulate_media(color_scheme="dark")
    page.goto(f"{address}/decisions/a1")
    expect(root).to_have_css("color-scheme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_css("color-scheme", "light")
    page.get_by_role("button", name="Switch to dark colors").click()
    page.reload()
    expect(root).to_have_css("color-scheme", "dark")
    expect(page.get_by_role("button", name="Switch to light colors")).to_be_visible()
    assert visit.complaints == []


def test_a_desk_that_does_not_answer_is_announced(visit: Visit, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_tags, "REFRESH_S", 1)
    page, banner = visit.page, visit.page.locator("#connection")
    page.goto(address)
    expect(banner).to_be_hidden()
    page.route("**/fragments/desk", lambda route: route.abort())
    expect(banner).to_have_text(re.compile("^Connection lost: the desk does not answer"))
    page.unroute("**/fragments/desk")
    expect(banner).to_be_hidden()
    page.route("**/fragments/desk", lambda route: route.fulfill(status=401))
    expect(banner).to_have_text("You are signed out. Reload this page to sign in.")


@pytest.mark.parametrize("visit", [{"viewport": {"width": 390, "height": 844}, "is_mobile": True}], indirect=True)
def test_it_fits_a_phone_and_the_simulation_stays_in_sight(visit: Visit, address: str) -> None:
    page = visit.page
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("#card-demo-broken").scroll_into_view_if_needed()
    assert page.evaluate("window.scrollY") > 500
    expect(page.locator("#simulated")).to_be_in_viewport(ratio=1)
    page.goto(f"{address}/decisions/a1")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert visit.complaints == []
