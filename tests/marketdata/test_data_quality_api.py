"""The quality of the data as the API, the metrics, the health call, the page and the admin tell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.services import user_create
from apps.audit.selectors import audit_latest
from apps.marketdata import cards, health, metrics, selectors
from apps.marketdata.market import MarketView
from apps.marketdata.models import Bar, Quarantine
from apps.marketdata.quality_gate import bars_admit
from apps.marketdata.replacing import alerts_raise
from apps.marketdata.services import bars_store
from apps.web.roles import Role
from tests.marketdata.builders import MINUTE, START
from tests.marketdata.quality_samples import bars_of, spiked, times, walk

MARKET = walk(160)
NOW = START + 135 * MINUTE
SPIKE = spiked(MARKET[130], 1.1)
BROKEN = (*MARKET[131][:3], MARKET[131][2], *MARKET[131][4:])
CHANGELIST = "admin:marketdata_quarantine_changelist"


@pytest.fixture
def client(desk_db: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A desk of 130 good bars, one spike and one broken bar held, and one stored after them."""
    view = MarketView(symbols=["BTCUSDT"])
    for module in (cards, health, metrics):
        monkeypatch.setattr(module, "market_view", lambda: view)
    told: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m", "source": "test", "ts_ms": NOW}
    bars_admit(bars=bars_of([*MARKET[:130], SPIKE, BROKEN, MARKET[132]]), origin="stream", **told)
    return Client(headers={"host": "localhost"})


def get(client: Client, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200, response.content
    return response.json()


def test_the_counts_are_those_of_the_contract(client: Client) -> None:
    assert get(client, "/api/data-quality/stats") == {
        **{"checked": 133, "accepted": 131, "quarantined": 2, "replaced": 0, "confirmed": 0, "pending": 2},
        **{"byReason": {"spike": 1, "low_above_body": 1}, "bySymbol": {"BTCUSDT": 2}, "mode": "strict"},
    }


def test_nothing_judged_is_zero_not_missing(desk_db: Path) -> None:
    stats = get(Client(headers={"host": "localhost"}), "/api/data-quality/stats")
    assert (stats["checked"], stats["accepted"], stats["quarantined"], stats["byReason"]) == (0, 0, 0, {})


def test_the_quarantine_is_newest_first_with_reason_score_and_replacement(client: Client) -> None:
    told: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m", "source": "test", "ts_ms": NOW + 5}
    bars_admit(bars=bars_of([MARKET[130]]), origin="rest", **told)
    broken, spike = get(client, "/api/data-quality/quarantine")
    assert (broken["reason"], broken["score"], broken["status"]) == ("low_above_body", None, "pending")
    assert (spike["reason"], spike["status"], spike["resolvedBy"]) == ("spike", "replaced", "feed")
    assert spike["score"] > 10 and spike["openTime"] == "2020-09-13T14:37:00.000Z"
    assert spike["candle"]["close"] != spike["replacement"]["close"]
    assert set(spike["replacement"]) == {"open", "high", "low", "close", "volume", "trades"}
    assert len(spike["rawHash"]) == len(spike["replacementHash"]) == 64
    assert [row["id"] for row in get(client, "/api/data-quality/quarantine?limit=1")] == [broken["id"]]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "since=1"])
def test_a_bad_question_names_its_field(client: Client, query: str) -> None:
    response = client.get(f"/api/data-quality/quarantine?{query}")
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [query.partition("=")[0]]


def test_a_time_that_no_calendar_holds_does_not_break_the_answer(client: Client) -> None:
    Quarantine.objects.filter(reason="spike").update(open_time_ms=2**62)
    assert get(client, "/api/data-quality/quarantine")[1]["openTime"] == str(2**62)
    assert cards.quality_context()["rows"][1]["open_time_ms"] is None


def test_candles_show_only_what_was_accepted(client: Client) -> None:
    shown = [row["openTime"] for row in get(client, "/api/market/ohlcv?symbol=BTCUSDT&limit=3")]
    assert [text[11:16] for text in shown] == ["14:35", "14:36", "14:39"]


def test_the_metrics_count_rows_by_reason(client: Client) -> None:
    samples = {(sample.name, *sample.labels.values()): sample.value for sample in metrics.collect()}
    assert samples["quarantine_total", "spike"] == samples["quarantine_total", "low_above_body"] == 1
    assert samples["quarantine_candles", "pending"] == 2 and samples["quarantine_alerted",] == 0
    assert samples["quality_checked_total", "BTCUSDT"] == 133
    text = client.get("/metrics").content.decode()
    assert 'quarantine_total{reason="spike"} 1.0' in text


def test_health_and_page_say_when_a_candle_waits_too_long(client: Client) -> None:
    assert (health.quality_probe()["status"], health.quality_probe()["pending"]) == ("ok", 2)
    assert alerts_raise(NOW + 59_999) == 0 and alerts_raise(NOW + 60_000) == 2
    probe = health.quality_probe()
    assert (probe["status"], probe["alerted"], probe["oldest_pending_at"]) == (
        "degraded",
        2,
        "2020-09-13T14:42:00.000Z",
    )
    context = cards.quality_context()
    assert (context["alerted"], context["pending"], context["rows"][0]["is_pending"]) == (2, 2, True)


def test_a_backtest_can_ask_what_of_its_window_was_not_believed(client: Client) -> None:
    found = selectors.quarantine_between("BTCUSDT", "1m", MARKET[130][0], MARKET[131][0])
    assert found == [(SPIKE[0], "spike", "pending")]
    assert selectors.quarantine_between("BTCUSDT", "5m", 0, NOW) == []


def judge(settings: Any, role: Role) -> Client:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user_create(username="alice", password="x", role=role, actor="test", ts_ms=1)
    User.objects.update(is_staff=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get())
    return client


def act(client: Client, action: str, **which: Any) -> Any:
    rows = Quarantine.objects.filter(**which).values_list("pk", flat=True)
    return client.post(reverse(CHANGELIST), {"action": action, "_selected_action": list(rows)}, follow=True)


def test_an_operator_judges_in_the_admin_and_is_named_in_the_audit(client: Client, settings: Any) -> None:
    admin = judge(settings, Role.OPERATOR)
    page = admin.get(reverse(CHANGELIST), {"status__exact": "pending"}).content.decode()
    assert "2020-09-13T14:37:00.000Z" in page and "Confirm: store as it came" in page
    shown = act(admin, "confirm").content.decode()
    assert "1 confirmed and stored." in shown and "breaks a rule that no bar may break" in shown
    assert Bar.objects.filter(open_time_ms=SPIKE[0], close_e8=SPIKE[4]).exists()
    act(admin, "discard", reason="low_above_body")
    assert dict(Quarantine.objects.values_list("reason", "status")) == {
        "spike": "confirmed",
        "low_above_body": "discarded",
    }
    assert [record.actor for record in audit_latest(2, kind="marketdata.quarantine.resolved")] == ["operator:alice"] * 2


def test_asking_again_makes_it_due_at_once(client: Client, settings: Any) -> None:
    Quarantine.objects.update(attempts=9, next_try_ts_ms=2**60)
    act(judge(settings, Role.OWNER), "ask_again")
    assert list(Quarantine.objects.values_list("attempts", flat=True)) == [0, 0]
    assert all(due < 2**60 for due in Quarantine.objects.values_list("next_try_ts_ms", flat=True))


def test_a_viewer_in_the_admin_sees_and_cannot_judge(client: Client, settings: Any) -> None:
    admin = judge(settings, Role.VIEWER)
    assert "Confirm: store as it came" not in admin.get(reverse(CHANGELIST)).content.decode()
    act(admin, "confirm", reason="spike")
    row = Quarantine.objects.get(reason="spike")
    assert row.status == "pending"
    change = admin.get(reverse("admin:marketdata_quarantine_change", args=[row.pk])).content.decode()
    assert 'name="_save"' not in change


def test_a_stored_bar_never_changes_by_a_verdict(client: Client, settings: Any) -> None:
    other = times(MARKET[130], 1.0004)
    bars_store(symbol="BTCUSDT", interval="1m", bars=bars_of([other]), source="test", ts_ms=NOW)
    act(judge(settings, Role.OWNER), "confirm", reason="spike")
    assert Bar.objects.get(open_time_ms=SPIKE[0]).close_e8 == other[4]
    assert Quarantine.objects.get(reason="spike").status == "replaced"
