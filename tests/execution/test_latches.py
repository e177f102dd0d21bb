"""Guards that stay shut: they survive a restart, only what should release them does, and they do not shut again at
once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from apps.audit import selectors as audit
from apps.engine.record import replay
from apps.execution import settings_snapshot
from apps.execution.desk_thread import desk_thread
from apps.execution.models import Account
from apps.execution.services import account_reset
from apps.risk import selectors as risk_selectors
from apps.risk import services as risk
from apps.risk.models import BreakerTrip
from apps.web.roles import Role
from tests.support.live_desk import CLOSED_MS, LiveMarket, buy, client_of, plan_until_it_sends, post, set_limits

DAY_MS = 86_400_000
ROOMY = {"orders_per_minute": 60, "filters_stale_after_ms": 0, "hard_drawdown_bps": 0, "daily_loss_bps": 0}
STATE = "/api/guards/trading-state"


def restart() -> None:
    """What a new process has: no thread, no connection, nothing remembered."""
    desk_thread().stop()
    connections["default"].close()
    settings_snapshot.forget()


def fall(market: LiveMarket, share: float) -> None:
    market.prices["BTCUSDT"] *= share
    market.tick()


def latches(client: Client) -> list[tuple[str, str | None]]:
    state = client.get("/api/guards/state").json()
    assert all(set(latch) == {"name", "symbol", "since", "until", "reason"} for latch in state["latches"])
    return [(latch["name"], latch["symbol"]) for latch in state["latches"]]


def reason_of(answer: Any) -> str | None:
    return None if answer.status_code == 201 else str(answer.json()["reason"])


def release(client: Client, **members: Any) -> Any:
    return post(client, STATE, {"state": "ACTIVE", "reason": "looked at it", **members})


@pytest.fixture
def fallen(market: LiveMarket, local: Client) -> Callable[..., None]:
    """A desk that bought 1 BTC and lost a tenth of it, with limits it has thereby passed."""

    def to(**limits: int) -> None:
        set_limits(**{**ROOMY, **limits})
        assert buy(local, "1").status_code == 201
        fall(market, 0.9)

    return to


def everything_replays() -> bool:
    records = audit.audit_after(0, 10_000)
    decisions = [record for record in records if record.kind == "execution.decision"]
    return audit.audit_verify(False).intact and not any(
        replay(record.kind, record.content, audit.snapshot_get) for record in decisions
    )


def test_the_hard_breaker_stays_shut_until_an_owner_says_so(
    market: LiveMarket, local: Client, owner: Client, fallen: Callable[..., None]
) -> None:
    fallen(hard_drawdown_bps=5)
    assert reason_of(buy(local, "0.1")) == "hard_drawdown"
    assert latches(local) == [("hard_drawdown", None)]
    restart()
    fall(market, 1 / 0.9)
    assert reason_of(buy(local, "0.1")) == "hard_drawdown", "the price came back, the latch is still there"
    assert buy(local, "0.1", side="SELL").status_code == 201, "an exit is always possible"
    operator = client_of(Role.OPERATOR)
    assert release(operator, confirmation="RELEASE").status_code == 403
    refused = release(owner)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "confirmation")
    assert "hard_drawdown" in refused.json()["errors"][0]["message"]
    assert latches(local) == [("hard_drawdown", None)]
    fall(market, 0.9)
    assert release(owner, confirmation="RELEASE").json()["latches"] == []
    assert audit.audit_latest(1)[0].content["released"] == [{"name": "hard_drawdown", "symbol": ""}]
    assert reason_of(buy(local, "0.1")) is None, "the drawdown counts from where it was released"
    assert reason_of(buy(local, "0.1")) is None and Account.objects.get().hard_latch_sequence == 0
    fall(market, 0.9)
    assert reason_of(buy(local, "0.1")) == "hard_drawdown" and latches(local) == [("hard_drawdown", None)]
    assert everything_replays()


def test_only_asking_for_active_lets_latches_go(local: Client, owner: Client, fallen: Callable[..., None]) -> None:
    fallen(hard_drawdown_bps=5)
    buy(local, "0.1")
    risk.trading_state_set(state="REDUCING", actor="op", reason="r", ts_ms=CLOSED_MS)
    assert latches(local) == [("hard_drawdown", None)]
    risk.kill_engage(actor="op", reason="r", ts_ms=CLOSED_MS)
    again = {"actor": "ann", "reason": "r", "ts_ms": CLOSED_MS, "confirmation": "RELEASE", "role": Role.OWNER}
    risk.kill_release(**again)
    assert latches(local) == [("hard_drawdown", None)], "the state before the kill came back, and nothing else"
    risk.kill_engage(actor="op", reason="r", ts_ms=CLOSED_MS)
    assert release(owner, confirmation="RELEASE").status_code == 200
    assert latches(local) == [] and reason_of(buy(local, "0.1")) is None


def test_the_daily_stop_ends_with_the_day_and_nobody_ends_it_before(
    market: LiveMarket, local: Client, owner: Client, fallen: Callable[..., None]
) -> None:
    fallen(daily_loss_bps=5)
    assert reason_of(buy(local, "0.1")) == "daily_loss"
    (latch,) = local.get("/api/guards/state").json()["latches"]
    assert latch["name"] == "daily_loss" and latch["until"].endswith("T00:00:00.000Z")
    restart()
    fall(market, 1 / 0.9)
    assert release(owner, confirmation="RELEASE").status_code == 200
    assert reason_of(buy(local, "0.1")) == "daily_loss" and latches(local) == [("daily_loss", None)]
    assert buy(local, "0.1", side="SELL").status_code == 201
    now_ms = market.view.now_ms()
    market.later(DAY_MS - now_ms % DAY_MS + 1)
    market.tick()
    assert latches(local) == [] and reason_of(buy(local, "0.1")) is None
    assert everything_replays()


def test_the_rolling_breaker_pauses_and_starts_a_fresh_window(
    market: LiveMarket, local: Client, fallen: Callable[..., None]
) -> None:
    fallen(max_drawdown_bps=5, breaker_ms=60_000)
    assert reason_of(buy(local, "0.1")) == "drawdown"
    assert latches(local) == [], "a pause is the breaker's own, no latch"
    breaker = risk_selectors.breaker_current()
    assert breaker is not None and breaker.drawdown_bps > 5 and "limit 0.05 %" in breaker.reason
    restart()
    fall(market, 1 / 0.9)
    assert reason_of(buy(local, "0.1")) == "drawdown"
    fall(market, 0.9)
    market.later(60_001)
    market.tick()
    assert reason_of(buy(local, "0.1")) is None
    assert reason_of(buy(local, "0.1")) is None, "the high of before the pause is forgotten"
    assert everything_replays()


def test_a_router_that_repeats_itself_is_stopped_on_that_symbol(
    market: LiveMarket, local: Client, owner: Client
) -> None:
    set_limits(**{**ROOMY, "repeat_orders": 1})
    first = plan_until_it_sends(local)
    assert first["status"] == "filled" and first["side"] == "BUY"
    assert buy(local, first["finalSize"], side="SELL").status_code == 201
    stopped = plan_until_it_sends(local)
    assert (stopped["side"], stopped["reason"]) == ("BUY", "repeated_orders")
    assert latches(local) == [("repeated_orders", "BTCUSDT")]
    assert reason_of(buy(local, "0.1")) is None, "people are not the router"
    restart()
    market.later(61_000)
    market.tick()
    assert latches(local) == [("repeated_orders", "BTCUSDT")], "time alone does not release it"
    assert release(owner, symbol="ETHUSDT", confirmation="RELEASE").json()["latches"] != []
    assert release(owner, symbol="BTCUSDT", confirmation="RELEASE").json()["latches"] == []
    assert everything_replays()


def test_a_released_router_is_not_stopped_by_what_it_sent_before(
    market: LiveMarket, local: Client, owner: Client
) -> None:
    set_limits(**{**ROOMY, "repeat_orders": 1})
    for _ in range(2):
        record = plan_until_it_sends(local, "ETHUSDT")
        if record["status"] == "filled":
            buy(local, record["finalSize"], side="SELL", symbol="ETHUSDT")
    assert latches(local) == [("repeated_orders", "ETHUSDT")]
    assert release(owner, confirmation="RELEASE").json()["latches"] == []
    record = plan_until_it_sends(local, "ETHUSDT")
    assert (record["side"], record["status"]) == ("BUY", "filled")
    buy(local, record["finalSize"], side="SELL", symbol="ETHUSDT")
    assert plan_until_it_sends(local, "ETHUSDT")["reason"] == "repeated_orders", "and counts anew from there"


def test_a_new_epoch_starts_without_latches(local: Client, fallen: Callable[..., None]) -> None:
    fallen(hard_drawdown_bps=5, daily_loss_bps=5)
    buy(local, "0.1")
    assert latches(local) == [("daily_loss", None), ("hard_drawdown", None)]
    assert {trip.kind: (trip.symbol, trip.observed > 5) for trip in BreakerTrip.objects.all()} == {
        "daily_loss": ("", True),
        "hard_drawdown": ("", True),
    }
    assert buy(local, "1", side="SELL").status_code == 201
    account_reset(actor="owner:ann", reason="again", confirmation="RESET", ts_ms=CLOSED_MS)
    assert latches(local) == [] and reason_of(buy(local, "0.1")) is None


def test_settings_are_stored_again_after_a_rollback(market: LiveMarket, local: Client, monkeypatch: Any) -> None:
    """The process must not believe in a snapshot whose transaction was rolled back."""
    from apps.execution import recording

    settings_snapshot.forget()
    write = recording.audit.audit_write
    monkeypatch.setattr(recording.audit, "audit_write", lambda draft: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        buy(local)
    monkeypatch.setattr(recording.audit, "audit_write", write)
    assert buy(local).status_code == 201 and everything_replays()
    stored = set(settings_snapshot._stored)
    assert len(stored) == 1 and buy(local).status_code == 201 and settings_snapshot._stored == stored
