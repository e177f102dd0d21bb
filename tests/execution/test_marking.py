"""The breakers between decisions: judged at marks and at fills of open orders, on record, and felt by open orders."""

from __future__ import annotations

from typing import Any

import pytest

from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_after, audit_latest, audit_verify
from apps.engine.values import E8
from apps.execution import matching
from apps.execution.account import account_state
from apps.execution.marking import live_marks, marks_judge, worth_of
from apps.execution.matcher import Matcher
from apps.execution.models import Account, Order
from apps.execution.reconciler import book_differences
from apps.marketdata.services import filters_record
from apps.risk.models import BreakerTrip
from apps.web.roles import Role
from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.bars import FILTERS
from tests.support.live_desk import buy, client_of, set_limits

__all__ = ["desk"]
DAY_MS = 86_400_000
ROOMY = {"orders_per_minute": 60, "filters_stale_after_ms": 0, "hard_drawdown_bps": 0, "daily_loss_bps": 0}


def judge(desk: OrdersDesk) -> list[str]:
    return marks_judge(live_marks(desk.market.view), now_ms=desk.market.view.now_ms())


def fall(desk: OrdersDesk, share: float) -> None:
    desk.market.prices["BTCUSDT"] *= share
    desk.market.tick()


@pytest.fixture
def holder(desk: OrdersDesk) -> OrdersDesk:
    """A desk that holds 1 BTC, bought at the market, and has judged the marks once."""
    set_limits(**ROOMY)
    assert desk.place("MARKET", quantity="1").status_code == 201
    judge(desk)
    return desk


def test_equity_is_what_a_decision_says(holder: OrdersDesk) -> None:
    state = account_state(using="default")
    worth = worth_of(state, live_marks(holder.market.view))
    holder.market.resume()
    assert buy(holder.client, "0.01").status_code == 201
    holder.market.pause()
    decided = int(audit_latest(1, kind="execution.decision")[0].content["inputs"]["desk"]["equity_e8"])
    # The mark of the decision is the mid of a book at the same prices.
    assert worth.equity_e8 == decided and not worth.is_unmarked


@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        ("hard_drawdown_bps", "hard_drawdown"),
        ("daily_loss_bps", "daily_loss"),
        ("max_drawdown_bps", "rolling_drawdown"),
    ],
)
def test_a_mark_trips_without_any_decision(holder: OrdersDesk, limit: str, kind: str) -> None:
    set_limits(**{limit: 5})
    assert judge(holder) == []
    fall(holder, 0.9)
    before = audit_latest(1)[0].sequence
    assert judge(holder) == [kind]
    (record,) = audit_after(before, 10)
    assert record.kind == "execution.breakers" and [entry["kind"] for entry in record.content["tripped"]] == [kind]
    assert replay_record(record).matches and audit_verify().intact
    trip = BreakerTrip.objects.get()
    assert (trip.kind, trip.audit_sequence) == (kind, record.sequence) and trip.observed > 5
    assert judge(holder) == [] and BreakerTrip.objects.count() == 1, "once is enough"
    fall(holder, 1 / 0.9)
    holder.market.resume()
    refused = buy(holder.client, "0.01")
    assert refused.status_code == 422 and refused.json()["reason"] in (kind, "drawdown")
    assert buy(holder.client, "0.01", side="SELL").status_code == 201


def test_a_trip_can_be_read_and_replayed_by_people(holder: OrdersDesk) -> None:
    set_limits(hard_drawdown_bps=5)
    fall(holder, 0.9)
    judge(holder)
    record = audit_latest(1)[0]
    (told,) = holder.client.get("/api/audit/latest?limit=1").json()
    assert (told["kind"], told["inputsHash"]) == ("execution.breakers", record.inputs_hash)
    answer = client_of(Role.OPERATOR).post(f"/api/audit/{record.audit_id}/replay")
    assert answer.status_code == 200 and answer.json()["matches"] is True
    page = holder.client.get(f"/decisions/{record.audit_id}").content.decode()
    assert "below its peak, limit 0.05 %" in page


def test_a_peak_between_two_decisions_counts(holder: OrdersDesk) -> None:
    """Up a tenth and back: no decision saw the peak, and the fall from it trips."""
    set_limits(hard_drawdown_bps=30)
    fall(holder, 1.1)
    assert judge(holder) == []
    peak_e8 = Account.objects.get().peak_e8
    assert peak_e8 == worth_of(account_state(using="default"), live_marks(holder.market.view)).equity_e8
    fall(holder, 1 / 1.1)
    assert judge(holder) == ["hard_drawdown"]


def test_what_cannot_be_marked_trips_nothing(holder: OrdersDesk) -> None:
    set_limits(hard_drawdown_bps=5, daily_loss_bps=5, max_drawdown_bps=5)
    fall(holder, 0.5)
    holder.market.later(60_000)
    head, account = audit_latest(1)[0], Account.objects.values().get()
    assert judge(holder) == [] and audit_latest(1)[0] == head and Account.objects.values().get() == account
    holder.market.tick()
    assert sorted(judge(holder)) == ["daily_loss", "hard_drawdown", "rolling_drawdown"]


def test_rules_that_are_not_exact_mark_nothing(holder: OrdersDesk) -> None:
    rules = FILTERS._replace(tick_e8=3, step_e8=1)
    filters_record(symbol="BTCUSDT", filters=rules, ts_ms=holder.market.view.now_ms())
    assert worth_of(account_state(using="default"), live_marks(holder.market.view)).is_unmarked


def test_a_new_day_begins_at_its_first_mark(holder: OrdersDesk) -> None:
    now_ms = holder.market.view.now_ms()
    holder.market.later(DAY_MS - now_ms % DAY_MS + 1)
    fall(holder, 0.99)
    assert judge(holder) == []
    account, record = Account.objects.get(), audit_latest(1)[0]
    assert account.day_index == now_ms // DAY_MS + 1
    assert account.day_start_e8 == worth_of(account_state(using="default"), live_marks(holder.market.view)).equity_e8
    assert record.kind == "execution.breakers" and record.content["reason"] == "a UTC day begins"
    assert record.content["tripped"] == [] and replay_record(record).matches


def test_a_pause_that_is_over_begins_a_fresh_window(holder: OrdersDesk) -> None:
    set_limits(max_drawdown_bps=5, breaker_ms=60_000)
    fall(holder, 0.9)
    assert judge(holder) == ["rolling_drawdown"]
    holder.market.later(60_001)
    holder.market.tick()
    assert judge(holder) == [] and Account.objects.get().breaker_until_ms == 0
    assert judge(holder) == [], "the high of before the pause is forgotten"
    assert audit_latest(1)[0].content["judged"]["is_rearmed"] == 1 and replay_record(audit_latest(1)[0]).matches


def test_the_matcher_judges_the_marks_by_itself(holder: OrdersDesk, settings: Any) -> None:
    set_limits(hard_drawdown_bps=5)
    fall(holder, 0.9)
    settings.FILLS = "bars"
    Matcher(holder.market.view).step()
    assert not BreakerTrip.objects.exists(), "a batch run looks at no mark between its decisions"
    settings.FILLS = "depth"
    Matcher(holder.market.view).step()
    assert BreakerTrip.objects.get().kind == "hard_drawdown"


def test_a_trip_ends_open_orders_that_add_risk(holder: OrdersDesk, settings: Any) -> None:
    settings.ALLOW_SHORT = True
    adding = holder.place(price=-2).json()["orderId"]
    closing = holder.place("LIMIT", "SELL", price=2).json()["orderId"]
    also = holder.place("LIMIT", "SELL", price=3, quantity="0.6").json()["orderId"]
    set_limits(hard_drawdown_bps=5)
    fall(holder, 0.9)
    Matcher(holder.market.view).step()
    assert [holder.order(name)["status"] for name in (adding, closing)] == ["CANCELED", "NEW"]
    assert holder.order(also)["status"] == "CANCELED", "both together would sell more than is held"
    assert audit_latest(1)[0].content["reason"] == "a breaker is open"


def test_a_trip_at_a_decision_stops_the_fill_that_follows(holder: OrdersDesk) -> None:
    """Nothing has looked at the open order since: the trade that would fill it finds the breaker in the rows."""
    adding = holder.place(price=-2).json()["orderId"]
    set_limits(hard_drawdown_bps=5)
    fall(holder, 0.9)
    holder.market.resume()
    assert buy(holder.client, "0.01").json()["reason"] == "hard_drawdown"
    holder.market.pause()
    holder.trade(-3, 9)
    order = holder.order(adding)
    assert (order["status"], order["fills"]) == ("CANCELED", [])


def test_a_fill_of_an_open_order_judges_the_breakers(holder: OrdersDesk) -> None:
    """The mark falls and, before anybody looks, an exit fills: the trip follows the fill in its own transaction."""
    selling = holder.place("LIMIT", "SELL", price=2, quantity="0.5").json()["orderId"]
    set_limits(hard_drawdown_bps=5)
    fall(holder, 0.9)
    assert not BreakerTrip.objects.exists()
    holder.trade(3, 9, seller=False)
    order = holder.order(selling)
    assert order["status"] == "FILLED" and BreakerTrip.objects.get().kind == "hard_drawdown"
    trip, fill = audit_latest(2)
    assert (fill.kind, trip.kind) == ("execution.fill", "execution.breakers")
    assert replay_record(fill).matches and replay_record(trip).matches and book_differences() == []
    row, inputs = Order.objects.get(order_id=selling), trip.content["inputs"]
    assert row.equity_after_e8 == int(inputs["equity_e8"]), "the window of the last trades holds equity after this one"


def test_a_fill_is_told_to_browsers_once_it_is_committed(holder: OrdersDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(matching, "broadcast", told.append)
    order_id = holder.place(price=-2).json()["orderId"]
    holder.trade(-2, 1)
    assert told == []
    holder.trade(-3, 0.2)
    (frame,) = told
    (fill,) = holder.order(order_id)["fills"]
    assert (frame["type"], frame["symbol"], frame["auditId"]) == ("fill", "BTCUSDT", fill["auditId"])
    assert frame["fills"] == [
        {"orderId": order_id, "side": "BUY", "price": holder.price(-2), "quantity": "0.2", "liquidity": "maker",
         "rule": "through"}
    ]  # fmt: skip
    monkeypatch.setattr(matching, "breakers_settle", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        holder.trade(-3, 0.2)
    assert len(told) == 1 and holder.order(order_id)["filledQuantity"] == "0.2", "nobody hears of a rollback"


def test_marks_that_move_nothing_write_nothing(holder: OrdersDesk) -> None:
    head = audit_latest(1)[0]
    fall(holder, 0.9999)
    assert judge(holder) == [] and audit_latest(1)[0] == head
    assert live_marks(holder.market.view)["BTCUSDT"] > 1_000 * E8
