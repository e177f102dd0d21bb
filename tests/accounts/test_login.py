"""The session of a browser."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from apps.accounts.services import user_create
from apps.web.roles import Role


@pytest.fixture
def browser(desk_db: object) -> Client:
    """A browser elsewhere, with CSRF enforced."""
    user_create(username="olga", password="correct horse", role=Role.OPERATOR, actor="test", ts_ms=1)
    return Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1", enforce_csrf_checks=True)


def log_in(browser: Client, password: str = "correct horse", next_page: str = "/api/flags"):
    page = browser.get(f"/login?next={next_page}").content.decode()
    csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert csrf
    form = {"username": "olga", "password": password, "csrfmiddlewaretoken": csrf[1], "next": next_page}
    return browser.post("/login", form)


def test_the_form_leads_back_to_where_the_browser_came_from(browser: Client) -> None:
    assert browser.get("/api/flags").status_code == 401
    answer = log_in(browser)
    assert (answer.status_code, answer["Location"]) == (302, "/api/flags")
    assert browser.get("/api/flags").status_code == 200


def test_it_leads_nowhere_else(browser: Client) -> None:
    assert log_in(browser, next_page="https://evil.example/")["Location"] == "/"


def test_a_wrong_password_says_so(browser: Client) -> None:
    answer = log_in(browser, password="wrong")
    assert answer.status_code == 200 and b'role="alert"' in answer.content
    assert browser.get("/api/flags").status_code == 401


def test_without_the_csrf_token_nobody_logs_in(browser: Client) -> None:
    assert browser.post("/login", {"username": "olga", "password": "correct horse"}).status_code == 403


def test_logging_out_is_a_post_and_ends_the_session(browser: Client) -> None:
    log_in(browser)
    assert browser.get("/logout").status_code == 405
    assert browser.get("/api/flags").status_code == 200
    csrf = browser.cookies["csrftoken"].value
    assert browser.post("/logout", headers={"x-csrftoken": csrf}).status_code == 302
    assert browser.get("/api/flags").status_code == 401


def test_the_page_has_nothing_inline(browser: Client) -> None:
    page = browser.get("/login").content.decode()
    assert "style=" not in page and "<style" not in page and "onclick" not in page
    assert not re.search(r"<script(?![^>]*src=)", page)


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser: Client) -> None:
    log_in(browser)
    cookie = browser.cookies["sessionid"]
    assert cookie["httponly"] is True and cookie["samesite"] == "Lax"
