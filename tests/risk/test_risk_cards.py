"""The guards card and the trading pill: states, use of limits, and the worst shown first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.engine.reasons import Verdict
from apps.risk import cards, services
from apps.web.roles import Role

NOW_MS = 1_767_225_660_000
E8 = 10**8


@pytest.fixture
def desk(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "market_ms", lambda: NOW_MS)


def set_state(state: str, **scope: Any) -> None:
    services.trading_state_set(state=state, actor="op", reason="a test", ts_ms=NOW_MS, role=Role.OWNER, **scope)


def test_a_seeded_desk_is_active(desk: None) -> None:
    assert cards.trading_pill()[:2] == ("ACTIVE", "good")
    context = cards.guards_context()
    assert (context["state"], context["tone"], context["why"]) == ("ACTIVE", "good", "")
    assert context["breaker"] is None and context["blocked"] == 0


def test_use_is_shown_as_a_share_of_each_limit(desk: None) -> None:
    services.usage_record(symbol="BTCUSDT", notional_e8=80_000 * E8, ts_ms=NOW_MS - 5_000, orders_last_minute=3)
    services.usage_record(symbol="ETHUSDT", notional_e8=20_000 * E8, ts_ms=NOW_MS - 90_000, orders_last_minute=5)
    rows = {row["name"]: row for row in cards.guards_context()["rows"]}
    assert (rows["All symbols"]["used"], rows["All symbols"]["limit"]) == ("100,000", "250,000")
    assert rows["All symbols"]["share"] == 0.4
    assert rows["BTCUSDT"]["share"] == 0.8
    # Orders of more than a minute ago count no more.
    assert (rows["Orders a minute"]["used"], rows["Orders a minute"]["share"]) == ("3", 0.5)


def test_a_refusal_counts_for_one_minute(desk: None) -> None:
    event = {"symbol": "BTCUSDT", "guard": "symbol_cap", "reason": "symbol_cap", "verdict": Verdict.DENY}
    for age_ms, sequence in ((61_000, 1), (59_000, 2)):
        services.guard_event_record(**event, observed=2, limit=1, audit_sequence=sequence, ts_ms=NOW_MS - age_ms)
    assert cards.guards_context()["blocked"] == 1


def test_the_pill_shows_the_worst_that_holds(desk: None) -> None:
    set_state("REDUCING", symbol="SOLUSDT")
    assert cards.trading_pill()[:2] == ("ACTIVE, SOLUSDT REDUCING", "warn")
    services.breaker_record(
        tripped_at_ms=NOW_MS,
        until_ms=NOW_MS + 60_000,
        kind="rolling_drawdown",
        observed=512,
        reason="rolling drawdown",
        audit_sequence=3,
    )
    assert cards.trading_pill()[:2] == ("PAUSED", "warn")
    services.kill_engage(actor="op", reason="enough", ts_ms=NOW_MS)
    pill = cards.trading_pill()
    assert (pill.text, pill.tone, pill.detail) == ("HALTED", "bad", "enough (op)")
    context = cards.guards_context()
    assert (context["state"], context["why"]) == ("HALTED", "enough (op)")
    assert [own["symbol"] for own in context["symbols"]] == ["SOLUSDT"]
    assert context["breaker"]["is_tripped"] is True


def test_a_desk_that_was_never_seeded_is_halted(desk_db: Path) -> None:
    assert cards.trading_pill()[:2] == ("HALTED", "bad")


def latch(kind: str, **changes: Any) -> None:
    given = {
        "audit_sequence": 1,
        "tripped_at_ms": NOW_MS - 1_000,
        "observed": 1_040,
        "reason": f"{kind} passed its limit",
    }
    services.breaker_record(**{"kind": kind, **given, **changes})


def test_latches_are_shown_with_what_ends_them(desk: None) -> None:
    latch("repeated_orders", symbol="SOLUSDT")
    assert cards.trading_pill()[:2] == ("ACTIVE, router stopped on SOLUSDT", "warn")
    latch("daily_loss", until_ms=NOW_MS + 1)
    latch("hard_drawdown")
    pill = cards.trading_pill()
    assert (pill.text, pill.tone) == ("REDUCING", "warn") and "daily_loss passed its limit" in pill.detail
    shown = [(row["name"], row["symbol"], row["until_ms"]) for row in cards.guards_context()["latches"]]
    assert shown == [
        ("daily loss", "", NOW_MS + 1),
        ("hard drawdown", "", 0),
        ("repeated orders", "SOLUSDT", 0),
    ]
    set_state("ACTIVE", confirmation="RELEASE")
    assert [row["name"] for row in cards.guards_context()["latches"]] == ["daily loss"]
