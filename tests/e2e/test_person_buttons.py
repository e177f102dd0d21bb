"""A person stops the running desk from its page in a real browser, flattens it, and lets it go as its owner."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.desk_process import DeskProcess, prepared_var, wait_until
from tests.support.chromium import chromium

pytestmark = pytest.mark.browser
TAB_ORDER = [
    *("stop-symbol", "stop-reason", "HALTED", "REDUCING"),
    *("flatten-symbol", "flatten-reason", "flatten-word", "Flatten"),
    *("release-symbol", "release-reason", "release-word", "Release"),
]
FOCUSED = "() => { const e = document.activeElement; return e.id || e.value || e.textContent; }"


@pytest.fixture
def desk(compiled: None, db_template: Path, tmp_path: Path) -> Iterator[DeskProcess]:
    process = DeskProcess(prepared_var(tmp_path / "var", db_template), AUTOPILOT="false")
    try:
        process.wait_for_line("autopilot: folding bars, not deciding")
        wait_until(lambda: process.get("/api/ws/status")[1].get("stale") is False)
        yield process
    finally:
        process.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Person:
    """Someone at the page who answers each question with yes, until told to say no."""

    def __init__(self, desk: DeskProcess, page: Page) -> None:
        self.desk, self.page = desk, page
        self.is_sure = True
        self.questions: list[str] = []
        self.violations: list[str] = []
        page.on("dialog", self._answer)
        page.on("console", lambda m: self.violations.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("pageerror", lambda error: self.violations.append(str(error)))
        page.goto(self.address("/"))
        expect(page.locator("#card-controls")).to_be_visible()

    def _answer(self, dialog: object) -> None:
        self.questions.append(dialog.message)
        dialog.accept() if self.is_sure else dialog.dismiss()

    def address(self, path: str) -> str:
        return f"http://localhost:{self.desk.port}{path}"

    def press(self, form: str, button: str, *, word: str = "", symbol: str = "", reason: str = "drill") -> Locator:
        """Fill one form in and press a button of it; where its outcome is told."""
        self.page.select_option(f"#{form}-symbol", symbol)
        self.page.fill(f"#{form}-reason", reason)
        if form != "stop":
            self.page.fill(f"#{form}-word", word)
        self.page.get_by_role("button", name=button, exact=True).click()
        return self.page.locator(f"#told-{form}")

    def log_in(self) -> None:
        password = next(found[1] for line in self.desk.lines if (found := re.search(r"password (\S+)", line)))
        self.page.locator("#told-stop").get_by_role("link", name="Log in").click()
        self.page.fill("#id_username", "owner")
        self.page.fill("#id_password", password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(self.address("/"))

    def state(self) -> str:
        return str(self.desk.get("/api/guards/state")[1]["tradingState"])


def test_a_person_stops_flattens_and_releases_from_the_page(desk: DeskProcess, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    person = Person(desk, context.new_page())
    page = person.page

    page.locator("#stop-symbol").focus()
    seen = []
    for _ in TAB_ORDER:
        seen.append(page.evaluate(FOCUSED))
        page.keyboard.press("Tab")
    assert seen == TAB_ORDER

    expect(person.press("stop", "Reduce only")).to_have_text(re.compile("takes an operator.*Log in"))
    person.log_in()
    buy = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    assert desk.post("/api/trading/paper/order", buy)[0] == 201

    expect(person.press("stop", "Reduce only", symbol="ETHUSDT")).to_contain_text("ETHUSDT is REDUCING.")
    expect(page.locator("#card-controls .note").first).to_contain_text("ETHUSDT REDUCING (drill)")
    assert person.questions[-1].startswith("Set ETHUSDT to REDUCING?") and person.state() == "ACTIVE"

    person.is_sure = False
    person.press("stop", "Halt")
    assert person.questions[-1].startswith("HALT the whole desk?") and person.state() == "ACTIVE"
    page.fill("#flatten-reason", "half written")
    person.is_sure = True
    page.locator("#stop-reason").press("Enter")
    expect(page.locator("#told-stop")).to_contain_text("The desk is HALTED.")
    expect(page.locator("#pill-trading")).to_contain_text("HALTED")  # the page looked again at once
    expect(page.locator("#flatten-reason")).to_have_value("half written")
    assert person.state() == "HALTED"

    expect(person.press("flatten", "Flatten")).to_have_text("BTCUSDT is HALTED: type FLATTEN to confirm")
    told = person.press("flatten", "Flatten", word="FLATTEN")
    expect(told).to_contain_text("BTCUSDT closed at ")
    assert told.get_by_role("link", name="BTCUSDT record").get_attribute("href").startswith("/decisions/")

    expect(person.press("release", "Release", word="release")).to_have_text("type RELEASE to confirm")
    assert person.state() == "HALTED"
    expect(person.press("release", "Release", word="RELEASE")).to_contain_text("The desk is ACTIVE.")
    assert person.state() == "ACTIVE" and person.violations == []

    context.set_offline(True)
    expect(person.press("stop", "Halt")).to_contain_text("did not answer, so whether this was done is not known")
    assert page.locator("#stop-reason").input_value() == "drill"
    context.close()
