"""The person's buttons: forms of the page before the services of the API, refused like them."""

from __future__ import annotations

from typing import Any

from django.test import Client

from apps.accounts.models import User
from apps.audit.selectors import audit_latest
from apps.execution.account import account_state
from apps.risk import services as risk
from apps.risk.selectors import trading_states
from apps.web.roles import Role
from tests.support.live_desk import CLOSED_MS, LiveMarket, buy, client_of


def post_form(client: Client, button: str, **fields: str) -> Any:
    body = "&".join(f"{name}={value}" for name, value in fields.items())
    return client.post(f"/desk/{button}", body, content_type="application/x-www-form-urlencoded")


def session_of(role: Role) -> Client:
    """A browser of a new user, which must send the CSRF token."""
    client_of(role)
    browser = Client(headers={"host": "localhost"}, enforce_csrf_checks=True)
    browser.force_login(User.objects.get(username=role.value))
    return browser


def state_of(scope: str = "") -> str:
    return trading_states()[scope].state.name


def test_this_machine_may_halt_and_nothing_more(local: Client) -> None:
    answer = post_form(local, "stop", state="HALTED", reason="smoke", symbol="")
    assert answer.status_code == 200 and "The desk is HALTED." in answer.content.decode()
    assert answer["HX-Trigger"] == "desk:changed" and state_of() == "HALTED"
    record = audit_latest(1)[0]
    assert (record.kind, record.actor) == ("risk.kill", "loopback")
    refused = post_form(local, "stop", state="REDUCING", reason="smoke")
    assert (refused.status_code, refused["Content-Type"]) == (401, "application/problem+json")
    assert post_form(local, "release", reason="x", confirmation="RELEASE").status_code == 401
    assert post_form(local, "flatten", reason="x", confirmation="FLATTEN").status_code == 401
    assert state_of() == "HALTED"


def test_nobody_from_elsewhere_may_halt(market: LiveMarket) -> None:
    remote = Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1")
    assert post_form(remote, "stop", state="HALTED", reason="smoke").status_code == 401
    page = Client(headers={"host": "localhost", "origin": "http://evil.example", "sec-fetch-site": "cross-site"})
    assert post_form(page, "stop", state="HALTED", reason="smoke").status_code == 401
    assert state_of() == "ACTIVE"


def test_an_operator_reduces_and_flattens_and_an_owner_releases(market: LiveMarket) -> None:
    operator, owner = client_of(Role.OPERATOR), client_of(Role.OWNER)
    assert post_form(operator, "stop", state="REDUCING", reason="thin", symbol="ETHUSDT").status_code == 200
    assert (state_of(), state_of("ETHUSDT")) == ("ACTIVE", "REDUCING")
    assert post_form(operator, "release", reason="x", confirmation="RELEASE", symbol="ETHUSDT").status_code == 403
    for word in ("", "release", "ACTIVE"):
        refused = post_form(owner, "release", reason="x", confirmation=word, symbol="ETHUSDT")
        assert refused.json()["errors"] == [{"field": "confirmation", "message": "type RELEASE to confirm"}]
    assert state_of("ETHUSDT") == "REDUCING"
    assert post_form(owner, "release", reason="x", confirmation="RELEASE", symbol="ETHUSDT").status_code == 200
    assert state_of("ETHUSDT") == "ACTIVE"


def test_a_halted_desk_returns_to_the_state_it_had(owner: Client) -> None:
    post_form(owner, "stop", state="REDUCING", reason="thin")
    post_form(owner, "stop", state="HALTED", reason="worse")
    released = post_form(owner, "release", reason="fine", confirmation="RELEASE")
    assert "The desk is REDUCING." in released.content.decode() and state_of() == "REDUCING"
    assert audit_latest(1)[0].actor == "owner:owner"
    assert "The desk is ACTIVE." in post_form(owner, "release", reason="fine", confirmation="RELEASE").content.decode()


def test_flatten_closes_what_is_held_and_links_its_record(owner: Client) -> None:
    assert "Nothing is held" in post_form(owner, "flatten", reason="out").content.decode()
    assert buy(owner).status_code == 201
    answer = post_form(owner, "flatten", reason="out", symbol="BTCUSDT").content.decode()
    assert "BTCUSDT closed at " in answer and f"/decisions/{audit_latest(1)[0].audit_id}" in answer
    assert account_state(using="default").position("BTCUSDT").quantity_e8 == 0


def test_a_halted_flatten_takes_the_typed_word(owner: Client) -> None:
    assert buy(owner).status_code == 201
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    refused = post_form(owner, "flatten", reason="out")
    assert refused.status_code == 400 and "type FLATTEN" in refused.json()["detail"]
    assert account_state(using="default").position("BTCUSDT").quantity_e8 > 0
    assert "closed at" in post_form(owner, "flatten", reason="out", confirmation="FLATTEN").content.decode()
    assert account_state(using="default").position("BTCUSDT").quantity_e8 == 0


def test_a_browser_without_the_csrf_token_is_refused(market: LiveMarket) -> None:
    browser = session_of(Role.OWNER)
    fields = {"state": "HALTED", "reason": "smoke"}
    assert post_form(browser, "stop", **fields).status_code == 403 and state_of() == "ACTIVE"
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    body = "&".join(f"{name}={value}" for name, value in fields.items())
    sent = browser.post(
        "/desk/stop", body, content_type="application/x-www-form-urlencoded", headers={"x-csrftoken": token}
    )
    assert sent.status_code == 200 and state_of() == "HALTED"


BAD_FORMS = [
    ("state=HALTED", "reason"),
    ("state=HALTED&reason=", "reason"),
    ("state=HALTED&reason=+++", "reason"),
    ("state=ACTIVE&reason=x", "state"),
    ("state=HALTED&reason=x&symbol=NOPE", "symbol"),
    ("state=HALTED&reason=x&symbol=btcusdt", "symbol"),
    ("state=HALTED&reason=x&actor=owner", "actor"),
    ("state=HALTED&state=REDUCING&reason=x", "body"),
    ("state=HALTED&reason=%FF", "body"),
    ("%00", "body"),
    ("&".join(f"f{number}=1" for number in range(21)), "body"),
    ("state=HALTED&reason=" + "x" * 600, "reason"),
]


def test_a_bad_form_names_its_field_and_changes_nothing(local: Client) -> None:
    for body, field in BAD_FORMS:
        answer = local.post("/desk/stop", body, content_type="application/x-www-form-urlencoded")
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), body
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert state_of() == "ACTIVE"


def test_a_form_is_all_it_reads(local: Client) -> None:
    answer = local.post("/desk/stop", {"state": "HALTED", "reason": "x"}, content_type="application/json")
    assert answer.status_code == 415 and local.get("/desk/stop").status_code == 405 and state_of() == "ACTIVE"
