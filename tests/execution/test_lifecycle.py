"""How holdings and open orders end: flatten, reset, off the watch list, dust, and a lease that was lost."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.audit.selectors import audit_head, audit_latest
from apps.engine.decimals import e8_text
from apps.engine.decision import SOURCE_ROUTER
from apps.engine.errors import UnknownName
from apps.engine.values import E8
from apps.execution import desk as trading
from apps.execution.dust import is_dust
from apps.execution.equity import equity_record
from apps.execution.lease import AUTOPILOT_LEASE, LeaseLost, lease_take
from apps.execution.lifecycle import held_off_list, tradable_symbol
from apps.execution.models import Account, Execution, Fill, Order, Position
from apps.execution.reconciler import book_differences
from apps.execution.requests import AUTOPILOT, DecisionRequest
from apps.risk import services as risk
from apps.strategy.selectors import view_latest
from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.bars import FILTERS
from tests.support.live_desk import CLOSED_MS, LiveMarket, buy, plan, post
from tests.support.shapes import ACCOUNT, POSITION, check

__all__ = ["desk"]
BTC, ETH = "BTCUSDT", "ETHUSDT"
FLATTEN, RESET = "/api/trading/flatten", "/api/trading/account/reset"
FRESH = {"reason": "a new season", "confirmation": "RESET"}


def positions(client: Client) -> dict[str, dict[str, Any]]:
    return {row["symbol"]: row for row in client.get("/api/trading/positions").json()}


def newest(kind: str) -> dict[str, Any]:
    (row,) = audit_latest(1, kind=kind)
    return dict(row.content)


# Flatten


def test_a_flatten_cancels_what_is_open_of_its_symbol_and_says_so(desk: OrdersDesk, owner: Client) -> None:
    desk.market.resume()
    assert buy(desk.client, "0.3").status_code == 201
    resting = desk.place(price=-5, quantity="0.1").json()["orderId"]
    selling = desk.place(price=5, quantity="0.2", side="SELL").json()["orderId"]
    desk.market.resume()
    (record,) = post(owner, FLATTEN, {"symbol": BTC, "reason": "out"}).json()["executions"]
    assert (record["status"], record["finalSize"]) == ("filled", "0.3")
    assert [desk.order(name)["status"] for name in (resting, selling)] == ["CANCELED", "CANCELED"]
    assert newest("execution.decision")["canceledOrders"] == [resting, selling]
    assert not Order.objects.filter(is_open=True).exists() and book_differences() == []


def test_a_flatten_of_everything_also_ends_orders_where_nothing_is_held(desk: OrdersDesk, owner: Client) -> None:
    resting = desk.place(price=-5, quantity="0.1").json()["orderId"]
    desk.market.resume()
    (record,) = post(owner, FLATTEN, {"reason": "out"}).json()["executions"]
    assert (record["symbol"], record["reason"]) == (BTC, "nothing_to_flatten")
    assert desk.order(resting)["status"] == "CANCELED"


def test_a_halted_desk_lets_a_confirmed_flatten_cancel_and_close(desk: OrdersDesk, owner: Client) -> None:
    desk.market.resume()
    buy(desk.client, "0.3")
    resting = desk.place(price=-5, quantity="0.1").json()["orderId"]
    desk.market.resume()
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    answer = post(owner, FLATTEN, {"symbol": BTC, "reason": "out", "confirmation": "FLATTEN"})
    assert answer.json()["executions"][0]["status"] == "filled"
    assert desk.order(resting)["status"] == "CANCELED" and positions(owner)[BTC]["quantity"] == "0"


def test_a_flatten_nobody_confirmed_cancels_nothing(desk: OrdersDesk, owner: Client) -> None:
    desk.place(price=-5, quantity="0.1")
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    before = audit_head()
    assert post(owner, FLATTEN, {"symbol": BTC, "reason": "out"}).status_code == 400
    assert Order.objects.filter(is_open=True).count() == 1 and audit_head() == before


# What open orders hold back


def test_the_account_says_what_open_orders_hold_back(desk: OrdersDesk) -> None:
    """A buy of 0.5, 50,000 lots, locks its notional and the fee it costs if every lot fills alone, rounded up."""
    desk.market.resume()
    buy(desk.client, "0.3")
    assert desk.place(price=-100).status_code == desk.place(price=5, quantity="0.2", side="SELL").status_code == 201
    account, held = desk.client.get("/api/trading/account").json(), positions(desk.client)[BTC]
    check(account, ACCOUNT)
    check(held, POSITION)
    notional = (desk.mid_e8 - 100 * E8) // 2
    locked, cash = notional + 50_000 * -(-notional // 50_000 // 1_000), Account.objects.get().cash_e8
    assert account["locked"] == e8_text(locked) and account["cash"] == e8_text(cash)
    assert account["free"] == e8_text(cash - locked)
    assert (held["locked"], held["openOrders"], held["isDust"], held["isReduceOnly"]) == ("0.2", 2, False, False)


# A new epoch


def test_a_reset_cancels_open_orders_and_records_which(desk: OrdersDesk, owner: Client) -> None:
    resting = desk.place(price=-5, quantity="0.1").json()["orderId"]
    answer = post(owner, RESET, FRESH)
    assert answer.status_code == 201 and answer.json()["locked"] == "0"
    record = newest("execution.epoch")
    assert (record["epoch"], record["canceledOrders"], record["writtenOff"]) == (2, [resting], [])
    assert desk.order(resting)["status"] == "CANCELED"
    desk.book()
    desk.trade(-50, 100)
    assert not Fill.objects.exists() and Account.objects.get(epoch=2).cash_e8 == 10**6 * E8


def test_a_refused_reset_cancels_nothing(desk: OrdersDesk, owner: Client) -> None:
    desk.market.resume()
    buy(desk.client, "0.3")
    desk.place(price=-5, quantity="0.1")
    refused = post(owner, RESET, FRESH)
    assert refused.status_code == 409 and "flatten BTCUSDT" in refused.json()["detail"]
    assert Order.objects.filter(is_open=True).count() == 1 and Account.objects.count() == 1


# Dust


@pytest.fixture
def dusty(settings: Any, market: LiveMarket, local: Client, owner: Client) -> Client:
    """A desk that paid a fee in base and sold every whole lot: 0.3 less 0.0003 is 0.2997 exactly, then 7 of dust."""
    settings.FEE_ASSET, settings.FEE_BPS = "base", 7
    assert buy(local, "0.12345").status_code == 201
    record = post(owner, FLATTEN, {"symbol": BTC, "reason": "out"}).json()["executions"][0]
    assert record["status"] == "filled"
    return local


def test_a_base_fee_is_taken_off_what_is_bought(settings: Any, market: LiveMarket, local: Client) -> None:
    """7 bps of 0.12345 are 0.000086415; the row keeps 0.123363585 and cash pays the price alone."""
    settings.FEE_ASSET, settings.FEE_BPS = "base", 7
    answer = buy(local, "0.12345").json()
    row, fill = Position.objects.get(), Fill.objects.get()
    assert (fill.fee_asset, fill.fee_e8, row.quantity_e8) == ("base", 8_642, 12_345_000 - 8_642)
    account = Account.objects.get()
    assert account.cash_e8 == account.initial_cash_e8 - fill.notional_e8
    worth = -(-8_642 * fill.notional_e8 // fill.quantity_e8)
    assert (account.fees_e8, row.fees_e8, row.cost_e8) == (worth, worth, fill.notional_e8 - worth)
    assert answer["position"]["after"]["quantity"] == "0.12336358" == positions(local)[BTC]["quantity"]
    assert book_differences() == []


def test_dust_stays_is_shown_and_cannot_be_flattened(dusty: Client, owner: Client) -> None:
    row = positions(dusty)[BTC]
    assert 0 < float(row["quantity"]) < FILTERS.step_e8 / E8 and row["isDust"]
    record = post(owner, FLATTEN, {"symbol": BTC, "reason": "again"}).json()["executions"][0]
    assert (record["status"], record["reason"]) == ("no_trade", "nothing_to_flatten")
    assert book_differences() == [] and float(dusty.get("/api/trading/account").json()["equity"]) > 0


def test_a_reset_writes_dust_off_by_name(dusty: Client, owner: Client) -> None:
    row = Position.objects.get()
    assert post(owner, RESET, FRESH).status_code == 201
    off = newest("execution.epoch")["writtenOff"]
    assert off == [{"symbol": BTC, "quantityE8": str(row.quantity_e8), "costE8": str(row.cost_e8)}]
    assert positions(dusty)[BTC]["quantity"] == "0" and Position.objects.get(account=1).quantity_e8 == row.quantity_e8


@pytest.mark.parametrize(
    ("quantity", "mark", "expected"),
    [
        (0, None, False),
        (FILTERS.step_e8 - 1, None, True),
        (FILTERS.step_e8, None, False),
        (-FILTERS.step_e8 + 1, 60_000 * E8, True),
        (FILTERS.step_e8, 1, True),
        (9_000, 60_000 * E8, False),
        (8_000, 60_000 * E8, True),
    ],
)
def test_what_is_dust(quantity: int, mark: int | None, expected: bool) -> None:
    """The test symbol asks for 5 quote: at 60,000 that is 0.00008334, so nine lots of 1,000 pass and eight do not."""
    assert is_dust(quantity, FILTERS, mark) is expected


# Off the watch list


@pytest.fixture
def left(market: LiveMarket, local: Client, settings: Any) -> Client:
    """ETHUSDT is held and then taken off the watch list; the market still follows it."""
    assert buy(local, "0.2", symbol=ETH).status_code == 201
    settings.SYMBOLS = (BTC,)
    return local


def test_it_is_still_shown_and_marked(left: Client) -> None:
    row = positions(left)[ETH]
    check(row, POSITION)
    assert row["isReduceOnly"] and row["markPrice"] is not None and row["quantity"] == "0.2"
    assert held_off_list() == [ETH] and tradable_symbol(ETH) == ETH
    assert buy(left, "0.01").status_code == 201, "others may still be traded"


def test_it_can_be_reduced_and_nothing_else(left: Client) -> None:
    more = buy(left, "0.1", symbol=ETH)
    assert (more.status_code, more.json()["reason"]) == (422, "reduce_only")
    assert buy(left, "0.1", symbol=ETH, side="SELL").status_code == 201
    assert plan(left, ETH).status_code in (400, 404)


def test_it_can_be_flattened_and_is_then_unknown(left: Client, owner: Client) -> None:
    (record,) = post(owner, FLATTEN, {"symbol": ETH, "reason": "out"}).json()["executions"]
    assert record["status"] == "filled" and held_off_list() == []
    assert post(owner, FLATTEN, {"symbol": ETH, "reason": "out"}).status_code == 400
    with pytest.raises(UnknownName):
        tradable_symbol(ETH)


def test_without_a_market_it_is_shown_at_its_last_price_and_denies_new_risk_elsewhere(
    left: Client, owner: Client, market: LiveMarket
) -> None:
    """A price that nobody knows leads to no new risk; exits pass, and a new epoch writes it off."""
    market.prices.pop(ETH)
    market.view._lanes.pop(ETH)
    row = positions(left)[ETH]
    assert row["markPrice"] is not None and left.get("/api/trading/account").json()["equity"] is not None
    refused = buy(left, "0.01")
    assert refused.status_code == 422 and refused.json()["blocked"]
    assert post(owner, RESET, FRESH).status_code == 201
    assert [off["symbol"] for off in newest("execution.epoch")["writtenOff"]] == [ETH]
    assert buy(left, "0.01").status_code == 201


def test_the_equity_curve_keeps_its_worth(left: Client, market: LiveMarket) -> None:
    mark = int(market.prices[BTC] * E8)
    point = equity_record(ts_ms=CLOSED_MS, closes={BTC: mark})
    assert point is not None and point.exposure_e8 > 0
    assert point.equity_e8 == point.cash_e8 + point.exposure_e8


# The lease


def test_an_autopilot_that_lost_its_lease_decides_nothing(market: LiveMarket) -> None:
    request = DecisionRequest(BTC, SOURCE_ROUTER, AUTOPILOT, "grid bar")
    prepared = trading.prepare(request)
    assert prepared.view == view_latest(BTC)
    assert lease_take(name=AUTOPILOT_LEASE, holder="elsewhere/1/2/3")
    before = audit_head()
    with pytest.raises(LeaseLost):
        trading.commit(prepared, trading.wait_for_arrival(prepared))
    assert audit_head() == before and not Execution.objects.exists()


def test_two_holders_decide_once_on_a_bar(market: LiveMarket) -> None:
    """What the old holder had prepared is decided by the new one: its own commit then finds the answer."""
    prepared = [trading.prepare(DecisionRequest(BTC, SOURCE_ROUTER, AUTOPILOT, "grid bar")) for _ in range(2)]
    answers = [trading.commit(entry, trading.wait_for_arrival(entry)) for entry in prepared]
    assert [answer.is_repeat for answer in answers] == [False, True] and answers[0].body == answers[1].body
    assert Execution.objects.count() == 1


def test_people_need_no_lease(market: LiveMarket, local: Client) -> None:
    lease_take(name=AUTOPILOT_LEASE, holder="elsewhere/1/2/3")
    assert buy(local).status_code == 201
