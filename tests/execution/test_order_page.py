"""The page of an order in a real browser: the way from a fill to its record is in sight at every width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Page, Route

from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.chromium import chromium

__all__ = ["desk"]
pytestmark = pytest.mark.browser
FOLDERS = [Path(folder) for folder in settings.STATICFILES_DIRS]
CLIPPED = """(link) => {
    const box = link.getBoundingClientRect(), frame = link.closest(".scroll").getBoundingClientRect();
    return box.left < frame.left || box.right > Math.min(frame.right, window.innerWidth);
}"""


def serve(page: Page, html: str) -> None:
    """Show a page that was rendered here, with its own style sheets."""

    def answer(route: Route) -> None:
        name = re.sub(r"^.*?/static/|\?.*$", "", route.request.url)
        found = [folder / name for folder in FOLDERS if (folder / name).is_file()]
        if route.request.is_navigation_request():
            route.fulfill(body=html, content_type="text/html")
        elif found and name.endswith(".css"):
            route.fulfill(path=found[0])
        else:
            route.abort()

    page.route("**/*", answer)
    page.goto("http://desk.invalid/")


def test_the_record_of_a_resting_fill_is_in_sight(desk: OrdersDesk) -> None:
    order_id = desk.place(price=-2).json()["orderId"]
    desk.trade(-2, 5.2)
    desk.trade(-3, 9)
    fills = desk.order(order_id)["fills"]
    assert [fill["rule"] for fill in fills] == ["queue", "through"]
    html = desk.client.get(f"/orders/{order_id}").content.decode()
    records = [f"/decisions/{fill['auditId']}" for fill in fills]
    assert all(desk.client.get(address).status_code == 200 for address in records)
    with chromium() as browser:
        for width in (390, 1_300, 1_440):
            page = browser.new_page(viewport={"width": width, "height": 900})
            serve(page, html)
            links = page.locator("td a", has_text="record").all()
            assert [link.get_attribute("href") for link in links] == records
            assert not any(link.evaluate(CLIPPED) for link in links), width
            frame = page.locator(".scroll").first
            assert width < 1_300 or frame.evaluate("(frame) => frame.scrollWidth <= frame.clientWidth"), width
            page.close()
